"""Another right form of what the rung softmax_backward asks for."""

import numpy as np


def softmax_backward(dy, y):
    jacobian = y[..., None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])
    return (jacobian @ dy[..., None])[..., 0]
