"""Image GPT's norm: a row is stretched to a mean square of 1, and not shifted (openai/image-gpt, model.py).

    y = g * x / sqrt(mean(x^2) + eps)

This is RMSNorm (Zhang & Sennrich 2019): of layer norm, what counts seems to be the length of a row, not its
mean. There is no bias.
"""

import numpy as np

from picogpt.ops import row_dot
from picogpt.seam import overrides


def length(x, eps):
    """Return the root mean square of each row: x [..., C] -> [..., 1]."""
    return np.sqrt(row_dot(x, x) * (1 / x.shape[-1]) + eps)


@overrides
def layer_norm(x, g, rms, eps=1e-5):
    """Divide each row by its root mean square, and multiply by the gain: x [..., C], g [C] -> [..., C]."""
    return x / length(x, eps) * g


@overrides
def layer_norm_backward(dy, x, g, rms, eps=1e-5):
    """With n = x / r, r the root mean square, and dn = g * dy: dx = (dn - n * mean(n * dn)) / r

    As for layer_norm, without the mean of dn: a shift of x is not undone. -> dx, gradients.
    """
    r = length(x, eps)
    n, dn = x / r, g * dy
    dx = (dn - n * (row_dot(n, dn) * (1 / x.shape[-1]))) / r
    return dx, dict(g=(n * dy).sum(axis=tuple(range(x.ndim - 1))), rms=rms)
