"""The loss and the gradients of a batch from those of its parts, two at a time, each on half of the cores.

The loss is a mean over tokens, and so is its gradient: parts of the batch give parts of it, which add up.
The arrays of a part of some hundred tokens are small enough for the processor's cache, and its activations
are freed before the next part begins.
"""

import numpy as np

from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import cross_entropy
from picogpt.params.tree import tree_map
from picogpt.system.machine import split, spread

PART = 512  # tokens; the gradients of smaller parts take longer to add up than is gained


def batch_gradients(params, ids, targets, n_head, p_drop=0.0, rng=None, rank=0, size=1):
    """Return what `loss_and_grads` returns, computed faster; with dropout the random draws differ.

    Of `size` processes, each takes every size-th part, from `rank` on, and returns its summands.

    The parts depend on the batch alone, not on the machine, and are added in a fixed order. Up to four trees
    of gradients exist at a time, so for a large model and a small batch this takes more memory than one call.
    """
    ids, targets, drops = np.asarray(ids), np.asarray(targets), np.any(p_drop)
    if ids.ndim != 2 or targets.shape != ids.shape or (drops and rng is None):
        return loss_and_grads(params, ids, targets, n_head, p_drop, rng)  # which says what is wrong
    parts = part_rows(ids, size)
    n_counted = (targets != -1).sum()
    if n_counted == 0 or len(parts) == size == 1:
        return loss_and_grads(params, ids, targets, n_head, p_drop, rng)
    seeds = rng.integers(2**63, size=len(parts)) if drops else [None] * len(parts)
    parts = list(zip(parts, seeds, strict=True))[rank::size]

    def lane(parts):
        loss, total = 0.0, None
        for rows, seed in parts:
            counted = (targets[rows] != -1).sum()
            if not counted:
                continue
            own_loss, grads = loss_and_grads(
                params, ids[rows], targets[rows], n_head, p_drop, np.random.default_rng(seed),
                scale=float(counted / n_counted),
            )  # fmt: skip
            loss += own_loss
            total = add(total, grads)
        return loss, total

    (loss, total), (other_loss, other) = spread(lane, [parts[::2], parts[1::2]])
    total = add(total, other)
    return loss + other_loss, tree_map(np.zeros_like, params) if total is None else total


def batch_loss(params, ids, targets, n_head):
    """Return the mean cross-entropy of a batch all of whose targets count, computed in the same parts."""

    def part_loss(rows):
        loss = cross_entropy(gpt2(ids[rows], params, n_head), targets[rows])
        return float(loss) * (rows.stop - rows.start) / len(ids)

    return sum(spread(part_loss, part_rows(ids)))


def part_rows(ids, size=1):
    """Return the rows of each part of a batch, as slices; as many for each of `size` processes."""
    B, T = ids.shape
    return split(B, min(B, size * max(1, B * T // (PART * size))))


def add(total, grads):
    """Add a tree of gradients to another one, in place, and return it; None has nothing to add."""
    if total is None or grads is None:
        return grads if total is None else total
    tree_map(lambda a, b: np.add(a, b, out=a), total, grads)
    return total
