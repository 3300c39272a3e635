"""Another right form of what the rung gelu asks for."""

import math

import numpy as np


def gelu(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x - x / (1 + np.exp(2 * u.clip(-40, 40)))
