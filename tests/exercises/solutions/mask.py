"""Another right form of what the rung mask asks for."""

import numpy as np


def causal_mask(T, S, dtype, pad=None):
    return (1 - np.tri(T, S, S - T, dtype=dtype)) * dtype(-1e10)
