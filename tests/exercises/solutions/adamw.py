"""Another right form of what the rung adamw asks for."""

import numpy as np

from picogpt.params.tree import flatten, tree_map
from picogpt.train.optim import DECAYS


def adamw_init(params):
    return {name: tree_map(lambda w: 0 * w, params) for name in "vm"}


def adamw_step(
    params, grads, moments, step, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, decay="matrices"
):
    flat, grads, m, v = map(flatten, (params, grads, moments["m"], moments["v"]))
    moved = length = 0
    for path, w in flat.items():
        m[path][:] = betas[0] * m[path] + (1 - betas[0]) * grads[path]
        v[path][:] = betas[1] * v[path] + (1 - betas[1]) * grads[path] ** 2
        mean, square = m[path] / (1 - betas[0] ** step), v[path] / (1 - betas[1] ** step)
        change = lr * mean / (np.sqrt(square) + eps)
        w[...] = w - change - lr * weight_decay * w * (1 if DECAYS[decay](path, w) else 0)
        moved, length = moved + (change**2).sum(), length + (w**2).sum()
    return (moved / length) ** 0.5
