"""`--shard`: each process keeps its part of the optimiser's state and of the summed gradients, and no more.

Where every process makes the same step (see parallel.py), all hold the same moments, twice the model's size.
But AdamW looks at each number by itself. So here one of N processes is in charge of an N-th of the rows of
each array. It gets their summed gradients (reduce-scatter), moves them by its part of the moments, and gives
them to all (all-gather). As an all-reduce consists of these two, no more bytes travel. That is ZeRO, stages 1
(the state) and 2 (the gradients), of Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training
Trillion Parameter Models". A process has, in bytes for each parameter, in float32:

    4 (parameters) + 4 (gradients of its own batches) + 8 / N (moments), and at times 4 / N (the sum)

state["shards"] is the communicator of the processes, in a training that is sharded.
"""

import math

import numpy as np

from picogpt.params.tree import flatten, nest, tree_map, walk
from picogpt.system.machine import split
from picogpt.train import optim, parallel
from picogpt.train.state import layout


def rows(comm, tree):
    """Return the rows of each array that this process is in charge of: views of them."""
    return tree_map(lambda w: w[split(len(w), comm.size)[comm.rank]], tree)


def sizes(comm, shape):
    """Return how many numbers of an array of that shape each process is in charge of.

    >>> from types import SimpleNamespace
    >>> sizes(SimpleNamespace(size=2), (5, 10))
    [20, 30]
    """
    return [(part.stop - part.start) * int(np.prod(shape[1:])) for part in split(shape[0], comm.size)]


def scatter(comm, grads):
    """Return this process's rows of the sum of all processes' gradients. `grads` is emptied on the way."""
    leaves, found = flatten(grads), {}
    grads.clear()
    for path in list(leaves):
        whole = np.ascontiguousarray(leaves.pop(path))
        found[path] = np.empty_like(rows(comm, whole))
        comm.Reduce_scatter(whole, found[path], sizes(comm, whole.shape))
    return nest(found)


def clip(comm, grads, max_norm):
    """Do as `optim.clip` does, by the norm of the gradients of which each process has its rows."""
    own = optim.clip(grads, 0)  # the length of the own rows; nothing is cut
    norm = math.sqrt(parallel.total(comm, np.array(own**2)))
    if max_norm and max_norm < norm < math.inf:
        tree_map(lambda g: np.multiply(g, max_norm / norm, out=g), grads)
    return norm


def ratio(comm, own, params):
    """Return what `optim.adamw_step` would of all rows, from what it returned of the `own` ones."""
    length = sum(float(np.vdot(w, w)) for _, w in walk(params))
    moved, length = parallel.total(comm, np.array([own**2 * length if length else 0.0, length]))
    return math.sqrt(moved / length) if length else math.nan


def gather(comm, params):
    """Bring to all processes, in place, the rows that each has changed."""
    for _, w in walk(params):
        comm.Allgatherv(rows(comm, w).copy(), [w, sizes(comm, w.shape)])  # not from where they arrive


def hand_out(comm, state, sharded):
    """Return rank 0's state to all processes, as arrays of their own; if `sharded`, of moments their rows."""
    if comm.size == 1:
        return state | {name: tree_map(writable, state[name]) for name in ("params", "moments")}
    trees = dict(params=state["params"]) | state["moments"] if comm.rank == 0 else {}
    rest = {name: value for name, value in (state or {}).items() if name not in ("params", "moments")}
    rest, shapes = parallel.broadcast(comm, (rest, layout(trees["params"]) if trees else None))

    def handed(name):
        leaves, found = flatten(trees[name]) if trees else {}, {}
        for path, (shape, dtype) in shapes.items():
            if sharded and name != "params":
                whole = [np.ascontiguousarray(leaves[path]), sizes(comm, shape)] if trees else None
                own = split(shape[0], comm.size)[comm.rank]
                found[path] = np.empty((own.stop - own.start, *shape[1:]), dtype)
                comm.Scatterv(whole, found[path])
            else:
                found[path] = writable(leaves[path]) if trees else np.empty(shape, dtype)
                comm.Bcast(found[path])
        return nest(found)

    state = rest | dict(params=handed("params"), moments=dict(m=handed("m"), v=handed("v")))
    return state | dict(shards=comm) if sharded else state


def writable(array):
    """Return an array that can be changed and has no gaps: the same one, unless it is only mapped."""
    return np.require(array, requirements=["C", "W"])


def with_all_rows(state, write):
    """Call write(state) with whole moments: in a sharded training on rank 0, to which the others send theirs.

    They come one array at a time, and as often as it is looked at, so that rank 0 never holds them all.
    """
    comm = state.get("shards")
    if comm is None:
        write(state)
    elif comm.rank == 0:
        whole = {
            f"{name}.{path}": Whole(comm, f"{name}.{path}", own, w.shape)
            for name, part in state["moments"].items()
            for (path, own), (_, w) in zip(walk(part), walk(state["params"]), strict=True)
        }
        write(state | dict(moments=nest(whole)))
        comm.bcast(None)
    else:
        own = flatten(state["moments"])
        while path := comm.bcast(None):
            comm.Gatherv(own[path], None)


class Whole:
    """An array whose rows are with the processes in charge of them; NumPy asks for it by `__array__`."""

    def __init__(self, comm, path, own, shape):
        self.comm, self.path, self.own, self.shape, self.dtype = comm, path, own, shape, own.dtype
        self.size = int(np.prod(shape))
        self.nbytes = self.size * own.itemsize

    def __array__(self, dtype=None, copy=None):
        self.comm.bcast(self.path)
        whole = np.empty(self.shape, self.dtype)
        self.comm.Gatherv(self.own, [whole, sizes(self.comm, self.shape)])
        return whole if dtype is None else whole.astype(dtype, copy=False)
