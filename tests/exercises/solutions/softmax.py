"""Another right form of what the rung softmax asks for."""

import numpy as np


def softmax(x):
    e = np.exp(x - np.max(x, -1)[..., None])
    return e / np.sum(e, -1)[..., None]
