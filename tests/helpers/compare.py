"""How far two arrays are apart, and a gradient from the truth; whether all arithmetic is in float32."""

import numpy as np


def relative_error(ours, theirs):
    """Return the length of the difference of two arrays, relative to the length of the second."""
    return np.linalg.norm(np.subtract(ours, theirs)) / np.linalg.norm(theirs)


def gradient_error(loss, x, dx, seed=0, h=1e-5):
    """Return how far the gradient `dx` is from the slope of `loss` at `x`, relative to its size.

    For a random direction v, sum(dx * v) = (loss(x + h v) - loss(x - h v)) / 2h. The worst of five counts.
    """
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(5):
        v = rng.standard_normal(x.shape)
        measured = (loss(x + h * v) - loss(x - h * v)) / (2 * h)
        size = np.linalg.norm(dx) * np.linalg.norm(v) / np.sqrt(x.size)  # what to expect of sum(dx * v)
        error = abs(measured - np.sum(dx * v)) / max(abs(measured), size, 1e-12)  # not 0 / 0
        worst = np.maximum(worst, error)  # which passes NaN on
    return worst


class NoFloat64(np.ndarray):
    """An array that raises TypeError as soon as float64 takes part in an operation on it.

    Looking at results is not enough: `y *= np.sqrt(2)` gives float32, after work in float64. Use
    `array.view(NoFloat64)`; what is made of it is watched too.
    """

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        took = [x.view(np.ndarray) if isinstance(x, NoFloat64) else x for x in inputs]
        if "out" in settings:
            settings["out"] = tuple(x.view(np.ndarray) for x in settings["out"])
        made = getattr(ufunc, method)(*took, **settings)
        types = [x.dtype for x in [*took, made] if isinstance(x, (np.ndarray, np.generic))]
        if np.float64 in types:
            raise TypeError(f"np.{ufunc.__name__} of {', '.join(map(str, types))}")
        return made.view(NoFloat64) if isinstance(made, np.ndarray) else made
