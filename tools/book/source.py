"""What the book takes from the repository: functions, the lines that chapters quote, tests, and examples.

Nothing here needs more than Python and NumPy: the tests hold the chapters to the sources without the extra.
"""

import ast
import doctest
import functools
import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np

REPOSITORY = Path(__file__).parents[2]
CHAPTERS = REPOSITORY / "docs" / "book"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@functools.cache
def read(path):
    """Return the text of a file of the repository."""
    file = REPOSITORY / path
    if not file.is_file():
        raise FileNotFoundError(f"{path} is not in the repository: a chapter that names it must change")
    return file.read_text(encoding="utf-8")


def is_text(path):
    """Return whether there is such a file in the repository, and it has a page: code, or a document."""
    return (REPOSITORY / path).is_file() and Path(path).suffix in (".py", ".md", ".toml", ".yml", "")


@functools.cache
def functions(path):
    """Return {name: its syntax tree} of a file's functions and classes; a method is Class.method."""
    found = {}
    for node in ast.parse(read(path)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
            methods = node.body if isinstance(node, ast.ClassDef) else []
            found |= {f"{node.name}.{m.name}": m for m in methods if isinstance(m, ast.FunctionDef)}
    return found


@functools.cache
def modules():
    """Return the paths of picogpt's files, those on top first."""
    paths = sorted((REPOSITORY / "picogpt").rglob("*.py"), key=lambda path: (len(path.parts), path))
    return [path.relative_to(REPOSITORY).as_posix() for path in paths]


def module(name):
    """Return the path of the module of picogpt that is called `name` in its room, or None."""
    return next((path for path in modules() if path.endswith(f"/{name.replace('.', '/')}.py")), None)


@functools.cache
def chapters():
    """Return {name: text} of the chapters that are written, as docs/book holds them."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(CHAPTERS.glob("*.md"))}


def quote(reference):
    """Return path, function and line numbers, from 1, of the lines that a chapter refers to.

    "ops.py softmax | y = np.exp" is the line of `softmax` that has this text, "| first | last" a range from
    one such line to another. Each text must be in one line of the function, and not in two.
    """
    place, *texts = (part.strip() for part in reference.strip().split(" | "))
    file, name = place.split()
    path = file if "/" in file else module(file.removesuffix(".py")) or file
    if name not in functions(path):
        raise ValueError(f"{path} has no function {name}: the chapter that quotes it must change")
    node, lines = functions(path)[name], read(path).splitlines()
    body = range(first_line(node), node.end_lineno + 1)
    found = []
    for text in texts:
        at = [n for n in body if text in lines[n - 1]]
        if len(at) != 1:
            raise ValueError(f"{len(at)} lines of {name} in {path} have {text!r}: a quotation needs one")
        found += at
    return path, name, range(found[0], found[-1] + 1)


def first_line(node):
    """Return the number of the line that follows a function's docstring."""
    documented = ast.get_docstring(node) is not None
    return node.body[0].end_lineno + 1 if documented else node.lineno


def excerpt(reference):
    """Return path and lines of a document that a chapter quotes: first its path, then a start on each line.

    "| AdamW" are the rows of a table that begin so, quoted below the table's head; other starts are those of
    a paragraph, or of an item of a list.
    """
    path, *starts = reference.strip().splitlines()
    lines, quoted = read(path).splitlines(), []
    for begin in starts:
        parts = lines if begin.startswith("|") else re.split(r"\n(?:\s*\n|(?=- ))", read(path))
        found = [part for part in parts if part.startswith(begin)]
        if not found:
            raise ValueError(
                f"{path} has nothing that begins with {begin!r}: the chapter that quotes it must change"
            )
        if begin.startswith("|") and not quoted:
            rule = max(n for n in range(lines.index(found[0])) if re.fullmatch(r"[| -]+", lines[n]))
            quoted = lines[rule - 1 : rule + 1]
        quoted += found
    return path, quoted


def run_examples(name, text):
    """Run the examples of a chapter, one after the other; raise ValueError if one prints something else.

    They open files of the repository, which has to be the current folder.
    """
    examples = "\n".join(body for language, body in FENCE.findall(text) if language == "python")
    test = doctest.DocTestParser().get_doctest(examples, {}, name, f"{name}.md", 0)
    runner, said = doctest.DocTestRunner(verbose=False), io.StringIO()
    with redirect_stdout(said), np.printoptions():
        runner.run(test, out=said.write)
    if runner.failures:
        raise ValueError(f"an example of the chapter {name} is wrong:\n{said.getvalue()}")
    return runner.tries


def inline_names(text):
    """Return what stands between single backticks in a chapter, outside of its fences and formulas."""
    prose = re.sub(r"\$\$.*?\$\$", "", FENCE.sub("", text), flags=re.DOTALL)
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)


def look_up(name):
    """Return (path, function or "") of what a name in backticks stands for, None if it is no such name.

    `ops.softmax` is a function of a module, `ops.py` or `docs/speed.md` a file. Those that are gone are a
    ValueError; other words are code, and mean nothing outside the chapter.
    """
    if re.fullmatch(r"[\w/.-]+\.(py|md)", name):
        path = module(name.removesuffix(".py")) or name
        read(path)
        return path, ""
    stem, _, function = name.partition(".")
    path = module(stem)
    if not path or not re.fullmatch(r"[A-Za-z_][\w.]*", function):
        return None
    if function not in functions(path) and not re.search(rf"^{function} = ", read(path), re.MULTILINE):
        raise ValueError(f"{path} has no {function}: the chapter that names it must change")
    return path, function


def mirror(name):
    """Return (path, function) of a function's mirror: of `gelu` gelu_backward, and of that, gelu."""
    other = name.removesuffix("_backward") if name.endswith("_backward") else f"{name}_backward"
    for path in (
        "picogpt/ops.py",
        "picogpt/gpt2.py",
        "picogpt/grad.py",
        "picogpt/descendants/erf.py",
        "picogpt/descendants/tricks.py",
    ):
        if other in functions(path):
            return path, other
    return None


@functools.cache
def words(node):
    """Return every name that a piece of syntax mentions, and of `grad.add` also the two together."""
    found = set()
    for n in ast.walk(node):
        values = [getattr(n, field, None) for field in ("id", "attr", "arg", "name", "value")]
        found |= {value for value in values if isinstance(value, str)}
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name):
            found.add(f"{n.value.id}.{n.attr}")
    return frozenset(found)


@functools.cache
def all_tests():
    """Return the tests: for each its path, its name, and all that it mentions itself or by its helpers."""
    found = []
    for file in sorted((REPOSITORY / "tests").glob("*/test_*.py")):
        path = file.relative_to(REPOSITORY).as_posix()
        tree, known = ast.parse(read(path)), functions(path)
        imports = frozenset().union(*(words(n) for n in tree.body if isinstance(n, ast.ImportFrom)))
        for name, node in known.items():
            if name.startswith("test_"):
                seen, todo = set(), {name}
                while todo - seen:
                    word = (todo - seen).pop()
                    seen.add(word)
                    todo |= words(known[word]) if word in known else set()
                found.append(
                    SimpleNamespace(path=path, name=name, words=words(node), all=seen, imports=imports)
                )
    return found


def tests_of(path, name, through=()):
    """Return the tests of a function, most direct ones first, and the names of the callers they go through.

    A test is one of `ops.gelu` if it, or a helper in its file, mentions gelu, and the file is test_ops.py
    or has imported that name. A function that no test mentions is tested through those that call it.
    """
    stem, last = Path(path).stem, re.sub(r"\.__\w+__$", "", name).split(".")[-1]
    home, whole = f"/test_{stem}.py", f"{stem}.{last}"
    found = [
        t
        for t in all_tests()
        if whole in t.all or (last in t.all and (t.path.endswith(home) or last in t.imports))
    ]
    found.sort(key=lambda t: (not t.path.endswith(home), last not in t.words, last not in t.name))
    if found or len(through) > 3:
        return found, through
    for caller in callers(last, path):
        if caller[1] not in (name, *through):
            found, way = tests_of(*caller, (*through, caller[1]))
            if found:
                return found, way
    return [], through


@functools.cache
def callers(name, home):
    """Return (path, function) of all in picogpt that mention a function, those of its own file first."""
    return [
        (path, function)
        for path in sorted(modules(), key=lambda path: path != home)
        for function, node in functions(path).items()
        if isinstance(node, ast.FunctionDef) and function.split(".")[-1] != name and name in words(node)
    ]
