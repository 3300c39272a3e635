"""What some descendants put into the place of gelu, each forward and backward; x of any shape.

The exact gelu is in erf.py, the one with a sigmoid in tricks.py.
"""

import numpy as np


def relu(x):
    """Let what is positive through, and nothing else: max(x, 0) (Nair & Hinton 2010)."""
    return np.maximum(x, 0)


def relu_backward(dy, x):
    """The slope is 1 or 0: dx = dy * (x > 0). At 0 itself it is taken to be 0, as PyTorch does."""
    return dy * (x > 0)


def silu(x):
    """Let x through as far as its sigmoid says: x / (1 + e^-x), also called swish (Elfwing et al. 2017).

    The sigmoid is (1 + tanh(x / 2)) / 2, in which nothing overflows.

    >>> silu(np.array([[1, 2], [-2, 0.5]])).round(5)
    array([[ 0.73106,  1.76159],
           [-0.23841,  0.31123]])
    """
    return 0.5 * x * (1 + np.tanh(0.5 * x))


def silu_backward(dy, x):
    """With t = tanh(x / 2), the forward is y = x / 2 * (1 + t): dx = dy / 2 * (1 + t + x / 2 * (1 - t^2))."""
    t = np.tanh(0.5 * x)
    return 0.5 * dy * (1 + t + 0.5 * x * (1 - t * t))


def tanh_backward(dy, x):
    """With y = tanh(x): dx = dy * (1 - y^2)."""
    y = np.tanh(x)
    return dy * (1 - y * y)
