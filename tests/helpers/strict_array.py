"""An array that stands in for one on a graphics processor, and is stricter than CuPy's.

It computes by NumPy, on an array that it hides. What CuPy would refuse, it refuses: to become a NumPy array
unasked, to be combined with one, to be indexed by one, and to be handed to a function that CuPy lacks. It
also refuses NumPy's numbers (np.float64(2)), which CuPy takes, as they would change the dtype. Only `asarray`
brings an array over, and only `.get()` brings it back, as in CuPy.
"""

import operator

import numpy as np

# the functions that the core calls and that CuPy 14 has under the same name; another one needs a look there
FUNCTIONS = {
    "add", "arange", "asarray", "bitwise_and", "bitwise_or", "concatenate", "einsum", "empty_like", "equal",
    "exp", "floor_divide", "greater", "greater_equal", "invert", "less", "less_equal", "log", "logical_or",
    "matmul", "maximum", "minimum", "absolute", "moveaxis", "multiply", "negative", "not_equal", "ones_like",
    "pad", "put_along_axis", "sqrt", "subtract", "take_along_axis", "tanh", "divide", "power", "remainder",
    "cos", "sin", "vdot", "where", "zeros", "zeros_like",
}  # fmt: skip
METHODS = {
    "astype",
    "copy",
    "max",
    "mean",
    "min",
    "ravel",
    "reshape",
    "sum",
    "swapaxes",
    "tolist",
    "item",
    "fill",
}
PROPERTIES = {"shape", "dtype", "size", "ndim", "nbytes"}


class StrictArray(np.lib.mixins.NDArrayOperatorsMixin):
    """Hides a NumPy array, and does with it what CuPy could do on a graphics processor."""

    def __init__(self, host):
        self.host = host

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion to a NumPy array")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if ufunc.__name__ not in FUNCTIONS or method not in ("__call__", "at") or any(map(unknown, inputs)):
            return NotImplemented
        if out is not None:
            kwargs["out"] = tuple(hidden(a) for a in out)
        return shown(getattr(ufunc, method)(*(hidden(a) for a in inputs), **kwargs))

    def __array_function__(self, function, types, args, kwargs):
        if function.__module__ != "numpy" or function.__name__ not in FUNCTIONS:
            return NotImplemented
        if not all(issubclass(kind, (StrictArray, np.ndarray)) for kind in types):
            return NotImplemented
        if function.__name__ == "asarray":  # np.asarray(a, like=x): from the host to where x is
            [a] = args
            return a if isinstance(a, StrictArray) else StrictArray(np.asarray(a))
        args = [[hidden(b) for b in a] if isinstance(a, (list, tuple)) else hidden(a) for a in args]
        return shown(function(*args, **{key: hidden(a) for key, a in kwargs.items()}))

    def __getitem__(self, index):
        return shown(self.host[index_of(index)])

    def __setitem__(self, index, value):
        self.host[index_of(index)] = hidden(value)

    def __getattr__(self, name):
        if name in METHODS:
            method = getattr(self.host, name)
            return lambda *args, **kwargs: shown(method(*args, **kwargs))
        if name in PROPERTIES:
            return getattr(self.host, name)
        raise AttributeError(f"an array on a graphics processor has no {name} that is used here")

    @property
    def T(self):
        return StrictArray(self.host.T)

    def __len__(self):
        return len(self.host)

    def __bool__(self):
        return bool(self.host)

    def __int__(self):
        return int(self.host)

    def __float__(self):
        return float(self.host)

    def __index__(self):
        return operator.index(self.host)

    def get(self):
        """Return a copy of the array as NumPy's."""
        return np.array(self.host)


def unknown(a):
    """Return whether this is an array of a third kind, which CuPy leaves to that kind."""
    return hasattr(a, "__array_ufunc__") and not isinstance(a, (StrictArray, np.ndarray, np.generic))


def hidden(a):
    """Return the NumPy array of a StrictArray; another one, or one of NumPy's numbers, is refused."""
    if isinstance(a, StrictArray):
        return a.host
    if isinstance(a, (np.ndarray, np.generic)):
        raise TypeError(f"a {type(a).__name__} of NumPy meets an array on a graphics processor")
    return a


def shown(result):
    """Wrap what NumPy made; a number becomes an array without axes, as in CuPy."""
    return StrictArray(np.asarray(result)) if isinstance(result, (np.ndarray, np.generic)) else result


def index_of(index):
    """Return an index for the hidden array, made of slices, whole numbers and StrictArrays alone."""
    return tuple(hidden(i) for i in index) if isinstance(index, tuple) else hidden(index)
