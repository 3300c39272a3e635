"""A right AdamW, and the usual mistakes: below each line, what is written in its place."""

import numpy as np

from picogpt.params.tree import flatten, tree_map
from picogpt.train.optim import DECAYS


def adamw_init(params):
    return dict(m=tree_map(np.zeros_like, params), v=tree_map(np.zeros_like, params))
    # wrong: zeros = tree_map(np.zeros_like, params); return dict(m=zeros, v=zeros)
    # m and v are the same arrays, so that what is written into one stands in the other; make two trees.
    # wrong: return dict(m=tree_map(np.ones_like, params), v=tree_map(np.ones_like, params))
    # The moments begin at 1; they begin at 0, which adamw_step makes up for.


def adamw_step(
    params, grads, moments, step, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, decay="matrices",
    measure=True,
):  # fmt: skip
    b1, b2 = betas
    # wrong: b2, b1 = betas
    # b1 and b2 are swapped: betas = (b1, b2), b1 for the gradient.
    shrinks = DECAYS[decay]
    # wrong: shrinks = DECAYS["matrices"]
    # The rule of decay is ignored: DECAYS[decay](path, w) says what shrinks.
    # wrong: shrinks = lambda path, w: True
    # Biases and gains decay too; DECAYS[decay](path, w) says what does.
    grads, ms, vs = flatten(grads), flatten(moments["m"]), flatten(moments["v"])
    moved = length = 0.0
    for path, w in flatten(params).items():
        g, m, v = grads[path], ms[path], vs[path]
        shrink = weight_decay * shrinks(path, w)
        # wrong: g, shrink = g + weight_decay * shrinks(path, w) * w, 0
        # The decay goes through the gradient and its moments, as in Adam; AdamW's acts on the weights
        # themselves.
        # wrong: shrink = 0
        # The weight decay is forgotten.
        m[...] = b1 * m + (1 - b1) * g
        # wrong: m[...] = b1 * m + g
        # The new gradient has the factor 1 - b1 in m.
        v[...] = b2 * v + (1 - b2) * g * g
        # wrong: v[...] = b2 * v + (1 - b2) * g
        # v is the running mean of the gradient's square.
        mean, square = m / (1 - b1**step), v / (1 - b2**step)
        # wrong: mean, square = m, v / (1 - b2**step)
        # m is not divided by 1 - b1^step: it started from 0, which that makes up for.
        # wrong: mean, square = m / (1 - b1**step), v
        # v is not divided by 1 - b2^step: it started from 0, which that makes up for.
        # wrong: mean, square = m / (1 - b1**step), v / (1 - b2**step) ** 2
        # v / (1 - b2^step) stands under the root; the correction is outside of it.
        # wrong: mean, square = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
        # step counts from 1 already: 1 - b1^step, not 1 - b1^(step + 1).
        change = lr * mean / (np.sqrt(square) + eps)
        # wrong: change = lr * mean / (np.sqrt(v) + eps) * (1 - b2**step) ** 0.5
        # eps is added before the correction of v; it is added after it.
        # wrong: change = lr * mean / np.sqrt(square + eps * eps)
        # eps stands under the root; it is added to the root.
        # wrong: change = lr * mean / np.sqrt(square + eps)
        # eps stands under the root; it is added to the root.
        # wrong: change = lr * mean / (square + eps)
        # Divided by v; the square root of v is taken.
        w *= 1 - lr * shrink
        # wrong: w *= 1 - shrink
        # The decay has the factor lr too: w - lr * weight_decay * w.
        w -= change
        # wrong: w += change
        # The step goes uphill: lr times the fraction is subtracted.
        # wrong: w = w - change
        # w = w - ... makes a new array; params are changed in place, w -= ...
        moved, length = moved + float((change**2).sum()), length + float((w**2).sum())
    return (moved / length) ** 0.5
    # wrong: return moved**0.5
    # How far the weights moved is to be divided by their length.
