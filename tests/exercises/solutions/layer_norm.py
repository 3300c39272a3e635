"""Another right form of what the rung layer_norm asks for."""

import numpy as np


def layer_norm(x, g, b=None, eps=1e-5):
    y = g * (x - np.mean(x, -1, keepdims=True)) / np.sqrt(np.var(x, -1, keepdims=True) + eps)
    return y if b is None else y + b
