"""Many processes, on one machine or several, that train one model: data parallelism by MPI.

    mpiexec -n 4 python -m picogpt.train ...

Each process ("rank") has the whole model and draws the same batches. It computes the gradients of its own
rows, then all ranks add up theirs (an all-reduce): the step that follows is the same everywhere. Rank 0
alone reads and writes files. Without mpiexec there is one process, ALONE, and mpi4py is not needed.
"""

import contextlib
import functools
import logging
import os
import time
import types

import numpy as np

from picogpt.params.tree import flatten, nest, walk
from picogpt.system import command, machine

ALONE = types.SimpleNamespace(rank=0, size=1)
MPIEXEC = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")  # MPICH's marks and OpenMPI's in the environment
log = logging.getLogger("picogpt")


def world():
    """Return all processes that mpiexec started together, as MPI's communicator, or ALONE."""
    if not any(name in os.environ for name in MPIEXEC):
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError:
        raise ValueError('mpiexec needs mpi4py, to let processes talk: pip install -e ".[mpi]"') from None
    return MPI.COMM_WORLD


@contextlib.contextmanager
def together():
    """Give the block the communicator of all processes; if it fails in one of them, all end.

    The processes on a machine divide its cores. Only rank 0 logs, but a rank that fails says why, a second
    later, so that rank 0 comes first where both fail for the same reason.
    """
    comm = world()
    if comm is ALONE:
        yield comm
        return
    from mpi4py import MPI

    machine.set_threads(max(1, machine.n_threads() // comm.Split_type(MPI.COMM_TYPE_SHARED).size))
    log.disabled = comm.rank > 0
    try:
        yield comm
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:  # it has done its part
            raise
        if comm.rank:
            time.sleep(1)
            log.disabled = False
        code = exit_code(error, comm.rank)
        time.sleep(0.3)  # until mpiexec has passed on what was said
        comm.Abort(code)


def exit_code(error, rank):
    """Say why a rank fails, if that is not known yet; return the exit code, as `command.run` has it."""
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        if not rank:
            log.error("%s", str(error) or "interrupted")
        return getattr(error, "code", 130)
    if isinstance(error, (ValueError, OSError, MemoryError)):
        log.error("%s%s", f"rank {rank}: " if rank else "", command.sentence(error))
    else:
        log.error("rank %d failed:", rank, exc_info=error)
    return 1


def broadcast(comm, value):
    """Return rank 0's value on every rank; the `value` of the others is ignored."""
    return value if comm is ALONE else comm.bcast(value)


def broadcast_into(comm, tree):
    """Fill the arrays of all ranks from rank 0's, in place."""
    if comm is not ALONE:
        for _, array in walk(tree):
            comm.Bcast(array)


def total(comm, array):
    """Add up the arrays of all ranks, in place, and return the sum."""
    if comm is not ALONE:
        from mpi4py import MPI

        comm.Allreduce(MPI.IN_PLACE, array)
    return array


def total_gradients(comm, loss, grads):
    """Return the sums of the losses and of the gradients of all ranks.

    All numbers travel in one buffer, at once: each message costs its latency, however short it is.
    """
    if comm is ALONE:
        return loss, grads
    leaves = flatten(grads)
    flat = buffer(1 + sum(g.size for g in leaves.values()), next(iter(leaves.values())).dtype)
    flat[0], end, parts = loss, 1, {}
    for path, g in leaves.items():
        begin, end = end, end + g.size
        parts[path] = flat[begin:end].reshape(g.shape)
        parts[path][...] = g
    total(comm, flat)
    return float(flat[0]), nest(parts)


@functools.cache
def buffer(n, dtype):
    """Return an array of `n` numbers, the same one each time."""
    return np.empty(n, dtype)
