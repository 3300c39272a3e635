"""What verify.py found: rows with a verdict, printed as they come, and as a page to hand out."""

import datetime
import html
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np

import picogpt
from picogpt.system.files import atomic_write

PASSED, FAILED, SKIPPED, REPORTED = "passed", "FAILED", "skipped", "reported"
WIDTHS = (35, 33, 12, 5)
HEADER = ("what", "compared with", "figure", "bound", "verdict")
PACKAGES = ("numpy", "torch", "jax", "tiktoken", "google-crc32c")
INTRODUCTION = (
    "picogpt is GPT-2 in plain NumPy. Each rung below compares a part of it with something that was made"
    " without it: the definition of a derivative, another program, a checksum, a number that others have"
    " published. A figure is the largest difference that was found, or how many of the compared are equal;"
    " the bound says what was asked of it."
)
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #666; --line: #ddd; --good: #17692f; --bad: #b00020 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181c; --ink: #e4e8ec; --soft: #9ba7b3; --line: #343c44; --good: #6fce8b; --bad: #ff8a94 }
}
body { max-width: 58rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 Georgia, serif; color: var(--ink); background: var(--paper) }
table { border-collapse: collapse; width: 100%; font: .85rem/1.4 system-ui, sans-serif }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
h1, h2 { font-weight: normal; margin: 2rem 0 .5rem }
.passed { color: var(--good) } .FAILED { color: var(--bad); font-weight: bold } .skipped, .reported { color: var(--soft) }
@media (max-width: 44rem) { /* a row is a card, its cells named at their left */
  tr:first-child { display: none }
  tr { display: block; padding: .6rem 0; border-bottom: 1px solid var(--line) }
  td { display: grid; grid-template-columns: 8rem 1fr; padding: .1rem 0; border: 0 }
  td::before { content: attr(data-name); color: var(--soft); font-weight: normal } td:empty { display: none }
}
@media print { body { margin: 0; max-width: none } h2, tr { break-inside: avoid } }
"""  # noqa: E501


class Row(NamedTuple):
    """One comparison: of what, with what, the figure found, the bound it must keep, the verdict, and why."""

    what: str
    against: str
    figure: str
    bound: str
    verdict: str
    note: str = ""


def within(what, against, errors, bound):
    """Return the row of {name: error}: each must be at most `bound`, and the note names those that are not.

    >>> within("2 operations", "the definition", {"gelu": 0.5, "softmax": 1e-9}, 1e-6)[2:]
    ('5.0e-01', '1e-06', 'FAILED', 'gelu 5.0e-01')
    """
    wrong = [f"{name} {error:.1e}" for name, error in errors.items() if not error <= bound]  # NaN is wrong
    figure = f"{np.max(list(errors.values())):.1e}"
    return Row(what, against, figure, f"{bound:.0e}", FAILED if wrong else PASSED, some(wrong))


def equal(what, against, n, faults, gating=True):
    """Return the row of `n` things that should be equal, all but the `faults`, which the note tells.

    >>> equal("3 texts", "the published", 3, ["one differs"])[2:]
    ('2 of 3', 'all', 'FAILED', 'one differs')
    """
    verdict = FAILED if faults else PASSED
    if not gating:
        verdict = REPORTED
    return Row(what, against, f"{n - len(faults)} of {n}", "all" if gating else "", verdict, some(faults))


def failed(what, against, why):
    """Return the row of a comparison that something has prevented."""
    return Row(what, against, "", "", FAILED, str(why))


def skipped(what, why):
    """Return the row of what this machine does not allow, or picogpt does not have."""
    return Row(what, "", "", "", SKIPPED, why)


def some(faults, most=5):
    """Return the first of the faults, and how many more there are.

    >>> some(["a", "b", "c"], most=2)
    'a; b; and 1 more'
    """
    more = [f"and {len(faults) - most} more"] if len(faults) > most else []
    return "; ".join([*faults[:most], *more])


def line(row):
    """Return a row as text, its note in a line of its own.

    >>> print(line(Row("logits", "PyTorch", "1.0e-15", "1e-10", PASSED)))
      logits                              PyTorch                           1.0e-15      1e-10 passed
    """
    cells = [cell.ljust(width) for cell, width in zip(row[:4], WIDTHS, strict=True)]
    return "  " + " ".join([*cells, row.verdict]) + (f"\n      {row.note}" if row.note else "")


def summary(found):
    """Return how many rows have which verdict; `found` are (name, what it proves, rows) of each rung."""
    verdicts = [row.verdict for *_, rows in found for row in rows]
    counts = {verdict: verdicts.count(verdict) for verdict in (PASSED, FAILED, SKIPPED, REPORTED)}
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)


def made_with():
    """Return {what: its version} of this machine and of the programs that took part."""
    versions = {"picogpt": picogpt.__version__, "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processor cores"
    return versions | {"machine": machine, "date": datetime.date.today().isoformat()}


def write(path, model, found):
    """Write the page, as HTML if the name ends so, else as Markdown."""
    page = to_html if Path(path).suffix == ".html" else to_markdown
    with atomic_write(path) as file:
        file.write(page(model, found).encode())


def to_markdown(model, found):
    """Return the page as Markdown."""
    parts = [
        f"# What was verified of picogpt, with the model {model}",
        f"{INTRODUCTION} The result: {summary(found)}.",
    ]
    for rung, proves, rows in found:
        cells = [HEADER, ["---"] * len(HEADER), *map(five, rows)]
        table = "\n".join("| " + " | ".join(escape(cell) for cell in row) + " |" for row in cells)
        parts += [f"## {rung}", proves, table]
    parts += ["## Made with", "\n".join(f"- {name}: {value}" for name, value in made_with().items())]
    return "\n\n".join(parts) + "\n"


def five(row):
    """Return the cells of a row in a page: the verdict with its note."""
    return [*row[:4], row.verdict + (f": {row.note}" if row.note else "")]


def escape(cell):
    """Return a cell that ends no cell of Markdown, and means nothing there."""
    return "".join("\\" + char if char in "|*_`<[\\" else char for char in cell.replace("\n", " "))


def to_html(model, found):
    """Return the page as HTML that needs nothing else."""
    title = html.escape(f"What was verified of picogpt, with the model {model}")
    parts = [f"<h1>{title}</h1>", f"<p>{INTRODUCTION} The result: {summary(found)}.</p>"]
    head = "".join(f"<th>{cell}</th>" for cell in HEADER)
    for rung, proves, rows in found:
        parts += [
            f"<h2>{html.escape(rung)}</h2>",
            f"<p>{html.escape(proves)}</p>",
            "<table>",
            f"<tr>{head}</tr>",
        ]
        for row in rows:
            *cells, verdict = map(html.escape, five(row))
            named = zip(HEADER, cells, strict=False)
            tds = "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in named)
            parts.append(f'<tr>{tds}<td class="{row.verdict}" data-name="verdict">{verdict}</td></tr>')
        parts.append("</table>")
    versions = "".join(f"<li>{name}: {html.escape(value)}</li>" for name, value in made_with().items())
    parts += ["<h2>Made with</h2>", f"<ul>{versions}</ul>"]
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">\n{view}\n<title>{title}</title>\n<style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n' + "\n".join(parts) + "\n</html>\n"
