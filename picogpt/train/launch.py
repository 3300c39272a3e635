"""`--processes N`: a command starts itself again, as N processes that train together, see parallel.py.

mpiexec takes the place of this process. So what a shell or a scheduler sends, Ctrl-C for one, reaches it, and
the exit code is its own: nothing else differs from a training in one process.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from picogpt.train import parallel


def start(n, module):
    """Become `n` processes of the command `module`; return if there is one, or if these are running.

    Each has one thread, unless the environment or --threads say otherwise: the matrices of a small model are
    not worth sharing among threads, and the rows of a batch are. ValueError, which says how to get it, if
    there is no MPI.
    """
    if n == 1 or parallel.world() is not parallel.ALONE:
        return
    words = sys.orig_argv  # [/usr/bin/python3, -m, picogpt.train, ...]
    if module not in words or words[words.index(module) - 1] != "-m":
        raise ValueError(
            f"processes={n} needs a command that starts anew: python -m {module} --processes {n}"
        )
    if not (program := mpiexec()):
        raise ValueError(f'--processes {n} needs mpiexec and mpi4py: pip install -e ".[mpi]"')
    environment = dict(OMP_NUM_THREADS="1") | os.environ
    os.execve(program, [program, "-n", str(n), sys.executable, *words[1:]], environment)


def mpiexec():
    """Return MPI's starter, from beside Python or the user's path; None without it, or without mpi4py."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return shutil.which("mpiexec", path=beside) if importlib.util.find_spec("mpi4py") else None
