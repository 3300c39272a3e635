"""Files that are there whole or not at all, whenever the machine stops; locked and mapped ones."""

import contextlib
import logging
import os
import time
from pathlib import Path

import numpy as np


def move_into_place(temporary, path):
    """Give the complete file `temporary` the name `path`, in one step that also survives a power cut.

    Both lie in the same folder. The bytes reach the disk before the name does, and the folder, which
    holds the name, after it.
    """
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":  # Windows cannot open a folder
        folder = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def atomic_write(path):
    """Open `path` for writing bytes so that whoever reads it finds the old content or the new one.

        with atomic_write("notes.txt") as file:
            file.write(b"all of it")

    What is written goes to `<path>.tmp` beside it, under a lock: one process at a time writes. An exception
    removes that file and leaves `path` as it was. A killed process leaves it and `<path>.lock` behind, which
    lock nothing; the next write to `path` starts the one anew and sweeps both away.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with locked(path):
            try:
                with open(temporary, "wb") as file:
                    yield file
                move_into_place(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        if error.errno is None:  # not the system's, and a sentence already
            raise
        raise OSError(f"{path} cannot be written ({error.strerror}): make room, or write elsewhere") from None


@contextlib.contextmanager
def locked(path, poll=0.1):
    """Let one process at a time work on `path`; the others wait, looking every `poll` seconds.

    The lock is the system's, on `<path>.lock`, and ends with the process that holds it, however that ends:
    a file that stays behind locks nothing. On a file system that knows no locks there is none.
    """
    lock = Path(f"{path}.lock")
    if not (file := try_lock(lock)):
        logging.getLogger("picogpt").warning("another process is writing %s: waiting for it", path)
    while not file:
        time.sleep(poll)
        file = try_lock(lock)
    with file:
        try:
            yield
        finally:
            if os.name == "posix":  # Windows cannot delete an open file: there it stays
                lock.unlink(missing_ok=True)


def try_lock(lock):
    """Return the file `lock`, opened and locked, or None if another process holds it."""
    file = open(lock, "ab")  # noqa: SIM115
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):  # and not one deleted by its last holder
            return file
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass
    except OSError:  # a file system without locks
        return file
    file.close()
    return None


def n_bytes(path):
    """Return the size of a file; one that does not exist has 0 bytes."""
    return path.stat().st_size if path.exists() else 0


def is_there(path, size=None):
    """Return whether a file exists and has the size it should have, if that is known."""
    return path.exists() and size in (None, n_bytes(path))


def map_file(path):
    """Return the bytes of a file as a read-only array, which comes from the disk as it is used."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is missing: download or write it again")
    return np.asarray(np.memmap(path, mode="r")) if Path(path).stat().st_size else np.empty(0, np.uint8)
