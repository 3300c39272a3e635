"""Products of a few rows with a matrix, as loops that Numba compiles: what a model does while it writes.

For each token every weight of the model is multiplied once and added: two operations for each number that
comes from memory. A core can do some ten of them in the time in which four bytes arrive. So the bytes of the
weights decide how fast a model writes: in bfloat16 there are half as many, in int8 a quarter.

NumPy has no product for these. It widens them to float32, which takes longer than the product itself (see
params/narrow.py). Here a weight is widened where it is used, in a register, and rows that are multiplied with
the same matrix share it: a call for eight tokens reads the weights once.

    y[r, o] = sum over i of x[r, i] * rows[o, i]

The loops say no more than that. The compiler takes eight or sixteen steps of i at once (it may, as `SUMS`
lets it add in another order), and the cores share the outputs.
"""

import threading

import numpy as np
from numba import config, njit, prange, set_num_threads, types
from numba.extending import overload

from picogpt.params.narrow import Matrix

SUMS = {"reassoc", "contract"}  # of what is called fast mathematics; NaN and infinity keep their meaning
# How many rows the loops are for. One row times float32 is as fast in NumPy, which reads the same bytes.
ROWS = {np.dtype(np.float32): range(2, 17), np.dtype(np.uint16): range(17), np.dtype(np.int8): range(17)}
READY = set()  # the kinds of weights for which the loops have been compiled
LOCK = threading.Lock()  # "workqueue", one of Numba's ways to start threads, cannot be entered by two at once


def widen(w):
    """Return the float32 that a weight stands for: the bits of bfloat16 are its upper half."""


@overload(widen)
def widen_compiled(w):
    """Return `widen` for a weight of this type."""
    if w == types.uint16:
        return lambda w: np.uint32(np.uint32(w) << np.uint32(16)).view(np.float32)
    return lambda w: np.float32(w)


@njit(fastmath=SUMS)
def one(a, w):
    """Return the product of one row with the weights of one output."""
    y = np.float32(0)
    for i in range(len(w)):
        y += a[i] * widen(w[i])
    return y


@njit(fastmath=SUMS)
def four_by_two(x, rows, y):
    """Write the products of four rows with the weights of two outputs to y [4, 2].

    A weight is read and widened once for the four rows, a number of a row is read once for the two outputs.
    """
    a, b, c, d = x[0], x[1], x[2], x[3]
    v, w = rows[0], rows[1]
    av = bv = cv = dv = aw = bw = cw = dw = np.float32(0)
    for i in range(len(v)):
        left, right = widen(v[i]), widen(w[i])
        av += a[i] * left
        bv += b[i] * left
        cv += c[i] * left
        dv += d[i] * left
        aw += a[i] * right
        bw += b[i] * right
        cw += c[i] * right
        dw += d[i] * right
    y[0, 0], y[1, 0], y[2, 0], y[3, 0] = av, bv, cv, dv
    y[0, 1], y[1, 1], y[2, 1], y[3, 1] = aw, bw, cw, dw


@njit(parallel=True, nogil=True, cache=True, fastmath=SUMS)
def multiply(x, rows, y):
    """Write x [R, in] times rows [out, in], transposed, to y [R, out > 1]; the cores share the outputs."""
    R = len(x)
    for pair in prange((len(rows) + 1) // 2):
        o = min(2 * pair, len(rows) - 2)  # the last pair of an odd number shares one with that before
        for r in range(0, R - 3, 4):
            four_by_two(x[r : r + 4], rows[o : o + 2], y[r : r + 4, o : o + 2])
        for r in range(R - R % 4, R):
            y[r, o], y[r, o + 1] = one(x[r], rows[o]), one(x[r], rows[o + 1])


def use(kind, n_threads):
    """Let every Matrix of a kind of weights multiply by the loops, on so many cores.

    The first time they are compiled, which takes seconds; later that is read from the cache of Numba.
    """
    n_threads = min(n_threads, config.NUMBA_NUM_THREADS)

    def product(matrix, x):
        """Return x [R, in] times the matrix, or None if NumPy is to do it."""
        kind = matrix.rows.dtype
        if len(x) not in ROWS[kind] or kind not in READY or len(matrix.rows) < 2:
            return None
        y = np.empty((len(x), len(matrix.rows)), np.float32)
        with LOCK:
            set_num_threads(n_threads)  # which Numba notes for each thread that calls it
            multiply(np.ascontiguousarray(x), matrix.rows, y)
        return y if matrix.scale is None else np.multiply(y, matrix.scale, out=y)

    READY.add(np.dtype(kind))
    product(Matrix(np.ones((8, 8), kind)), np.ones((1, 8), np.float32))
    Matrix.product = product
