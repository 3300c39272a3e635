"""Another right form of what the rung pad asks for."""

import numpy as np


def causal_mask(T, S, dtype, pad=None):
    mask = (1 - np.tri(T, S, S - T, dtype=dtype)) * dtype(-1e10)
    if pad is None:
        return mask
    return np.minimum(mask, [[[[-1e10 * (j < n) for j in range(S)]]] for n in pad]).astype(dtype)
