"""What the files of solutions/ hold: for each rung a right solution, and the usual mistakes in it.

Below a line of a solution stand those that readers write in its place, and what they are then told:

    return y / y.sum(axis=-1, keepdims=True)
    # wrong: return y / y.sum()
    # All numbers together sum to 1; each row has to, by itself: sum over axis=-1.

A reader whose function gives what the solution gives with that line has made that mistake.
"""

import ast
import functools
import math
import types
from pathlib import Path

import numpy as np

from picogpt.system.files import read_text

SOLUTIONS = Path(__file__).with_name("solutions")


@functools.cache
def solution(rung):
    """Return the text of a rung's solution, without the mistakes."""
    lines = read_text(SOLUTIONS / f"{rung}.py").splitlines()
    kept, aside = [], False
    for line in lines:
        aside = line.strip().startswith("# wrong: ") or (aside and line.strip().startswith("# "))
        kept += [] if aside else [line]
    return "\n".join(kept) + "\n"


@functools.cache
def mistakes(rung):
    """Return a rung's usual mistakes: the text of its solution with each of them, and what is said then."""
    lines = read_text(SOLUTIONS / f"{rung}.py").splitlines()
    found, right = [], 0
    for n, line in enumerate(lines):
        text = line.strip()
        if text.startswith("# wrong: "):
            indent = lines[right][: -len(lines[right].lstrip())]
            wrong = [*lines[:right], indent + text.removeprefix("# wrong: "), *lines[right + 1 :]]
            found.append(("\n".join(wrong), []))
        elif text.startswith("# ") and found and right < n - 1:
            found[-1][1].append(text.removeprefix("# "))
        elif text:
            right = n
    return [(text, " ".join(sentence)) for text, sentence in found]


def with_functions(ours, text):
    """Return our functions, those replaced that a solution's text defines: it calls ours for all others."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not isinstance(node, ast.ImportFrom) or node.module == FIRST]
    names = vars(ours) | dict(np=np, math=math)
    exec(compile(tree, "<solution>", "exec"), names)
    return types.SimpleNamespace(**names)


FIRST = "picogpt.exercises.first"  # has simpler functions than ours under the same names
