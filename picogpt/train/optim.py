"""AdamW, the learning-rate schedule and gradient clipping, as functions of trees of arrays."""

import math

import numpy as np

from picogpt.params.tree import flatten, tree_map, walk
from picogpt.system.machine import spread

DECAYS = {  # of the array at a path, whether weight decay acts on it
    "matrices": lambda path, w: w.ndim > 1,  # nanoGPT's rule: the embeddings shrink too
    "linear": lambda path, w: path.endswith((".w", "lm_head")),  # minGPT's: only what multiplies activations
}
SCHEDULES = ("cosine", "floor", "linear", "constant")
WORTH_THREADS = 1 << 22  # numbers in the tree; for fewer, threads cost more than they save


def adamw_init(params):
    """Return the moments before the first step: zeros, a tree like `params` for each of m and v.

    They take no memory until they are written.
    """
    return {name: tree_map(lambda w: np.zeros(w.shape, w.dtype, like=w), params) for name in "mv"}


def adamw_step(
    params, grads, moments, step, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, decay="matrices",
    measure=True,
):  # fmt: skip
    """Move `params` one step downhill, in place; `moments` too. `step` counts from 1.

    m = b1 * m + (1 - b1) * g,   v = b2 * v + (1 - b2) * g^2       running means of gradient and square
    w = w - lr * (m / (1 - b1^step) / (sqrt(v / (1 - b2^step)) + eps) + weight_decay * w)

    Dividing by 1 - b^step makes up for the zeros that the means started from (Kingma & Ba 2015,
    algorithm 1). The decay acts on the weights themselves, not through the gradient (Loshchilov &
    Hutter 2019), with the factor lr as in PyTorch's AdamW; and by either rule of DECAYS not on biases and
    gains, which keep their size.

    Returns how far the gradient moved the weights (without the decay), relative to their length. About
    0.001 is usual: much less means a slow training, much more a shaky one. It takes two of the fifteen passes
    over the arrays; without `measure` it is NaN.
    """
    b1, b2 = betas
    shrinks = DECAYS[decay]

    def update(chunk):
        path, (w, g, m, v) = chunk
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * (g * g)
        if shrinks(path, w):
            w *= 1 - lr * weight_decay
        y = np.sqrt(v)
        y += eps * scale
        np.divide(m, y, out=y)
        y *= lr * scale / (1 - b1**step)
        w -= y
        return (float(np.vdot(y, y)), float(np.vdot(w, w))) if measure else (0.0, 0.0)

    scale = math.sqrt(1 - b2**step)  # multiplying the fraction's two halves by it saves a pass over v
    todo = chunks(params, grads, moments["m"], moments["v"])
    worth_threads = sum(w.size for _, (w, *_) in todo) >= WORTH_THREADS
    squares = spread(update, todo) if worth_threads else [update(chunk) for chunk in todo]
    moved, length = (math.sqrt(sum(parts)) for parts in zip((0.0, 0.0), *squares, strict=True))
    return moved / length if length else math.nan


def chunks(tree, *others, size=1 << 18):
    """Cut the leaves into chunks of rows, of about `size` numbers: a list of (path, its part of each tree).

    A chunk of each tree together fit into the processor's own memory, where the many small operations on
    them find them; and chunks can be spread over the cores.
    """
    found, others = [], [flatten(other) for other in others]
    for path, leaf in walk(tree):
        leaves = [leaf, *(other[path] for other in others)]
        rows = max(1, size * len(leaf) // max(1, leaf.size))
        found.extend((path, [x[i : i + rows] for x in leaves]) for i in range(0, len(leaf), rows))
    return found


def learning_rate(step, lr, min_lr, warmup, steps, schedule="cosine"):
    """Rise linearly to `lr` over `warmup` steps, then fall along half a cosine to `min_lr` at `steps`.

    `step` counts from 0, as in nanoGPT's get_lr; all three may as well count tokens. Other schedules:
    "floor", a cosine to 0 that is cut off at min_lr (minGPT); "linear", a straight line to min_lr (GPT-1's
    fine-tuning); "constant", lr.

    >>> [round(learning_rate(i, lr=1.0, min_lr=0.1, warmup=3, steps=13), 3) for i in (0, 1, 2, 3, 8, 13, 99)]
    [0.25, 0.5, 0.75, 1.0, 0.55, 0.1, 0.1]
    """
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    left = {"linear": 1 - progress, "constant": 1.0}.get(schedule, 0.5 * (1 + math.cos(math.pi * progress)))
    return max(min_lr, left * lr) if schedule == "floor" else min_lr + left * (lr - min_lr)


def clip(grads, max_norm):
    """Scale the gradients, in place, so that their common length is at most `max_norm`; 0 means never.

    All shrink by one factor, so the direction stays (Pascanu et al. 2013, algorithm 1). Returns the
    length before: the root of the sum of the squares of every number in the tree.
    """
    norm = math.sqrt(sum(float(np.vdot(g, g)) for _, g in walk(grads)))
    if max_norm and max_norm < norm < math.inf:  # an infinite one has no direction
        tree_map(lambda g: np.multiply(g, max_norm / norm, out=g), grads)
    return norm
