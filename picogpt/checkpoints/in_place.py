"""Weights that are used from their file: so the first token comes soonest, and the later ones from memory.

A mapped file is ready at once: the system brings what is looked at, when it is looked at, and no byte is
copied. For the fastest steps after that the weights belong into one large array, for which NumPy asks the
system for huge pages. `settle` copies them to there while the text is being written.
"""

import threading

import numpy as np

from picogpt.checkpoints import verified
from picogpt.params import checks
from picogpt.params.tree import flatten, walk
from picogpt.system.machine import let_go, owner, spread

PAYS = 256  # tokens: copying costs as much as 30 steps of a text, and saves a tenth of each or more


def can_stay(arrays):
    """Return whether BLAS computes from arrays where they are: whole ones of float32, in mapped files."""
    return all(
        owner(array) is not None
        and array.dtype == np.float32
        and array.flags.aligned
        and array.flags.c_contiguous
        for array in arrays.values()
        if array.size
    )


def check_finite(arrays, source):
    """Do as `checks.check_finite`, on all cores, and for each file once; see verified.py."""
    files = {owner(array).filename for array in arrays.values() if array.size}
    with verified.once("finite", files) as known:
        if not known:
            spread(lambda item: checks.check_finite(dict([item]), source), list(arrays.items()))


def place(path, array, out):
    """Copy the array at a path of the tree into the memory `out`; return it as it lies there."""
    out[...] = array.ravel()
    return out.reshape(array.shape)


def settle(steps, params, place=place):
    """Pass on the steps of a text; after the first, a thread moves the weights of `params` into memory.

    It does so array by array, in the tree, and lets the mapped one go: twice the memory is never held.
    Another `place` may lay them out otherwise, see speed/compiled.py.
    """
    started = not can_stay(flatten(params))  # then they are in memory, or nearly
    for step in steps:
        yield step
        if not started:
            threading.Thread(target=move, args=(params, place), daemon=True).start()
            started = True


def move(params, place=place):
    """Copy a tree's arrays into one new array, if there is memory, and replace each by its part of that."""
    try:
        flat, end = np.empty(sum(array.size for _, array in walk(params)), np.float32), 0
    except MemoryError:
        return
    for (path, array), (parent, key) in zip(list(walk(params)), list(places(params)), strict=True):
        begin, end = end, end + array.size
        parent[key] = place(path, array, flat[begin:end])
        let_go(array)


def places(tree):
    """Yield (dict or list, key) for every leaf of a tree."""
    for key, child in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        if isinstance(child, dict | list):
            yield from places(child)
        else:
            yield tree, key
