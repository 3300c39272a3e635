"""Another right form of what the rung cross_entropy_backward asks for."""

import numpy as np

from picogpt.ops import softmax


def cross_entropy_backward(dloss, logits, targets):
    one_hot = targets[..., None] == np.arange(logits.shape[-1])
    n = int((targets >= 0).sum())
    return np.where(targets[..., None] >= 0, softmax(logits) - one_hot.astype(logits.dtype), 0) / n * dloss
