"""Whether a model writes with the compiled products of products.py, and from when on.

They need Numba, which pip install -e ".[fast]" brings. It takes half a second to import, and the first time
some seconds to compile. So writing begins without it, and only when it has taken half a second does a thread
beside it fetch the products, which are used as soon as they are there. Whoever writes less is not kept
waiting; whoever writes more loses no more than that time.

Matrices in bfloat16 and int8 lie as the products need them. Those in float32 do once a long text has had them
copied into memory, see checkpoints/in_place.py.

--no_fast, or PICOGPT_NO_FAST=1 in the environment, leaves them out. Sums are then taken in another order, and
their last digits differ, as they do between numbers of threads.
"""

import functools
import importlib
import importlib.util
import logging
import os
import threading
import time

from picogpt.checkpoints import in_place
from picogpt.params.narrow import Matrix, is_matrix
from picogpt.system import machine

log = logging.getLogger("picogpt")
WORTH = 0.5  # seconds of writing
OFF = "PICOGPT_NO_FAST"  # in the environment


def available():
    """Return whether Numba is installed and may be used."""
    return os.environ.get(OFF, "0") in ("", "0") and importlib.util.find_spec("numba") is not None


def turn_off():
    """Leave the products out, in this process and in those that it starts."""
    os.environ[OFF] = "1"


def in_use():
    """Return whether models write with the products."""
    return Matrix.product is not None


def place(path, array, out):
    """Copy the array at a path of the tree into the memory `out`; return it as it lies there.

    The products read a matrix output by output. A linear layer's [in, out] is transposed for that.
    """
    if not available() or not is_matrix(path):
        return in_place.place(path, array, out)
    turned = path.endswith(".w")
    rows = out.reshape(array.T.shape if turned else array.shape)
    rows[...] = array.T if turned else array
    return Matrix(rows, turned=turned)


def fetch_if_worth(began, params):
    """Begin to fetch the products if writing began so long ago, by time.perf_counter, that it is worth it."""
    if time.perf_counter() - began > WORTH and isinstance(params["wte"], Matrix):
        fetch(params["wte"].rows.dtype)


@functools.cache
def fetch(kind):
    """Begin to fetch the products for weights of a kind; return the thread that does, None without Numba."""
    if not available():
        return None
    thread = threading.Thread(target=use, args=[kind, machine.n_threads()], name="products")
    thread.start()
    return thread


def use(kind, n_threads):
    """Let every Matrix of a kind of weights multiply by the products, from now on."""
    try:
        products = importlib.import_module("picogpt.speed.products")
        if threading.main_thread().is_alive():  # else the text is done, and waits for this thread
            products.use(kind, n_threads)
    except Exception as error:  # of an installation that does not fit: a model writes as without it
        log.warning("the compiled products cannot be used, %s: %s", type(error).__name__, error)
