"""Draw docs/positions.svg: perplexity within and beyond the context of the training, by kind of positions.

usage: python tools/docs/positions.py

The figures are those of the table of windows in docs/options.md, which says how they were measured.
"""

import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[i]) for i in (2, 1)]
from book.svg import WIDTH, Drawing

from docs.results import alone
from picogpt.system.files import atomic_write

DOCS = Path(__file__).parents[2] / "docs"
KINDS = dict(none="third", learned="stroke", rotary="second", ALiBi="curve")  # the classes of their lines


def figures(page):
    """Return {kind of positions: {window: perplexity}} of the table in a page."""
    table = re.search(r"^\| window \|.*\n\|[-|]+\n(?:\|.*\n)+", page, re.MULTILINE)[0]
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    windows = [int(line[0].split(",")[0]) for line in lines]
    return {
        name: {window: float(line[i]) for window, line in zip(windows, lines, strict=True)}
        for i, name in enumerate(head)
        if i
    }


def draw(found):
    """Return an SVG of the figures: a line for each kind, which its name stands beside."""
    d = Drawing("positions", "Perplexity within the context of the training and beyond it", 278)
    left, right, top, bottom = 34, WIDTH - 66, 38, 222
    values = [value for each in found.values() for value in each.values()]
    lowest, highest = int(min(values)), int(max(values)) + 1
    windows = list(next(iter(found.values())))

    def place(i, value):
        share = (value - lowest) / (highest - lowest)
        return left + (right - left) * i / (len(windows) - 1), bottom - (bottom - top) * share

    for tick in range(lowest, highest + 1):
        y = place(0, tick)[1]
        d.line([(left, y), (right, y)], "faint")
        d.text(left - 6, y + 4, tick, "end", "soft")
    for i, window in enumerate(windows):
        times = f"{window // windows[0]} times that" if i else "as trained"
        d.text(place(i, 0)[0], bottom + 17, window, "middle")
        d.text(place(i, 0)[0], bottom + 32, times, "middle", "soft")
    d.text(4, 18, "perplexity of a character that was held out")
    d.text((left + right) / 2, bottom + 50, "tokens that the model reads at once", "middle", "soft")
    for name, kind in KINDS.items():
        points = [place(i, value) for i, value in enumerate(found[name].values())]
        d.line(points, kind)
        d.text(right + 6, points[-1][1] + 4, f"{name}{' *' * (name == 'learned')}")
    d.text(WIDTH - 4, 18, "* its text slides", "end", "soft")
    told = "; ".join(f"{name} {', '.join(f'{v:.2f}' for v in found[name].values())}" for name in KINDS)
    d.description = (
        f"At {', '.join(map(str, windows))} tokens: {told}. Learned positions slide over the text."
    )
    return alone(d)


if __name__ == "__main__":
    with atomic_write(DOCS / "positions.svg") as file:
        file.write(draw(figures((DOCS / "options.md").read_text(encoding="utf-8"))).encode())
