"""`--optimizer muon`: steps that move a matrix in all its directions alike.

AdamW looks at each number by itself. But the gradient of a matrix is the sum of a few strong directions and
many weak ones: written as U S V^T, its singular value decomposition, some of the numbers in S are a hundred
times the others, and a step along it goes almost only where these point. Muon (Jordan 2024,
https://kellerjordan.github.io/posts/muon) takes U V^T instead: the same directions, all of one length. So
what is rare in the text is learned along with what is common, in fewer steps.

A decomposition would take longer than the step. U V^T also comes from products alone: a polynomial in X X^T
acts on the singular values of X and on nothing else, and one with a X + b (X X^T) X + c (X X^T)^2 X, taken
five times, pulls each of them from anywhere between 0 and 1 to somewhere around 1.

It is for the matrices of linear layers. Embeddings, norms and biases go on with AdamW. Queries, keys and
values are one array in GPT-2, but three matrices, and are moved as such.
"""

import math

import numpy as np

from picogpt.params.shapes import side_by_side
from picogpt.params.tree import flatten
from picogpt.train.optim import DECAYS, adamw_step, clip

QUINTIC = 3.4445, -4.7750, 2.0315  # a, b, c: steep at 0, so that small singular values grow fast


def is_moved(path, w):
    """Return whether Muon moves the array at a path of the tree: the matrix of a linear layer."""
    return path.endswith(".w") and w.ndim == 2


def orthogonalise(g, steps=5):
    """Return nearly U V^T of g = U S V^T, [in, out]: each singular value, from S, is now between 0.7 and 1.2.

    Those that are less than a thousandth of the length of all together have not got that far.
    """
    a, b, c = QUINTIC
    x = g.T if len(g) > len(g.T) else g  # x x^T is then the smaller of the two products
    x = x / (np.linalg.norm(x) + 1e-7)  # no singular value is above 1
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.T if len(g) > len(g.T) else x


def muon_step(
    params, grads, moments, step, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, decay="matrices",
    measure=True, momentum=0.95,
):  # fmt: skip
    """Do as `optim.adamw_step`, which see, but for the matrices of linear layers:

    m = momentum * m + (1 - momentum) * g,   u = momentum * m + (1 - momentum) * g
    w = w - lr * (0.2 * sqrt(max(in, out)) * orthogonalise(u) + weight_decay * w)

    u looks one step ahead (Nesterov). The factor gives a step the length that one of AdamW has, so that one
    `lr` serves both (Liu et al. 2025, "Muon is Scalable for LLM Training"). The moments `v` of these matrices
    stay zero. PyTorch's torch.optim.Muon with adjust_lr_fn="match_rms_adamw" is the same, in bfloat16.
    """
    params, grads, m, v = (flatten(tree) for tree in (params, grads, moments["m"], moments["v"]))
    matrices = [path for path, w in params.items() if is_moved(path, w)]
    moved = length = 0.0
    for path in matrices:
        w, g = params.pop(path), grads.pop(path)
        v.pop(path)
        ahead = m.pop(path)
        ahead *= momentum
        ahead += (1 - momentum) * g
        u = momentum * ahead + (1 - momentum) * g
        u = [
            lr * 0.2 * math.sqrt(max(x.shape)) * orthogonalise(x)
            for x in np.split(u, side_by_side(path), axis=1)
        ]
        u = np.concatenate(u, axis=1)
        if DECAYS[decay](path, w):
            w *= 1 - lr * weight_decay
        w -= u
        if measure:
            moved, length = moved + float(np.vdot(u, u)), length + float(np.vdot(w, w))
    rest = adamw_step(params, grads, dict(m=m, v=v), step, lr, betas, eps, weight_decay, decay, measure)
    others = clip(params, 0) ** 2 if measure else 0.0  # their common length; nothing is cut
    moved, length = moved + (rest**2 * others if others else 0.0), length + others
    return math.sqrt(moved / length) if length else math.nan


OPTIMIZERS = dict(adamw=adamw_step, muon=muon_step)
