"""What a rung of the ladder consists of, and the inputs that its cases are made from."""

import zlib
from typing import Any, NamedTuple

import numpy as np

from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, nest


class Case(NamedTuple):
    """One thing that must come out right: run(code, **inputs), where `code` has the functions by name.

    `expected` is what must come out, or a function of (our code, **inputs) that finds it in another way;
    None: what our code returns. A case of the second kind is run in float64 and float32. `atol` is the
    largest difference allowed; `slow` says that it is not run again to recognise a mistake.
    """

    title: str
    run: Any
    inputs: dict
    expected: Any = None
    atol: float | None = None
    slow: bool = False


class Rung(NamedTuple):
    """A rung: the functions that it asks for, a hint, and its cases; its usual mistakes are in solutions/.

    A function is "module:function", or "module:Class.method". `cases` is a function, so that inputs are
    made when they are needed.
    """

    name: str
    functions: list
    hint: str
    cases: Any


def normal(*shape, of=""):
    """Draw numbers N(0, 1), the same for the same shape and name."""
    return np.random.default_rng(zlib.crc32(f"{of}{shape}".encode())).standard_normal(shape)


def model(**changes):
    """Return (params, n_head) of a tiny GPT-2 of random numbers, whose sizes are all different."""
    hparams = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2) | changes
    shapes = flatten(param_shapes(**hparams))
    drawn = {path: float(path.endswith(".g")) + 0.4 * normal(*shapes[path], of=path) for path in shapes}
    return nest(drawn), hparams["n_head"]


BLOCK = model()[0]["blocks"][0]
IDS = np.array([[3, 16, 3, 0, 7, 11, 2], [5, 5, 1, 14, 0, 9, 16]])  # [B, T]
TRIANGLE = np.where(np.tri(4) == 1, 0, -1e10)  # the causal mask of 4 tokens
