"""Which line of the source made which array: a call, followed statement by statement while it runs."""

import ast
import sys
from pathlib import Path

import numpy as np

from picogpt.system.files import read_text


def follow(call, modules):
    """Run `call()` and return its steps: the statements of `modules` that made an array, as they ran.

    A step says where it stands (`file`, `line`, `function`), its `text` as the file has it, how many calls
    deep it ran (`depth`), what it made ([name, shape] in `made`) and how often it ran in its call (`times`):
    of a loop, the first round is followed. An array made elsewhere and only passed on is no step.
    """
    sources = {module.__file__: statements(module.__file__) for module in modules}
    steps, running = [], {}  # of each frame that is followed, the step that runs; None in a later round

    def enter(frame, event, arg):  # a function is called
        path, above = frame.f_code.co_filename, frame.f_back
        if path not in sources or frame.f_code.co_name.startswith("<"):
            return None
        while above and above not in running:  # past functions of other modules
            above = above.f_back
        if above and running[above] is None:
            return None
        running[frame], first, state = None, {}, dict(node=None)  # first: the step of each statement
        depth = running[above]["depth"] + 1 if above else 0

        def advance(frame, event, arg):  # it comes to its next line, or returns
            node = sources[path].get(frame.f_lineno)
            ended = event == "return"
            if event == "exception":
                running[frame] = None  # this statement made nothing
            if event == "exception" or (node is state["node"] and not ended):
                return advance
            if running[frame]:
                note(running[frame], state["node"], frame, state["before"], arg if ended else None)
            state.update(node=node, before=list(frame.f_locals.values()))
            running[frame] = None
            if ended:
                del running[frame]
            elif node in first:
                first[node]["times"] += 1
            elif node:
                where = dict(file=Path(path).name, line=node.lineno, function=frame.f_code.co_name)
                first[node] = running[frame] = dict(where, text=node.text, depth=depth, made=[], times=1)
                steps.append(first[node])
            return advance

        return advance

    tracing = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(tracing)
    return [step for step in steps if step["made"]]


def statements(path):
    """Return {line: the ast node of the simple statement there}; the node's `text` is that of its lines."""
    source, found = read_text(path), {}
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Return | ast.Expr):
            text = [line[node.col_offset :] for line in lines[node.lineno - 1 : node.end_lineno]]
            node.text = "\n".join(text)
            found |= dict.fromkeys(range(node.lineno, node.end_lineno + 1), node)
    return found


def note(step, node, frame, before, returned):
    """Add to a step [name, shape] of each array that its statement has made; `before` was there already."""

    def source(target):
        return ast.unparse(target).replace("'", '"')  # as the files write it

    if isinstance(node, ast.Return):
        made = {"return": returned}
    else:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [t for target in targets for t in getattr(target, "elts", [target]) if t]
        made = {source(t): eval(source(t), frame.f_globals, frame.f_locals) for t in names}
    for name, value in made.items():
        is_new = isinstance(node, ast.AugAssign) or not any(value is old for old in before)
        if isinstance(value, np.ndarray) and is_new:
            step["made"].append([name, list(value.shape)])


def find_line(module, beginning):
    """Return [line number, text] of the one line of a module's source that begins so, without its indent."""
    lines = read_text(module.__file__).splitlines()
    [found] = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip().startswith(beginning)]
    return list(found)
