"""A right softmax, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def softmax(x):
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    # wrong: y = np.exp(x)
    # The largest score is not subtracted first, so e^x overflows to infinity, and inf / inf is nan.
    # wrong: y = np.exp(x - x.mean(axis=-1, keepdims=True))
    # The mean is subtracted instead of the maximum: e^x still overflows for the larger scores.
    # wrong: y = np.exp(x - x.max())
    # The largest score of the whole array is subtracted: all of a row far below it becomes 0, and 0 / 0 is
    # nan.
    # wrong: y = np.exp(x.max(axis=-1, keepdims=True) - x)
    # The sign is reversed: the largest score gets the smallest probability.
    # wrong: y = np.exp(x - x.max(axis=1, keepdims=True))
    # axis=1 is the last axis of a table alone; axis=-1 is the last of every array.
    # wrong: y = np.exp(x - max(x))
    # Python's max compares whole rows; np.max, or x.max(axis=-1, keepdims=True), finds each row's largest.
    return y / y.sum(axis=-1, keepdims=True)
    # wrong: return y / y.sum(axis=0, keepdims=True)
    # The sum runs over axis 0, down the columns; each row, axis=-1, has to sum to 1.
    # wrong: return y / y.sum()
    # All numbers together sum to 1; each row has to, by itself: sum over axis=-1.
    # wrong: y = np.exp(x); return y / y.sum(axis=0)
    # The sum runs over axis 0, down the columns; each row, axis=-1, has to sum to 1.
    # wrong: y = np.exp(x); return y / y.sum()
    # All numbers together sum to 1; each row has to, by itself: sum over axis=-1.
    # wrong: return y / sum(y)
    # The sum runs over axis 0, down the columns; each row, axis=-1, has to sum to 1.
    # wrong: return y / y.sum(axis=-1)
    # The sum has lost the axis that it ran over: keepdims=True keeps it, as [3, 1] beside [3, 5].
    # wrong: return y / y.sum(axis=1, keepdims=True)
    # axis=1 is the last axis of a table alone; axis=-1 is the last of every array.
    # wrong: return y
    # The numbers are not divided by their sum, so they are no probabilities.
    # wrong: return np.log(y / y.sum(axis=-1, keepdims=True))
    # That is the logarithm of the softmax.
