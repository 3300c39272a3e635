"""A folder that is written by one process alone, and marked as begun until it holds what it is for.

The mark is the file picogpt.lock, which names the process and is locked while that runs. It is written before
any other file, and deleted once one of the files is there that make the folder whole: a model's
hyper-parameters, or the state of a training. So a folder that has the mark but no such file was begun by a
process that was killed: another may begin there again. Any other folder that is not empty is the user's own.
"""

import atexit
import contextlib
import os
import re
import socket
from pathlib import Path

from picogpt.system.files import read_bytes, sync_folder, try_lock

LOCK = "picogpt.lock"
HELD = {}  # {real path of a folder: (its open lock, the names of the files that make it whole)}


def check_free(folder, whole, what="files"):
    """Raise ValueError unless a command may begin in `folder`: it is not there, empty, or only begun.

    `whole` are the names of files one of which makes it whole.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: --out names a folder")
    there = sorted(name for name in os.listdir(folder) if name != LOCK) if folder.exists() else []
    if not there or (is_begun(folder) and not any(name in there for name in whole)):
        return
    more = f" and {len(there) - 3} more" if len(there) > 3 else ""
    raise ValueError(
        f"{folder} holds other {what} ({', '.join(there[:3])}{more}): --out names another folder"
    )


def clear(folder, names):
    """Delete the files of these names, and the temporary files of processes that were killed writing them."""
    of_names = re.compile(rf"({'|'.join(map(re.escape, names))})(\.lock|\.[0-9a-f]{{16}}\.tmp)?")
    for name in filter(of_names.fullmatch, os.listdir(folder)):
        Path(folder, name).unlink(missing_ok=True)


def unmark(folder, whole):
    """Delete what a process killed after the last file has left in a folder that is whole: mark and lock."""
    lock = Path(folder, LOCK)
    if is_begun(folder) and set(os.listdir(folder)) & set(whole) and (file := try_lock(lock)):
        with file:
            for name in whole:
                Path(folder, f"{name}.lock").unlink(missing_ok=True)
            lock.unlink(missing_ok=True)


def is_begun(folder):
    """Return whether a command has begun to fill a folder, and not come to what makes it whole."""
    return Path(folder, LOCK).is_file()


def acquire(folder, whole):
    """Keep all other processes from filling `folder`, which is made if need be, until `release` or the end.

    `whole` are the names of files, one of which makes it whole. ValueError, which says who holds it, if
    another process does. On a file system without locks no process is kept out.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = os.path.realpath(folder)
    if key in HELD:
        return
    lock = folder / LOCK
    if not (file := try_lock(lock)):
        raise ValueError(f"{folder} is in use by {holder(lock)}: wait for it, or use another --out")
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    file.flush()
    os.fsync(file.fileno())
    sync_folder(folder)
    HELD[key] = file, whole


def holder(lock):
    """Return who holds a lock, if the file says so."""
    with contextlib.suppress(OSError, ValueError):
        if said := read_bytes(lock, most=200).decode():
            return said
    return "another process"


def release(folder):
    """Let other processes fill a folder again. The mark stays in one that is begun but not whole."""
    file, whole = HELD.pop(os.path.realpath(folder), (None, ()))
    if file is None:
        return
    with file, contextlib.suppress(OSError):  # it may have been deleted
        there = set(os.listdir(folder)) - {LOCK}
        if (not there or there & set(whole)) and os.name == "posix":
            os.unlink(Path(folder, LOCK))


@contextlib.contextmanager
def release_on_error(folder):
    """Release a folder, if this process holds it, when the block fails."""
    try:
        yield
    except BaseException:
        release(folder)
        raise


@contextlib.contextmanager
def release_at_end(folder):
    """Release a folder, if this process holds it, when the block ends."""
    try:
        yield
    finally:
        release(folder)


@atexit.register
def release_all():
    """Release all folders when the process ends, unless it is killed."""
    for folder in list(HELD):
        release(folder)
