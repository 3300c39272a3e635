"""Weights of fewer bytes: matrices that are stored in bfloat16 or int8, and computed with in float32.

How fast a model writes is decided by how many bytes of weights it reads for each token; how large a model a
machine can hold, too. So the numbers of a matrix may be rounded:

    bfloat16  the upper half of a float32: its range, and 8 of its 24 binary digits
    int8      whole numbers from -127 to 127, times one float32 for each output: its largest weight over 127

A `Matrix` stands in the tree of parameters where an array would. The model multiplies with it and looks rows
up in it, and does not see a difference. Each number is widened to float32 before it is multiplied, a block at
a time: that saves memory and nothing else, and defines the result. speed/products.py is faster.

Only what is multiplied is rounded: the linear layers, the token embedding and the head. Biases, norms and
position embeddings are float32, and so are all activations.
"""

import math

import numpy as np

from picogpt.params.tree import flatten, nest
from picogpt.system.machine import let_go, split, spread

DTYPES = ("float32", "bfloat16", "int8")
BLOCK = 1 << 18  # numbers that are widened at once: a megabyte, which stays in the processor's own memory
BF16 = np.dtype([("bf16", "<u2")])  # bfloat16 in a file: NumPy has no such number
LAYOUT = "NAME [out, in] in int8 and NAME.scale [out] in float32 are the weights NAME * NAME.scale[:, None]"


class Matrix:
    """A matrix of float32, bfloat16 or int8 that multiplies as its numbers in float32 do.

    `rows` [out, in] hold for each output the weights of all inputs: in float32, as the bits of bfloat16
    (uint16), or in int8, with `scale` [out]. The matrix is `rows` itself, as the token embedding is, or,
    `turned`, its transpose [in, out], as a linear layer's is.
    """

    __array_ufunc__ = None  # so that NumPy leaves x @ matrix to the matrix
    dtype = np.dtype(np.float32)  # of what comes of it
    product = None  # what multiplies few rows, faster than here, once speed/products.py has put it here

    def __init__(self, rows, scale=None, turned=False):
        self.rows, self.scale, self.turned = rows, scale, turned

    @property
    def shape(self):
        """Return the shape, as an array's."""
        return self.rows.shape[::-1] if self.turned else self.rows.shape

    @property
    def size(self):
        """Return how many numbers there are."""
        return self.rows.size

    @property
    def T(self):
        """Return the transpose, of the same memory."""
        return Matrix(self.rows, self.scale, not self.turned)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """Return rows by their ids, or what else is asked for, in float32; a slice of rows is a Matrix."""
        if self.turned or isinstance(index, tuple):
            return self.wide()[index]
        scale = None if self.scale is None else self.scale[index]
        return Matrix(self.rows[index], scale) if isinstance(index, slice) else widen(self.rows[index], scale)

    def __rmatmul__(self, x):
        """Return x @ matrix: x [R, in] @ [in, out] -> [R, out], all in float32."""
        if not self.turned:
            return x @ self.wide()
        if self.product and (y := self.product(x)) is not None:
            return y
        if self.rows.dtype == np.float32:
            return x @ self.rows.T
        y = np.empty((len(x), len(self.rows)), np.float32)
        for part in parts(self.rows):
            np.matmul(x, widen(self.rows[part]).T, out=y[:, part])
        return y if self.scale is None else np.multiply(y, self.scale, out=y)

    def __array_function__(self, function, types, args, kwargs):
        """Let NumPy make arrays like this one, for the ids and the cache: they are its own, in float32."""
        if function not in (np.asarray, np.empty_like):
            raise TypeError(f"{function.__name__} cannot take a matrix of {self.rows.dtype}: widen it first")
        args = [np.empty(0, np.float32) if isinstance(a, Matrix) else a for a in args]
        return function(*args, **kwargs)

    def wide(self):
        """Return the matrix as an array of float32."""
        rows = np.empty(self.rows.shape, np.float32)
        for part in parts(rows):
            rows[part] = widen(self.rows[part], None if self.scale is None else self.scale[part])
        return rows.T if self.turned else rows

    def is_finite(self):
        """Return whether there is no infinity or NaN, whose exponents in bfloat16 are eight ones."""
        if self.scale is not None:
            return bool(np.isfinite(self.scale).all())
        return all(((self.rows[part] & 0x7FFF) < 0x7F80).all() for part in parts(self.rows))


def parts(rows):
    """Return slices of so many rows that each has about BLOCK numbers."""
    return split(len(rows), max(1, math.ceil(rows.size / BLOCK)))


def widen(numbers, scale=None):
    """Return float32 of bfloat16's bits, or of int8 times `scale` [out] for each row, or of other numbers."""
    if numbers.dtype == np.uint16:
        wide = numbers.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinity or NaN that comes of it is noticed
        wide = numbers.astype(np.float32)
        return wide if scale is None else wide * scale[..., None]


def to_bfloat16(array):
    """Round float32 to the bits of bfloat16: the upper half of its own, to nearest, ties to even.

    >>> to_bfloat16(np.float32([1, 1 + 2**-8, 1 + 2**-7]))
    array([16256, 16256, 16257], dtype=uint16)
    """
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = bits >> 16
    rounded &= 1  # of a tie's two neighbours the one whose last bit is 0 is taken
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    return rounded.astype(np.uint16)


def to_int8(rows):
    """Round rows [out, in] to whole numbers -> int8 [out, in], and what one is worth in each row, [out].

    >>> to_int8(np.float32([[1, -2], [0, 0]]))
    (array([[  64, -127],
           [   0,    0]], dtype=int8), array([0.01574803, 1.        ], dtype=float32))
    """
    scale = np.abs(rows).max(axis=1) * np.float32(1 / 127)
    scale[scale == 0] = 1
    with np.errstate(invalid="ignore"):  # of a row with an infinity or NaN, as its scale is then
        return np.rint(rows / scale[:, None]).astype(np.int8), scale


def is_matrix(path):
    """Return whether the array at a path of the tree is multiplied with, and so may be rounded."""
    return path.endswith(".w") or path in ("wte", "lm_head")


def narrow(arrays, dtype):
    """Return {path: array} with each matrix as a Matrix of `dtype`, all in one stretch of memory.

    `arrays` may be of any precision, and mapped from a file: each leaves memory when it has been read.
    """
    paths = [path for path in arrays if is_matrix(path)]
    kind, done = {"bfloat16": np.uint16, "int8": np.int8}[dtype], dict.fromkeys(arrays)
    ends = np.cumsum([0] + [arrays[path].size for path in paths]).tolist()
    flat = np.empty(ends[-1] + (-ends[-1] % 4), kind)

    def fill(i):
        path = paths[i]
        turned = path.endswith(".w")
        array = arrays.pop(path)
        array = array.T if turned else array  # [out, in]
        rows = flat[ends[i] : ends[i + 1]].reshape(array.shape)
        scale = None if dtype == "bfloat16" else np.empty(len(rows), np.float32)
        for part in parts(rows):
            if array.dtype == BF16 and dtype == "bfloat16":
                rows[part] = array[part]["bf16"]
            elif dtype == "bfloat16":
                rows[part] = to_bfloat16(widened(array[part]))
            else:
                rows[part], scale[part] = to_int8(widened(array[part]))
        done[path] = Matrix(rows, scale, turned)
        let_go(array)

    spread(fill, range(len(paths)))
    return done | {path: widened(array) for path, array in arrays.items()}


def narrowed(params, dtype):
    """Return a tree of float32 arrays with its matrices in `dtype`."""
    return params if dtype == "float32" else nest(narrow(flatten(params), dtype))


def widened(array):
    """Return an array, or a Matrix, as an array of float32."""
    if isinstance(array, Matrix):
        return array.wide()
    return widen(array["bf16"] if array.dtype == BF16 else array)


def widen_into(array, out):
    """Write an array of any precision, or a Matrix, into the float32 array `out`, a block at a time."""
    if not isinstance(array, Matrix) and array.dtype != BF16:
        with np.errstate(over="ignore"):  # which gives an infinity, and that is noticed
            out[...] = array
        return
    if isinstance(array, Matrix) and array.turned:
        array, out = array.T, out.T
    for part in parts(out):
        out[part] = widened(array[part])


def joined(tensors, source):
    """Return {path: array} of a file's tensors, in which int8 and its scales have become matrices."""
    for path in [path for path, array in tensors.items() if f"{path}.scale" in tensors and is_matrix(path)]:
        rows, scale = tensors[path], tensors.pop(f"{path}.scale")
        if rows.dtype != np.int8 or scale.dtype != np.float32 or scale.shape != rows.shape[:1]:
            said = f"{path} and {path}.scale, but not as int8 [out, in] and float32 [out]"
            raise ValueError(f"{source} has {said}: convert it again")
        tensors[path] = Matrix(rows, scale, path.endswith(".w"))
    return tensors


def stored(flat):
    """Return {name: array}, what a file holds of {path: array or Matrix}; bfloat16 lies as float32 does."""
    tensors = {}
    for path, array in flat.items():
        if not isinstance(array, Matrix):
            tensors[path] = array
        elif array.scale is not None:
            tensors |= {path: array.rows, f"{path}.scale": array.scale}
        else:
            rows = array.rows.view(BF16)
            tensors[path] = rows.T if array.turned else rows
    return tensors
