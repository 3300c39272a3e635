"""Make the tables of files: docs/rooms.md, and the lengths in README's reading order.

usage: python tools/docs/files.py          writes them
       python tools/docs/files.py COMMIT   prints the numbers of the architecture at a commit

docs/rooms.md has the numbers of the architecture, and every file of the package in its room, with the sentence
with which it begins; the rooms stand in the order of ORDER. So nothing in these tables was typed twice.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE, ROOMS, README = REPOSITORY / "picogpt", REPOSITORY / "docs" / "rooms.md", REPOSITORY / "README.md"
PATH = ["pico", "ops", "gpt2", "grad", "generate"]  # the reading path
ORDER = [
    *("params", "speed", "train", "text", "checkpoints", "descendants", "finetune", "evaluate", "explain"),
    *("sizing", "projects", "exercises", "chat", "system"),
]
DESCENDANTS = re.compile(  # words of what GPT-2 does not have, which its own files do without
    r"\b(descendants?|adapters?|band(ed)?|gelu_(erf|quick)|relu|silu|rotary|alibi|time_\w+|tricks?"
    r"|halves|recall|around)\b",
    re.IGNORECASE,
)
BEFORE = {  # what `python tools/docs/files.py 802b9c5` prints: the last commit without rooms
    "files and folders of Python in `picogpt/`": "55",
    "rooms; a file at the top is one": "54",
    "arrows: a room imports from another": "185",
    "lines of pico, ops, gpt2, grad, generate": "0, 193, 248, 230, 201",
    "words of GPT-2's descendants in ops, gpt2, grad": "60",
}
HEAD = """# The rooms, file by file

`tools/docs/files.py` makes this page from the first sentences of the files.
[`test_layout.py`](../tests/repository/test_layout.py) holds which may import which, and how long each may
be: it is the shortest description of the architecture.

## In numbers

"""
PATH_HEAD = """
## picogpt: the reading path
"""


def sources(commit=None):
    """Return {path below picogpt/: text} of all Python files, as they are or as they were at a commit."""
    if commit is None:
        return {
            p.relative_to(PACKAGE).as_posix(): p.read_text(encoding="utf-8") for p in PACKAGE.rglob("*.py")
        }

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=REPOSITORY, check=True, capture_output=True, encoding="utf-8"
        ).stdout

    paths = git("ls-tree", "-r", "--name-only", commit, "picogpt/").splitlines()
    return {p.removeprefix("picogpt/"): git("show", f"{commit}:{p}") for p in paths if p.endswith(".py")}


def arrows(texts):
    """Return {(room, room)}: a file of the first imports from the second; a file at the top is a room."""
    found = set()
    for path, text in texts.items():
        room = path.split("/")[0].removesuffix(".py")
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                package, *inside = name.split(".")
                if package == "picogpt" and inside and inside[0] != room:
                    found.add((room, inside[0]))
    return found


def numbers(texts):
    """Return {what: figure} of the architecture, for {path: text} as `sources` gives it."""
    texts = {path: text for path, text in texts.items() if "/solutions/" not in path}  # read, not imported
    entries = {path.split("/")[0] for path in texts}
    lines = ", ".join(str(len(texts.get(f"{name}.py", "").splitlines())) for name in PATH)
    words = sum(len(DESCENDANTS.findall(texts[f"{name}.py"])) for name in ("ops", "gpt2", "grad"))
    figures = (
        len(entries),
        len(entries - {"__init__.py"}),
        len(arrows(texts)),
        ", ".join(map(str, found)),
        words,
    )
    return dict(zip(BEFORE, map(str, figures), strict=True))


def numbers_table():
    """Return the table of the numbers: before there were rooms, and now."""
    rows = [f"| {what} | {BEFORE[what]} | {figure} |" for what, figure in numbers(sources()).items()]
    return "\n".join(["| | before | now |", "|---|---|---|", *rows, ""])


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
    parts = [HEAD + numbers_table() + PATH_HEAD, table(top), "Beside it:\n", table(rest)]
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
    if len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        print(*(f"{what}: {figure}" for what, figure in numbers(sources(sys.argv[1])).items()), sep="\n")
        sys.exit()
    if sys.argv[1:]:
        sys.exit(__doc__)
    ROOMS.write_text(rooms_page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
