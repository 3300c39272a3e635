"""The exact gelu, forward and backward, for the models that were trained with it, such as nanoGPT's.

GPT-2 was trained with the tanh form, `ops.gelu`, which differs from it by up to 0.00047.
"""

import math

import numpy as np


def normal_cdf(x):
    """Return the probability that a normal number is at most x: (1 + erf(x / sqrt(2))) / 2, to 1e-7.

    The tail beyond |x| is the density at x times a polynomial in t = 1 / (1 + 0.2316419 |x|)
    (Abramowitz & Stegun 1964, equation 26.2.17), as NumPy has no erf.

    >>> normal_cdf(np.array([-1, 0, 1.96])).round(4)
    array([0.1587, 0.5   , 0.975 ])
    """
    t = abs(x)
    t *= 0.2316419
    t += 1
    t = 1 / t
    tail = 1.330274429 * t
    for b in (-1.821255978, 1.781477937, -0.356563782, 0.319381530):
        tail += b
        tail *= t
    tail *= normal_density(x)
    return np.where(x < 0, tail, 1 - tail)


def normal_density(x):
    """Return e^(-x^2 / 2) / sqrt(2 pi), the slope of `normal_cdf`."""
    y = x * x
    y *= -0.5
    y = np.exp(y)
    y *= 1 / math.sqrt(2 * math.pi)
    return y


def gelu_erf(x):
    """Let large inputs through and hold back negative ones: x * P(Z <= x), Z normal.

    Any shape (Hendrycks & Gimpel 2016, section 2).

    >>> gelu_erf(np.array([[1, 2], [-2, 0.5]])).round(5)
    array([[ 0.84134,  1.9545 ],
           [-0.0455 ,  0.34573]])
    """
    return x * normal_cdf(x)


def gelu_erf_backward(dy, x):
    """With P = P(Z <= x), whose slope is the density p, the forward is y = x P: dx = dy * (P + x p)."""
    return dy * (normal_cdf(x) + x * normal_density(x))
