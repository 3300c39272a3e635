"""LoRA: keep a model's matrices as they are, and learn an update of low rank for some of them.

    w' = w + a b        w [m, n], a [m, r], b [r, n], with a rank r far below m and n

(Hu et al. 2021, section 4.1, whose B A is our a b, transposed. Their factor alpha / r is left out: they say
that tuning it is like tuning the learning rate.) The model's own code does not change: w' is a matrix like w
and takes its place, which is called merging. The gradients of a and b follow from that of w'.

Before the first step b is 0, and w' equals w. `unmerge` restores w bit for bit, because `merge` has kept a
copy; subtracting a b would leave rounding errors. A merged model takes as long to compute as one without
LoRA.
"""

import contextlib
import math

import numpy as np

from picogpt.checkpoints import safetensors
from picogpt.params.tree import flatten


def start(matrices, rank, rng):
    """Return {path: {"a", "b"}} for {path: w}: a is random, of variance 1 / m, and b is 0."""
    low_rank = {}
    for path, w in matrices.items():
        if w.ndim != 2 or not 1 <= rank <= min(w.shape):
            raise ValueError(f"{path} of shape {w.shape} has no update of rank {rank}: choose other matrices")
        m, n = w.shape
        a = (rng.standard_normal((m, rank)) / math.sqrt(m)).astype(w.dtype)
        low_rank[path] = dict(a=a, b=np.zeros((rank, n), w.dtype))
    return low_rank


def merge(params, low_rank):
    """Put w + a b into the place of each w of the model; return {path: w} of what was there."""
    flat = flatten(params)
    base = {path: flat[path].copy() for path in low_rank}
    for path, ab in low_rank.items():
        flat[path] += ab["a"] @ ab["b"]
    return base


def unmerge(params, base):
    """Put back what `merge` has returned, bit for bit."""
    flat = flatten(params)
    for path, w in base.items():
        flat[path][...] = w


@contextlib.contextmanager
def merged(params, low_rank):
    """Merge the low-rank updates for the length of a block: `with merged(params, low_rank): ...`"""
    base = merge(params, low_rank)
    try:
        yield
    finally:
        unmerge(params, base)


def backward(dw, a, b):
    """With w' = w + a b: da = dw' b^T, db = a^T dw'."""
    return dict(a=dw @ b.T, b=a.T @ dw)


def save(path, low_rank):
    """Write the updates alone, a small part of a model, into a safetensors file."""
    safetensors.write(path, flatten(low_rank), {"format": "picogpt LoRA: w + a b"})


def load(path):
    """Read what `save` wrote; `merge` then makes of the base model the fine-tuned one."""
    low_rank = {}
    for name, array in safetensors.read(path)[0].items():
        matrix, _, part = name.rpartition(".")
        low_rank.setdefault(matrix, {})[part] = array
    return low_rank
