"""A right gelu, and the usual mistakes: below each line, what is written in its place."""

import math

import numpy as np


def gelu(x):
    c = math.sqrt(2 / math.pi)
    # wrong: c = 2 / math.pi
    # The root of 2 / pi is forgotten.
    # wrong: c = math.sqrt(2 * math.pi)
    # That is the root of 2 * pi; the formula has 2 / pi.
    u = c * (x + 0.044715 * x * x * x)
    # wrong: u = c * (x + 0.044715 * x * x)
    # The cube is a square: the formula has x^3.
    # wrong: u = c * (x + 0.44715 * x * x * x)
    # The constant is 0.044715, not 0.44715.
    # wrong: u = c * x + 0.044715 * x * x * x
    # sqrt(2 / pi) multiplies the whole bracket, the cube too.
    return 0.5 * x * (1 + np.tanh(u))
    # wrong: return 0.5 * x * np.tanh(u)
    # The 1 + before tanh is forgotten.
    # wrong: return x * (1 + np.tanh(u))
    # The half, x / 2, is forgotten.
    # wrong: return 0.5 * (1 + np.tanh(u))
    # The bracket is multiplied by 1 / 2 and not by x / 2.
    # wrong: return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)).astype(x.dtype))
    # That is the exact gelu, with erf; GPT-2 was trained with the tanh form.
    # wrong: return x / (1 + np.exp(-1.702 * x))
    # That is the approximation with a sigmoid; GPT-2 was trained with the tanh form.
    # wrong: return np.maximum(x, 0)
    # That is relu.
    # wrong: return 0.5 * x * (1 + math.tanh(u))
    # math.tanh takes one number; np.tanh takes an array.
