"""Processes that are threads: MPI's calls as picogpt makes them, for tests that need no MPI."""

import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np

from picogpt.train import parallel


def together(n, work, monkeypatch):
    """Return [work(comm)] of n threads that talk to each other; an error in one of them is raised."""
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(IN_PLACE="in place")))
    monkeypatch.setattr(parallel, "buffer", np.empty)  # a process has one of its own, and keeps it
    board, barrier = [None] * n, threading.Barrier(n, timeout=30)

    def thread(rank):
        try:
            return work(Comm(rank, n, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(n) as pool:
        return [future.result() for future in [pool.submit(thread, rank) for rank in range(n)]]


class Comm:
    """What one of the threads sees of all."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.board, self.barrier = rank, size, board, barrier

    def swap(self, value):
        """Return what each has given."""
        self.board[self.rank] = value
        self.barrier.wait()
        given = list(self.board)
        self.barrier.wait()
        return given

    def bcast(self, value):
        """Return the first one's value."""
        return pickle.loads(pickle.dumps(self.swap(value)[0]))

    def Bcast(self, array):
        """Fill the array from the first one's."""
        array[...] = self.swap(array.copy())[0]

    def Allreduce(self, how, array):
        """Add up the arrays of all, in place."""
        assert how == "in place"
        array[...] = sum(self.swap(array.copy()))

    def Reduce_scatter(self, whole, part, sizes):
        """Add up the arrays of all, of which each gets its part."""
        part[...] = self.part(sum(self.swap(whole.copy())), part, sizes)

    def Allgatherv(self, part, whole):
        """Fill an array from the parts of all."""
        self.join(self.swap(part.copy()), *whole)

    def Gatherv(self, part, whole):
        """Do so for the first one alone; the others give None."""
        parts = self.swap(part.copy())
        assert (whole is None) == (self.rank > 0)
        if whole:
            self.join(parts, *whole)

    def Scatterv(self, whole, part):
        """Fill a part from the first one's array; the others give None."""
        assert (whole is None) == (self.rank > 0)
        array, sizes = self.swap(whole and [whole[0].copy(), whole[1]])[0]
        part[...] = self.part(array, part, sizes)

    def part(self, array, part, sizes):
        """Return one's own part of an array, in the part's shape."""
        assert array.dtype == part.dtype and sum(sizes) == array.size and sizes[self.rank] == part.size
        begin = sum(sizes[: self.rank])
        return array.ravel()[begin : begin + part.size].reshape(part.shape)

    def join(self, parts, array, sizes):
        """Fill an array from its parts."""
        assert [part.size for part in parts] == list(sizes) and {p.dtype for p in parts} == {array.dtype}
        array[...] = np.concatenate([part.ravel() for part in parts]).reshape(array.shape)
