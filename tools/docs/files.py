"""Make the tables of files: docs/rooms.md, and the lengths in README's reading order.

usage: python tools/docs/files.py

docs/rooms.md has every file of the package in its room, with the sentence with which it begins; the rooms
stand in the order of ORDER. So nothing in these tables was typed twice.
"""

import ast
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE, ROOMS, README = REPOSITORY / "picogpt", REPOSITORY / "docs" / "rooms.md", REPOSITORY / "README.md"
PATH = ["pico", "ops", "gpt2", "grad", "generate"]  # the reading path
ORDER = [
    *(
        "params",
        "speed",
        "train",
        "text",
        "checkpoints",
        "descendants",
        "finetune",
        "evaluate",
        "explain",
        "chat",
    ),
    *("sizing", "projects", "exercises", "system"),
]
HEAD = """# The rooms, file by file

`tools/docs/files.py` makes this page from the first sentences of the files.
[`test_layout.py`](../tests/repository/test_layout.py) holds which may import which, and how long each may
be: it is the shortest description of the architecture.

## picogpt: the reading path
"""


def says(path):
    """Return the first sentence, or line, of a file's docstring, without its full stop."""
    paragraph = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n\n")[0]
    return " ".join(paragraph.split()).removesuffix(".")


def table(paths):
    """Return a table of files, with a link to each and what it says."""
    rows = [f"| [`{p.stem}`](../{p.relative_to(REPOSITORY).as_posix()}) | {says(p)} |" for p in paths]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def rooms_page():
    """Return docs/rooms.md: the reading path, then each room."""
    top = [PACKAGE / f"{name}.py" for name in PATH]
    rest = [path for path in files(PACKAGE) if path not in top]
    parts = [HEAD, table(top), "Beside it:\n", table(rest)]
    for name in rooms():
        room = PACKAGE / name
        parts += [f"## {name}\n", f"{says(room / '__init__.py')}.\n", table(files(room))]
    return "\n".join(parts)


def rooms():
    """Return the names of all rooms: those of ORDER, then any that it does not know."""
    found = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def files(folder):
    """Return the files of a folder that say something of their own."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("__"))


def readme(text):
    """Return README with the lengths of the files in its reading order as they are."""

    def row(match):
        lines = (REPOSITORY / match[2]).read_text(encoding="utf-8").splitlines()
        return f"{match[1]}({match[2]}) | {len(lines)} |"

    return re.sub(r"^(\| \[`\w+\.py`\])\((\S+)\) \| \d+ \|", row, text, flags=re.MULTILINE)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    ROOMS.write_text(rooms_page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
