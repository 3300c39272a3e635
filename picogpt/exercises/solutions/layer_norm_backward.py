"""A right layer_norm_backward, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def layer_norm_backward(dy, x, g, b=None, eps=1e-5):
    std = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    # wrong: std = np.sqrt(x.var(axis=-1, keepdims=True))
    # eps is forgotten: std = sqrt(variance + eps), as in the forward.
    # wrong: std = np.sqrt(x.var() + eps)
    # That is the deviation of the whole array; a row, axis=-1, has its own.
    n = (x - x.mean(axis=-1, keepdims=True)) / std
    dn = g * dy
    # wrong: dn = dy
    # The gain is forgotten: dn = g * dy.
    dx = dn - dn.mean(axis=-1, keepdims=True) - n * (n * dn).mean(axis=-1, keepdims=True)
    # wrong: dx = dn - n * (n * dn).mean(axis=-1, keepdims=True)
    # The term mean(dn) is missing: the forward subtracts the mean.
    # wrong: dx = dn - dn.mean(axis=-1, keepdims=True)
    # The term n * mean(n * dn) is missing: the forward divides by std, which depends on x.
    # wrong: dx = dn - dn.mean(axis=-1, keepdims=True) - n * (n * dn).sum(axis=-1, keepdims=True)
    # n * dn is summed; the formula has its mean.
    # wrong: dx = dn - dn.mean() - n * (n * dn).mean()
    # Those are the means of the whole array; a row, axis=-1, has its own.
    # wrong: dx = dn - dn.mean(axis=1, keepdims=True) - n * (n * dn).mean(axis=1, keepdims=True)
    # axis=1 is the last axis of a table alone; axis=-1 is the last of every array.
    dx = dx / std
    # wrong: dx = dx
    # The division by std is forgotten.
    # wrong: dx = dx / (std * std)
    # Divided by the variance; it is the standard deviation.
    rows = tuple(range(x.ndim - 1))  # all axes but the last
    # wrong: rows = 0
    # The gradients of g and b are summed over axis 0 alone; x [2, 3, 5] has more rows: all axes but the last.
    # wrong: rows = None
    # The gradients of g and b have lost their last axis: the sum runs over all axes but the last.
    # wrong: rows = -1
    # The gradients of g and b are summed along the rows; the sum runs over all axes but the last.
    grads = dict(g=(n * dy).sum(axis=rows))
    # wrong: grads = dict(g=(x * dy).sum(axis=rows))
    # g multiplied n, the normalised x: its gradient is the sum of n * dy.
    # wrong: grads = dict(g=(n * dn).sum(axis=rows))
    # The gradient of g is the sum of n * dy, without g itself.
    # wrong: grads = dict(g=(n * dy).mean(axis=rows))
    # The gradient of g is a sum over the rows, not a mean.
    if b is not None:
        # wrong: if True:
        # Without a bias b is None, and has no gradient.
        # wrong: if b:
        # `if b` asks whether an array is true, which has no answer; ask `if b is not None`.
        grads["b"] = dy.sum(axis=rows)
        # wrong: grads["b"] = dn.sum(axis=rows)
        # The gradient of b is the sum of dy, without g.
    return dx, grads
