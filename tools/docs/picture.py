"""Make the pictures of README: what the bundled model looks at, its page, the book, and a check that fails.

usage: python tools/docs/picture.py [NAME ...]

Needs playwright and what the book needs (`pip install -e ".[browser,book]"`) and an installed Chromium.

  NAME   explain: its attention; look: the page of `picogpt.explain`; book: a page of the book; rebuild: the
         exercises' answer to a usual mistake (all four)

Each is made by running what it shows, and written to docs/NAME.png.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import html
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
sys.path.insert(0, str(Path(__file__).parents[2]))  # this picogpt, installed or not
from book import __main__ as book

from picogpt.explain import cli as explain

REPOSITORY = Path(__file__).parents[2]
PROMPT = "Once upon a time, there was a little girl named Lily. Lily had a red ball, and she"
ANSWERS = [  # to the rung of the softmax; the first makes probabilities of all rows together
    "    e = np.exp(x - x.max(axis=-1, keepdims=True))\n    return e / e.sum()",
    "    e = np.exp(x - x.max(axis=-1, keepdims=True))\n    return e / e.sum(axis=-1, keepdims=True)",
]
TERMINAL = """<body style="margin: 0"><pre style="margin: 0; padding: 16px 20px;
background: #1b1f24; color: #e6edf3; font: 15px/1.5 'DejaVu Sans Mono', monospace;
white-space: pre-wrap">{}</pre></body>"""


def picture_explain(page, folder):
    """Picture the attention of all heads, one enlarged."""
    show_explain(page, folder, 1000, 900)
    page.locator("#attention .pair").screenshot(path=target("explain"))


def picture_look(page, folder):
    """Picture the beginning of the page that `picogpt.explain` writes."""
    show_explain(page, folder, 1000, 1100)
    page.screenshot(path=target("look"))


def picture_book(page, folder):
    """Picture the chapter of the softmax, formulas beside the code."""
    book.build(folder)
    page.set_viewport_size(dict(width=1100, height=1100))  # where the code stands beside the prose
    page.goto(Path(folder, "softmax.html").as_uri())
    page.screenshot(path=target("book"))


def picture_rebuild(page, folder):
    """Picture what a rung of the exercises says of a usual mistake, and then of a right answer."""
    said = [terminal(folder, "start", "mine")]
    path = Path(folder, "mine", "picogpt", "ops.py")
    empty = path.read_text(encoding="utf-8")
    for answer in ANSWERS:
        written = re.sub(r"    raise .*softmax is not written.*", answer, empty, count=1)
        path.write_text(written, encoding="utf-8")
        said.append(f"\n  ...{answer.rpartition(chr(10))[2]}\n\n")
        said.append(terminal(path.parents[1], "check", "softmax"))
    page.set_viewport_size(dict(width=760, height=760))
    page.set_content(TERMINAL.format(html.escape("".join(said))))
    page.locator("pre").screenshot(path=target("rebuild"))


def show_explain(page, folder, width, height):
    """Open the page of what the bundled model does with PROMPT."""
    path = Path(folder, "page.html")
    explain.explain(PROMPT, n=0, out=str(path))
    page.set_viewport_size(dict(width=width, height=height))
    page.goto(path.as_uri())


def terminal(folder, *words):
    """Run a command of the exercises; return what a terminal shows, the command included."""
    command = [sys.executable, "-m", "picogpt.exercises", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return f"$ python -m picogpt.exercises {' '.join(words)}\n{done.stderr}{done.stdout}"


def target(name):
    """Return the path of a picture."""
    return REPOSITORY / "docs" / f"{name}.png"


PICTURES = dict(explain=picture_explain, look=picture_look, book=picture_book, rebuild=picture_rebuild)


def main(names):
    """Make the pictures that are named, or all."""
    if set(names) - set(PICTURES):
        sys.exit(__doc__)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in names or PICTURES:
            page = browser.new_page(device_scale_factor=dict(explain=1.5, look=0.75, book=0.75).get(name, 1))
            with tempfile.TemporaryDirectory() as folder:
                PICTURES[name](page, folder)
            page.close()
        browser.close()


if __name__ == "__main__":
    interrupt.quietly(main, sys.argv[1:])
