"""Another right form of what the rung embedding_backward asks for."""

import numpy as np


def embedding_backward(dy, ids, dw):
    for i in np.ndindex(ids.shape):
        dw[ids[i]] += dy[i]
