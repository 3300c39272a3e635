"""A right layer_norm, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def layer_norm(x, g, b=None, eps=1e-5):
    centred = x - x.mean(axis=-1, keepdims=True)
    # wrong: centred = x - x.mean(axis=0, keepdims=True)
    # The mean runs over axis 0, other tokens; a row, axis=-1, is normalised by itself.
    # wrong: centred = x - x.mean()
    # That is the mean of the whole array; a row, axis=-1, is normalised by itself.
    # wrong: centred = x - x.mean(axis=-1)
    # The mean has lost the axis that it ran over: keepdims=True keeps it, as [3, 1] beside [3, 5].
    # wrong: centred = x - x.mean(axis=1, keepdims=True)
    # axis=1 is the last axis of a table alone; axis=-1 is the last of every array.
    # wrong: centred = x
    # The mean of the row is not subtracted.
    variance = (centred**2).mean(axis=-1, keepdims=True)
    # wrong: variance = (centred**2).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)
    # The variance is divided by C - 1; here it is the mean of the squares, divided by C.
    # wrong: variance = (centred**2).sum(axis=-1, keepdims=True)
    # The squares are summed; the variance is their mean.
    # wrong: variance = x.var()
    # That is the variance of the whole array; a row, axis=-1, is normalised by itself.
    # wrong: variance = x.var(axis=0, keepdims=True)
    # The variance runs over axis 0, other tokens; a row, axis=-1, is normalised by itself.
    # wrong: variance = x.var(axis=1, keepdims=True)
    # axis=1 is the last axis of a table alone; axis=-1 is the last of every array.
    y = g * centred / np.sqrt(variance + eps)
    # wrong: y = g * centred / (np.sqrt(variance) + eps)
    # eps is added outside of the square root; it belongs to the variance, inside.
    # wrong: y = g * centred / np.sqrt(variance)
    # eps is forgotten: it keeps a constant row from 0 / 0, and it is in the formula.
    # wrong: y = g * centred / (variance + eps)
    # Divided by the variance; the standard deviation is its square root.
    # wrong: y = centred / np.sqrt(variance + eps)
    # The gain g is forgotten.
    # wrong: y = g * (centred / np.sqrt(variance + eps) + (0 if b is None else b)); b = None
    # The bias is added before the gain; the gain comes first.
    return y if b is None else y + b
    # wrong: return y
    # The bias b is forgotten.
    # wrong: return y + b
    # Without a bias b is None, and nothing is added.
    # wrong: return y + b if b else y
    # `if b` asks whether an array is true, which has no answer; ask `if b is not None`.
