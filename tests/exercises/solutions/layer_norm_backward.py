"""Another right form of what the rung layer_norm_backward asks for."""

import numpy as np


def layer_norm_backward(dy, x, g, b=None, eps=1e-5):
    C, centred = x.shape[-1], x - x.mean(axis=-1, keepdims=True)
    var = (centred**2).mean(axis=-1, keepdims=True) + eps
    dn = dy * g
    dvar = -0.5 * (dn * centred).sum(axis=-1, keepdims=True) * var**-1.5
    dc = dn / np.sqrt(var) + dvar * 2 * centred / C
    grads = {"g": (dy * centred / np.sqrt(var)).reshape(-1, C).sum(axis=0)}
    if b is not None:
        grads["b"] = dy.reshape(-1, C).sum(axis=0)
    return dc - dc.mean(axis=-1, keepdims=True), grads
