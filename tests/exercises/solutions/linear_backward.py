"""Another right form of what the rung linear_backward asks for."""

import numpy as np


def linear_backward(dy, x, w, b=None):
    rows, drows = x.reshape(-1, len(w)), dy.reshape(-1, w.shape[1])
    grads = {"w": np.einsum("ri,ro->io", rows, drows)}
    return np.einsum("...o,io->...i", dy, w), grads if b is None else grads | {"b": drows.sum(axis=0)}
