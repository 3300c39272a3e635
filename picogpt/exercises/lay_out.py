"""The reader's files, made from picogpt's own: what a rung asks for has lost its body."""

import ast
import functools
from pathlib import Path

from picogpt.exercises import backward, forward, learning, operations
from picogpt.system.files import atomic_write

SOURCES = Path(__file__).parents[1]
LADDER = {rung.name: rung for part in (operations, forward, backward, learning) for rung in part.RUNGS}
MODULES = list(dict.fromkeys(name.split(".")[0] for rung in LADDER.values() for name in rung.functions))
RUNG_OF = {name: rung for rung in reversed(LADDER.values()) for name in rung.functions}  # the first to ask
ASIDE = ("keep", "time", "draw", "around", "adapter", "tricks", "p_drop")  # arguments that no rung asks for
PACKAGE = '''\
"""Your picogpt. What this folder does not have is taken from the one that is installed."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
'''


@functools.cache
def source(module):
    """Return the text of one of picogpt's own files."""
    return (SOURCES / f"{module}.py").read_text(encoding="utf-8")


parsed = functools.cache(ast.parse)


def find(tree, path):
    """Return the definition of "function" or "Class.method" in a parsed file, or None."""
    for name in path.split("."):
        tree = next((node for node in tree.body if getattr(node, "name", None) == name), None)
        if tree is None:
            return None
    return tree


def arguments(module, path):
    """Return the names of the arguments of a function."""
    return {node.arg for node in ast.walk(find(parsed(source(module)), path).args) if hasattr(node, "arg")}


def lines_of(text, path, body_only=False):
    """Return the slice of a file's lines that a function takes, or only what follows its docstring."""
    node = find(parsed(text), path)
    if not body_only:
        return slice(node.lineno - 1, node.end_lineno)
    docstring = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
    begin = node.body[0].end_lineno if docstring else node.body[0].lineno - 1
    return slice(begin, node.end_lineno)


def stub(module):
    """Return a file of picogpt's without the bodies that the ladder asks for."""
    lines = source(module).splitlines(keepends=True)
    asked = [name.partition(".")[2] for name in RUNG_OF if name.startswith(f"{module}.")]
    places = {path: lines_of(source(module), path, body_only=True) for path in asked}
    for path in sorted(asked, key=lambda path: -places[path].start):  # from the end, so that the rest stay
        indent = "    " * (1 + path.count("."))
        aside = [name for name in ASIDE if name in arguments(module, path)]
        comment = f"{indent}# rung {RUNG_OF[f'{module}.{path}'].name}"
        comment += f"; leave {', '.join(aside)} aside: not GPT-2, or dropout\n" if aside else "\n"
        lines[places[path]] = [comment, f'{indent}raise NotImplementedError("{path} is not written yet")\n']
    return "".join(lines)


def solution(name):
    """Return picogpt's own text of a function, "module.function"."""
    module, _, path = name.partition(".")
    lines = source(module).splitlines(keepends=True)
    return "".join(lines[lines_of(source(module), path)])


def start(folder):
    """Write the reader's files into `folder`, which has none yet; return their paths."""
    package = Path(folder) / "picogpt"
    if package.exists():
        raise ValueError(f"{package} is there already: give another folder, or delete it to begin again")
    package.mkdir(parents=True)
    files = {"__init__": PACKAGE} | {module: stub(module) for module in MODULES}
    for module, text in files.items():
        with atomic_write(package / f"{module}.py") as file:
            file.write(text.encode())
    return [package / f"{module}.py" for module in MODULES]
