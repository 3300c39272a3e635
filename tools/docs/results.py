"""Make docs/results.md from the results of the projects' runs.

usage: python tools/docs/results.py [RESULT.json ...]

  -h, --help   this page

A run of a project leaves a result.json in its folder. Those that are named are copied to docs/results/, and
the page is made anew from all that are there. So no figure on it was typed. What linear probes of image
GPT's layers, and of a masked model's, tell is drawn, too, in docs/probe.svg.

Exit codes: 0 done, 1 a file that is no result; 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import json
import logging
import math
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[i]) for i in (2, 1)]
from book.svg import WIDTH, Drawing

from picogpt.system import command
from picogpt.system.files import atomic_write

DOCS = Path(__file__).parents[2] / "docs"
PROBE = "right by a linear probe of each layer"  # as the projects of images call it
COLUMNS = ("stroke", 44), ("curve", 196), ("third", 306)  # of the drawing: a colour, and where names begin
STYLE = (  # the book's colours, for a drawing that stands alone
    "<style>text { font: 12px Georgia, serif; fill: #222 } .soft { font-size: 11px; fill: #666 }"
    " polyline { fill: none; stroke: #888; stroke-width: 1.8 } .faint { stroke: #ddd; stroke-width: 1 }"
    " .second { stroke: #b5541c } .curve { stroke: #1a5fb4 } .third { stroke: #26793b }"
    " @media (prefers-color-scheme: dark) { text { fill: #ddd } .soft { fill: #aaa }"
    " .faint { stroke: #444 } .second { stroke: #e8935f } .curve { stroke: #78aeff }"
    " .third { stroke: #6cc483 } }"
    "</style>"
)
HEAD = """# Results of the projects

Each section is one run of one project: what came out here, and, where there is one, the figure that the
ancestor published. `tools/docs/results.py` makes this page from the files in [results/](results), which the
runs wrote. Times are of the machine that the run was on, and say no more than how many minutes to expect.
"""


def take(paths):
    """Copy the results of runs to docs/results/, each under the name of its project and its folder."""
    (DOCS / "results").mkdir(exist_ok=True)
    for path in map(Path, paths):
        result = read(path)
        project, folder = result["project"].replace("_", "-"), path.resolve().parent.name
        name = folder if folder.startswith(project) else f"{project}-{folder}"
        with atomic_write(DOCS / "results" / f"{name}.json") as file:
            file.write(json.dumps(result, indent=2, ensure_ascii=False).encode() + b"\n")


def read(path):
    """Return the result in a file, if a section can be made of it."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        section(result)
        return result
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path} is no result of a run: give the result.json of one") from None


def page(results):
    """Return the page of a list of results: a section for each."""
    return "\n".join([HEAD, *(section(result) for result in results)])


def section(result):
    """Return the command of a run, its time, and what came out beside what was published."""
    ours, published = result["results"], result["published"]
    lines = [f"## {result['project']}", "", "```sh", result["command"], "```", ""]
    lines += [f"{minutes(result['seconds'])}.", "", "| | here | published |", "|---|---|---|"]
    for what, value in ours.items():
        if not isinstance(value, dict):
            lines.append(f"| {cell(what)} | {cell(value)} | {cell(published.get(what, ''))} |")
    for what, value in ours.items():
        if isinstance(value, dict):
            lines += ["", f"{what}:", "", *rows(value, published.get(what))]
            if what == PROBE:
                told = (
                    "How often a linear probe of each layer is right about the class; dashed: before training"
                )
                lines += ["", f"![{told}](probe.svg)"]
    return "\n".join([*lines, ""])


def probed(results):
    """Return {model: {layer: share}} of all results together; of one model the last result's."""
    return {name: each for result in results for name, each in result["results"].get(PROBE, {}).items()}


def probe(shares):
    """Return an SVG of how often each model's layers tell the class: {model: {layer: share}}.

    A model has its colour, and before its training, which a name says after a comma, it is dashed.
    """
    d = Drawing("probe", "A linear probe of each layer", 266)
    left, right, top, bottom = 44, WIDTH - 14, 34, 190
    last = max(int(layer) for each in shares.values() for layer in each)
    lowest = math.floor(10 * min(share for each in shares.values() for share in each.values())) / 10
    for tick in range(round(10 * lowest), 11):
        y = bottom - (bottom - top) * (tick / 10 - lowest) / (1 - lowest)
        d.line([(left, y), (right, y)], "faint")
        d.text(left - 6, y + 4, f"{tick / 10:.1f}", "end", "soft")
    for layer in range(last + 1):
        d.text(left + (right - left) * layer / last, bottom + 16, layer, "middle", "soft")
    d.text(left - 30, 18, "share of held-out pictures whose class is told right")
    d.text((left + right) / 2, bottom + 32, "after so many layers", "middle", "soft")
    models = list(dict.fromkeys(name.partition(", ")[0] for name in shares))
    for name, each in shares.items():
        model, _, untrained = name.partition(", ")
        kind, x = COLUMNS[models.index(model) % len(COLUMNS)]
        y, more = (bottom + 66, dict(stroke_dasharray="3 3")) if untrained else (bottom + 50, {})
        ys = [bottom - (bottom - top) * (share - lowest) / (1 - lowest) for share in each.values()]
        points = [(left + (right - left) * i / last, y) for i, y in enumerate(ys)]
        d.line(points if len(points) > 1 else [(left, ys[0]), (right, ys[0])], kind, **more)
        d.line([(x - 20, y), (x - 4, y)], kind, **more)
        d.text(x, y + 4, untrained or model.removeprefix("the "), class_="soft")
    told = [
        f"{name}: {', '.join(f'{share:.3f}' for share in each.values())}" for name, each in shares.items()
    ]
    d.description = "; ".join(told) + ", from layer to layer."
    return alone(d)


def alone(drawing):
    """Return a drawing as a file of its own, which brings its colours."""
    svg = str(drawing).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return svg.replace("<title", f"{STYLE}<title", 1) + "\n"


def rows(ours, published):
    """Return the table of a result that is {step or kind: figure}, or {kind: {name: figure}}."""
    if any(isinstance(value, dict) for value in ours.values()):
        names = list(dict.fromkeys(name for value in ours.values() for name in value))
        table = [["", *names], *([kind, *map(value.get, names)] for kind, value in ours.items())]
    else:
        keys = list(dict.fromkeys([*ours, *(published or {})]))
        table = [["", *keys], ["here", *map(ours.get, keys)]]
        if published:
            table.append(["published", *map(published.get, keys)])
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in table]
    return [lines[0], "|---" * len(table[0]) + "|", *lines[1:]]


def cell(value):
    """Return how a figure or a text stands in a table.

    >>> cell(0.123456789), cell(12345), cell(None), cell("a|b"), cell([1, 2])
    ('0.12346', '12,345', '', 'a\\\\|b', '1, 2')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    return " ".join(str(value).replace("|", "\\|").split())


def minutes(seconds):
    """Return a time as one says it.

    >>> minutes(12.3), minutes(150)
    ('12 seconds', '2.5 minutes')
    """
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def recorded():
    """Return the results in docs/results/, in the order of their names."""
    paths = sorted((DOCS / "results").glob("*.json"))
    return [read(path) for path in paths]


def main():
    """Make the page, with the results that are named."""
    logging.basicConfig(format="results: %(message)s", force=True)
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__.strip())
        return
    if flags := [word for word in sys.argv[1:] if word.startswith("-")]:
        command.usage_error(f"there is no flag {flags[0]}")
    try:
        take(sys.argv[1:])
        with atomic_write(DOCS / "results.md") as file:
            file.write(page(recorded()).encode())
        if shares := probed(recorded()):
            with atomic_write(DOCS / "probe.svg") as file:
                file.write(probe(shares).encode())
    except (ValueError, OSError) as error:
        logging.getLogger("picogpt").error(command.sentence(error))
        sys.exit(1)


if __name__ == "__main__":
    interrupt.quietly(main)
