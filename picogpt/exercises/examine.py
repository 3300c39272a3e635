"""Run a rung's cases on the reader's functions and on ours; say what differs, and which mistake does that.

This runs in a process of its own, see ladder.py, as the reader's code may hang or end it. A rung is checked
with the reader's functions of the rungs below.
"""

import copy
import faulthandler
import functools
import importlib
import json
import linecache
import os
import sys
import traceback
import types
from pathlib import Path

import numpy as np

from picogpt.exercises.lay_out import LADDER, MODULES
from picogpt.exercises.mistakes import mistakes, with_functions
from picogpt.params.tree import tree_map

GIVEN = ["params.shapes", "params.tree"]  # modules of which no rung asks for a function
FLOAT64 = (
    "The numbers are float64 for float32 inputs: somewhere is a NumPy scalar such as np.sqrt(2), or an array"
    " made without a dtype (np.zeros, np.ones, np.tri); take math.sqrt, or give the array x's dtype."
)


def main(folder, names, limit):
    """Examine rungs; write for each a line of JSON, [problem, ...], to stdout, which the reader does not get.

    A rung that takes longer than it may ends the process; what it was at is written instead.
    """
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the reader's code prints goes to stderr
    faulthandler.enable(report)
    our_functions()  # before the reader's are imported
    for name in names:
        faulthandler.dump_traceback_later(seconds(name, limit), exit=True, file=report)
        report.write(json.dumps(examine(LADDER[name], folder)) + "\n")
        report.flush()
        faulthandler.cancel_dump_traceback_later()


def seconds(name, limit):
    """Return how long a rung may take: `limit` seconds, or four times as long if a model is trained there."""
    return limit * (4 if any(case.slow for case in LADDER[name].cases()) else 1)


@functools.cache
def our_functions():
    """Return an object whose attributes are what a rung's code may call of picogpt's."""
    return namespace(["exercises.first" if name == "first" else name for name in MODULES] + GIVEN)


def namespace(modules):
    """Return an object whose attributes are what picogpt's modules define; later ones' come first."""
    found = [vars(importlib.import_module(f"picogpt.{module}")) for module in modules]
    defined = [
        {
            name: value
            for name, value in names.items()
            if getattr(value, "__module__", "") == names["__name__"] or name.isupper()
        }
        for names in found
    ]
    return types.SimpleNamespace(**{name: value for names in defined for name, value in names.items()})


def load(folder, modules):
    """Return the same of the reader's files in `folder`, on which the rest of picogpt then builds, too."""
    for name in list(sys.modules):
        if name.startswith("picogpt.") and not name.startswith("picogpt.exercises"):
            del sys.modules[name]
    package, before = sys.modules["picogpt"], list(sys.modules["picogpt"].__path__)
    package.__path__ = [str(Path(folder) / "picogpt"), *before]
    importlib.invalidate_caches()
    try:
        return namespace(modules)
    finally:
        package.__path__ = before


def examine(rung, folder):
    """Return what is wrong with the reader's functions of a rung, as a list of lines; [] if nothing is."""
    rungs = list(LADDER.values())
    below = rungs[: rungs.index(rung) + 1]
    modules = dict.fromkeys(name.split(":")[0] for rung in below for name in rung.functions)
    try:
        yours = load(folder, modules)
    except (Exception, SystemExit) as error:
        return [f"Your files cannot be imported: {where(error, folder)}"]
    return problems(rung, yours, folder)


def problems(rung, yours, folder):
    """Return what is wrong with `yours`, as lines: what differs, and the usual mistake that does that."""
    cases = rung.cases()
    for case in cases:
        for dtype in dtypes(case):
            theirs = outcome(case, yours, dtype)
            expected = expectation(case, dtype)
            wrong = complaint(theirs, expected, case, dtype, folder)
            if wrong:
                title = case.title if dtype == np.float64 else f"{case.title}, in float32"
                return [title, *wrong, *recognise(rung, case, dtype, yours, theirs)]
    return []


def dtypes(case):
    """Return the dtypes to run a case in: what is expected is exact, or found exactly, in float64 only."""
    return [np.float64] if case.expected is not None else [np.float64, np.float32]


def cast(tree, dtype):
    """Copy a tree of inputs, its float64 arrays as `dtype`."""
    if isinstance(tree, (dict, list)):
        return tree_map(lambda leaf: cast(leaf, dtype), tree)
    is_float = isinstance(tree, np.ndarray) and tree.dtype == np.float64
    return tree.astype(dtype) if is_float else copy.deepcopy(tree)


def outcome(case, code, dtype):
    """Run a case; return ("value", what came out), ("raised", an exception) or ("changed", which inputs)."""
    inputs = cast(case.inputs, dtype)
    try:
        with np.errstate(all="ignore"):
            value = case.run(code, **inputs)
    except (Exception, SystemExit) as error:
        return "raised", error
    before = cast(case.inputs, dtype)
    changed = [name for name in inputs if differing(inputs[name], before[name], 0)]
    return ("changed", changed) if changed else ("value", value)


def expectation(case, dtype):
    """Return what should come out of a case."""
    if callable(case.expected):
        return case.expected(our_functions(), **cast(case.inputs, dtype))
    return case.run(our_functions(), **cast(case.inputs, dtype)) if case.expected is None else case.expected


def complaint(theirs, expected, case, dtype, folder):
    """Return lines that say how an outcome differs from what is expected; [] if it does not."""
    kind, value = theirs
    if kind == "raised":
        return [where(value, folder)]
    if kind == "changed":
        return [f"{' and '.join(value)} was changed in place; make a new array, as in y = x - 1, not x -= 1."]
    found = next(differences(value, expected, case.atol or (1e-8 if dtype == np.float64 else 2e-4)), None)
    return [found] if found else []


def differing(a, b, tolerance):
    """Return whether two trees differ."""
    return next(differences(a, b, tolerance), None) is not None


def differences(value, expected, tolerance, path=""):
    """Yield in a sentence each place where a tree is not what is expected.

    `tolerance` is relative to the largest number in an array, or in numbers below 1 absolute.
    """
    name = path or "the result"
    if expected is None and value is not None:
        yield f"{name} is {value!r}, expected None"
    elif value is None and expected is not None:
        yield f"{name} is None: is there a `return`?"
    elif isinstance(expected, dict):
        if not isinstance(value, dict) or set(value) != set(expected):
            given = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            yield f"{name} should be a dict of {', '.join(map(str, expected))}, not {given}"
            return
        for key in expected:
            yield from differences(
                value[key], expected[key], tolerance, f"{path}.{key}" if path else str(key)
            )
    elif isinstance(expected, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(expected):
            given = f"{len(value)}" if isinstance(value, (list, tuple)) else f"one {type(value).__name__}"
            yield f"{name} should be {len(expected)} things, not {given}"
            return
        for i, (a, b) in enumerate(zip(value, expected, strict=True)):
            yield from differences(a, b, tolerance, f"{path}[{i}]" if path else f"result[{i}]")
    elif isinstance(expected, (str, bool, type, type(None))):
        if value != expected:
            yield f"{name} is {value!r}, expected {expected!r}"
    else:
        yield from array_differences(value, np.asarray(expected), tolerance, name)


def array_differences(value, expected, tolerance, name):
    """Yield in a sentence how an array, or a number, differs from the one expected."""
    plain, value = isinstance(value, (int, float)), np.asarray(value)
    if value.dtype.kind not in "biuf":
        yield f"{name} should be numbers, not {value.dtype}"
    elif value.shape != expected.shape:
        yield f"{name} has the shape {list(value.shape)}, expected {list(expected.shape)}"
    elif value.size and not np.all(close := near(value, expected, tolerance)):
        at = tuple(int(i) for i in np.argwhere(~close)[0])
        element = f"element [{', '.join(map(str, at))}] of {name}" if at else name
        others = f" ({(~close).sum()} of {value.size} elements differ)" if at else ""
        digits = next(d for d in (6, 9, 17) if d == 17 or f"{value[at]:.{d}g}" != f"{expected[at]:.{d}g}")
        yield f"{element} is {value[at]:.{digits}g}, expected {expected[at]:.{digits}g}{others}"
    elif value.dtype.kind == "f" and expected.dtype == np.float32 != value.dtype and not plain:
        yield FLOAT64


def near(value, expected, tolerance):
    """Return where numbers are near enough: the same infinity, or a difference within the tolerance."""
    finite = np.isfinite(expected)
    scale = max(1e-3, float(np.abs(expected[finite]).max(initial=0)))
    with np.errstate(all="ignore"):
        small = np.abs(np.subtract(value, expected, dtype=np.float64)) <= tolerance * (
            scale if tolerance < 1e-3 else 1
        )
    return np.where(finite, small, (value == expected) | (np.isnan(value) & np.isnan(expected)))


def recognise(rung, failed, dtype, yours, theirs):
    """Return the sentence of the usual mistake that gives what the reader got: [it], or [] if none does.

    If several do, it is the one that gives the same in most of the other cases, too.
    """
    if failed.slow or isinstance(theirs[1], NotImplementedError):
        return []
    fitting = [n for n, wrong in with_mistakes(rung.name, failed.title, dtype) if alike(wrong, theirs)]
    if len(fitting) > 1:
        others = [case for case in rung.cases() if case.title != failed.title and not case.slow]
        same = dict.fromkeys(fitting, 0)
        for case in others:
            gave, wrong = outcome(case, yours, dtype), dict(with_mistakes(rung.name, case.title, dtype))
            for n in fitting:
                same[n] += alike(wrong[n], gave)
        fitting = sorted(fitting, key=lambda n: -same[n])
    return [mistakes(rung.name)[n][1] for n in fitting[:1]]


@functools.cache
def with_mistakes(name, title, dtype):
    """Return what comes out of a case with each of its rung's usual mistakes: [(number, outcome), ...]."""
    case = next(case for case in LADDER[name].cases() if case.title == title)
    texts = [text for text, _ in mistakes(name)]
    return [(n, outcome(case, changed(text), dtype)) for n, text in enumerate(texts)]


@functools.cache
def changed(text):
    """Return our functions, those replaced that the text of a solution, right or wrong, defines."""
    return with_functions(our_functions(), text)


def alike(a, b):
    """Return whether two outcomes are the same: the same numbers, or the same exception."""
    if a[0] != b[0]:
        return False
    if a[0] == "raised":
        short, long = sorted((str(a[1]).strip(), str(b[1]).strip()), key=len)
        of_none = "NoneType" in short and "NoneType" in long  # None + x and x += None say it differently
        return type(a[1]) is type(b[1]) and (of_none or long.startswith(short))
    if a[0] == "changed":
        return a[1] == b[1]
    return not differing(a[1], b[1], 1e-6) and not differing(b[1], a[1], 1e-6)


def where(error, folder):
    """Return an exception as a sentence, with the last line of the reader's own that led to it."""
    at = [frame for frame in traceback.extract_tb(error.__traceback__) if inside(frame.filename, folder)]
    if isinstance(error, SyntaxError) and inside(error.filename or "", folder):
        return f"{name_in(error.filename, folder)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    if isinstance(error, NotImplementedError) and at:
        return f"{at[-1].name} is not written yet"
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    if not at:
        return said
    line = linecache.getline(at[-1].filename, at[-1].lineno).strip()
    return f"{name_in(at[-1].filename, folder)}, line {at[-1].lineno}, in {at[-1].name}: `{line}`: {said}"


def name_in(filename, folder):
    """Return the name of one of the reader's files as it stands in the reader's folder."""
    return Path(filename).resolve().relative_to(Path(folder).resolve()).as_posix()


def inside(filename, folder):
    """Return whether a file is one of the reader's."""
    return Path(folder).resolve() in Path(filename).resolve().parents
