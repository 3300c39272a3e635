"""How far two arrays are apart, and whether all arithmetic is in float32."""

import numpy as np


def relative_error(ours, theirs):
    """Return the length of the difference of two arrays, relative to the length of the second."""
    return np.linalg.norm(np.subtract(ours, theirs)) / np.linalg.norm(theirs)


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
