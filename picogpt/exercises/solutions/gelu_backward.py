"""A right gelu_backward, and the usual mistakes: below each line, what is written in its place."""

import math

import numpy as np


def gelu_backward(dy, x):
    a, c = 0.044715, math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + a * x * x * x))
    du = c * (1 + 3 * a * x * x)
    # wrong: du = c * (1 + a * x * x)
    # The derivative of x^3 is 3 x^2: the 3 is missing in du/dx.
    # wrong: du = 1
    # The chain rule: the derivative of tanh(u) is (1 - t^2) times du/dx, which is missing.
    dt = (1 - t * t) * du
    # wrong: dt = (1 - t) * du
    # The derivative of tanh is 1 - t^2.
    slope = (1 + t) / 2 + x / 2 * dt
    # wrong: slope = t / 2 + x / 2 * dt
    # The first term is (1 + t) / 2: the 1 is missing.
    # wrong: slope = (1 + t) + x * dt
    # Both terms have the half, as y = x / 2 * (1 + t).
    # wrong: slope = x / 2 * dt
    # The product rule has two terms: (1 + t) / 2 is missing.
    # wrong: slope = (1 + t) / 2
    # The product rule has two terms: x / 2 * (1 - t^2) * du/dx is missing.
    # wrong: slope = (1 + t) / 2 + dt / 2
    # The second term has a factor x, the x of x / 2 * (1 + t).
    # wrong: slope = x > 0
    # That is the derivative of relu.
    return dy * slope
    # wrong: return slope
    # The chain rule: multiply the slope by dy.
