"""What makes plain NumPy fast on a given machine: all of its cores, and memory that is kept.

NumPy's matrix products are done by BLAS, which spreads each of them over the cores; everything between them,
from softmax to AdamW, runs on one. But NumPy releases Python's lock while it computes. So the work can be
cut into larger pieces, each of which one core takes through the products and all between them. That is
`spread`. Meanwhile BLAS has to use fewer cores, or its threads and ours would wait for each other.
"""

import collections
import ctypes
import functools
import itertools
import mmap
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np  # it loads the BLAS that `blas` looks for
import threadpoolctl

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


@functools.cache
def blas():
    """Return the controls of the BLAS that NumPy has loaded; finding it takes a millisecond."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def blas_name():
    """Return which BLAS computes, and for which processor it has chosen its code: "openblas 0.3.31, Zen".

    OpenBLAS chooses when it is loaded; OPENBLAS_CORETYPE in the environment tells it otherwise.
    """
    found = [
        f"{library['internal_api']} {library['version']}, {library.get('architecture') or 'code of any kind'}"
        for library in blas().info()
    ]
    return "; ".join(found) or "a BLAS that does not tell its name"


def n_threads():
    """Return on how many cores BLAS works; 1 also if it does not say, as Apple's does not."""
    return max((library["num_threads"] or 1 for library in blas().info()), default=1)


def set_threads(n):
    """Let BLAS, and with it `spread`, use `n` cores from now on; 0 changes nothing."""
    if n:
        blas().limit(limits=n)


def spread(f, items):
    """Return [f(item) for item in items], computed on all cores; an error in one of them is raised.

    Items begin in their order, so one may wait for an earlier one. Only one thread at a time may call it, as
    the number of BLAS's threads is one for the whole process.
    """
    cores = n_threads()
    n = min(cores, len(items))
    if n < 2:
        return [f(item) for item in items]
    results, waiting = [None] * len(items), collections.deque(enumerate(items))

    def work():
        while True:
            try:
                i, item = waiting.popleft()
            except IndexError:
                return
            try:
                results[i] = f(item)
            except BaseException:
                waiting.clear()  # what has not begun never does
                raise

    with blas().limit(limits=cores // n), ThreadPoolExecutor(n) as pool:
        try:
            for worker in [pool.submit(work) for _ in range(n)]:
                worker.result()
        finally:
            waiting.clear()  # after Ctrl-C too
    return results


def split(n, parts):
    """Cut range(n) into slices of almost equal length.

    >>> split(10, 3)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    ends = [n * i // parts for i in range(parts + 1)]
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


def keep_memory():
    """Let this process keep memory that it has freed, for what it will make next.

    A training step makes arrays of the same sizes as the step before, hundreds of megabytes. The C library
    gives large ones back to the system at once, which then hands out fresh pages and fills them with zeros,
    a good part of a step's time. Linux's glibc can be told not to; another C library is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # bytes, the most there is: arrays up to this come from the heap
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # the heap's free end, too, is kept
        mallopt(M_TOP_PAD, 64 << 20)  # and it grows by as much at once


def owner(array):
    """Return the np.memmap of which an array is a part, or None."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array


def let_go(array):
    """Tell the system that a mapped array is no longer needed in memory; if it is, it comes again."""
    whole = owner(array)
    if whole is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first = array.ctypes.data - whole.ctypes.data + whole.offset % mmap.ALLOCATIONGRANULARITY
    begin = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (first + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if begin < end:
        whole.base.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def peak_memory():
    """Return the most memory this process has held, in bytes, or None where the system does not tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
