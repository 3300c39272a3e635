"""The reader's files, made from picogpt's own: what a rung asks for has lost its body."""

import ast
import functools
from pathlib import Path

from picogpt.exercises import backward, forward, learning, operations
from picogpt.system.files import atomic_write, read_text

SOURCES = Path(__file__).parents[1]
LADDER = {rung.name: rung for part in (operations, forward, backward, learning) for rung in part.RUNGS}
MODULES = list(dict.fromkeys(name.split(":")[0] for rung in LADDER.values() for name in rung.functions))
RUNG_OF = {name: rung for rung in reversed(LADDER.values()) for name in rung.functions}  # the first to ask
ASIDE = ("keep", "draw", "pad", "p_drop", "dstream", "initial")  # arguments that no rung asks for yet
PACKAGE = '''\
"""Your picogpt. What this folder does not have is taken from the one that is installed."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
'''


def path_of(module):
    """Return the path of a module's file in the package: train/optim.py of "train.optim"."""
    return f"{module.replace('.', '/')}.py"


@functools.cache
def source(module):
    """Return the text of one of picogpt's own files; `first` is made for the ladder."""
    return read_text(SOURCES / ("exercises/first.py" if module == "first" else path_of(module)))


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


def body_of(text, path):
    """Return the slice of a file's lines that a function's body takes, what follows its docstring."""
    node = find(parsed(text), path)
    docstring = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
    begin = node.body[0].end_lineno if docstring else node.body[0].lineno - 1
    return slice(begin, node.end_lineno)


def stub(module):
    """Return a file of picogpt's without the bodies that the ladder asks for."""
    lines = source(module).splitlines(keepends=True)
    asked = [name.partition(":")[2] for name in RUNG_OF if name.startswith(f"{module}:")]
    places = {path: body_of(source(module), path) for path in asked}
    for path in sorted(asked, key=lambda path: -places[path].start):  # from the end, so that the rest stay
        indent = "    " * (1 + path.count("."))
        aside = [name for name in ASIDE if name in arguments(module, path)]
        comment = f"{indent}# rung {RUNG_OF[f'{module}:{path}'].name}"
        comment += f"; leave {', '.join(aside)} aside\n" if aside else "\n"
        lines[places[path]] = [comment, f'{indent}raise NotImplementedError("{path} is not written yet")\n']
    return "".join(lines)


def place(function, folder):
    """Return where a function stands in the reader's files, or in ours: "picogpt/ops.py, line 61"."""
    module, _, path = function.partition(":")
    file = Path(folder, "picogpt", path_of(module))
    try:
        node = find(ast.parse(read_text(file)), path)
    except (OSError, SyntaxError):
        node = None
    return f"picogpt/{path_of(module)}" + (f", line {node.lineno}" if node else "")


def start(folder):
    """Write the reader's files into `folder`, which has none yet; return their paths."""
    package = Path(folder) / "picogpt"
    if package.exists():
        raise ValueError(f"{package} is there already: give another folder, or delete it to begin again")
    rooms = {Path(path_of(module)).parent for module in MODULES}
    files = {room / "__init__.py": PACKAGE for room in rooms}
    files |= {Path(path_of(module)): stub(module) for module in MODULES}
    for path, text in files.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(package / path) as file:
            file.write(text.encode())
    return [package / path_of(module) for module in MODULES]
