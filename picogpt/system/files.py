"""The one place that opens files: regular ones are read, and written whole or not at all, through no link.

A folder may come from anyone. So a pipe or a device is not waited for, whatever its name; what is read has a
limit; and what is written goes to a new file with a random name, which then replaces the old one, be
that a link or not. An error of the system is reported with the name of the file.
"""

import contextlib
import errno
import json
import logging
import os
import re
import stat
import time
from pathlib import Path

import numpy as np

NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # not on Windows, where making a link takes a right of its own
PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
SMALL, LARGE = 1 << 20, 1 << 26  # bytes: of settings and the like; of tokenizers, whose largest take 35 MB
UNIQUE = 1 << 18  # bytes of JSON in which no name may stand twice; GPT-2's vocabulary has a million


def open_file(path):
    """Open a regular file to read its bytes; a pipe or a device is a ValueError, and not waited for."""
    return regular(path, os.open(path, os.O_RDONLY | PLAIN), "rb")


def open_own(path, mode="r+b", **how):
    """Open for reading and writing a file that is ours alone, made if need be: not through a link.

    What has another name too, or is no file, is an OSError that asks to delete it.
    """
    append = os.O_APPEND if "a" in mode else 0
    try:
        if not NO_LINK and os.path.islink(path):
            raise OSError(errno.ELOOP, "")
        file = regular(
            path, os.open(path, os.O_RDWR | os.O_CREAT | append | NO_LINK | PLAIN, 0o666), mode, **how
        )
        if os.fstat(file.fileno()).st_nlink <= 1:  # 0 if it has just been deleted
            return file
        file.close()
    except ValueError:
        pass
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    raise OSError(f"{path} is a link, a pipe or a device, through which nothing is written: delete it")


def create(path):
    """Open for writing a file that was not there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK | PLAIN
    return open(path, "wb", opener=lambda *_: os.open(path, flags, 0o666))


def regular(path, descriptor, mode, **how):
    """Return the open file of a descriptor, which must be of a regular file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is no regular file, but a folder, a pipe or a device: give a file")
    return open(path, mode, opener=lambda *_: descriptor, **how)


def read_bytes(path, most=None):
    """Return what is in a file; more than `most` bytes are a ValueError, and are not read."""
    with open_file(path) as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def read_text(path, most=LARGE):
    """Return the text of a UTF-8 file, its lines ended by newlines alone."""
    return read_bytes(path, most).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path, most=SMALL):
    """Return what is in a JSON file. Whatever is wrong with it is a ValueError, which does not name it."""
    content = read_bytes(path, most)
    return parse_json(content, unique=len(content) <= UNIQUE)


def read_object(path, most=SMALL):
    """Return the object in a JSON file; what is none is a ValueError, which does not name the file."""
    found = read_json(path, most)
    if not isinstance(found, dict):
        raise ValueError(f"it holds {found!r:.40}, and not an object")
    return found


def parse_json(text, unique=True):
    """Return what a text, or its bytes, says as JSON; a name that is given twice is a ValueError too.

    Of a large vocabulary that is not asked (`unique`), as it would take a third of the time: one that gives a
    token two ids lacks one of them, and is refused for that.
    """
    try:
        return json.loads(text, object_pairs_hook=once if unique else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def once(pairs):
    """Return the dict of (name, value) pairs, no two of one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = set()
        twice = next(name for name, _ in pairs if name in names or names.add(name))
        raise ValueError(f"it gives {twice[:50]!r} twice")
    return found


def check_out(path, flag="--out"):
    """Raise an error if no file can be written to `path`, which `flag` names: before the work, not after."""
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder: {flag} names the file that is written")
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"{Path(path).parent} is missing: make the folder that {flag} names")
    check_replaceable(Path(path))


def check_replaceable(path):
    """Raise OSError if a file written to `path` would replace a pipe or a device, such as /dev/null."""
    is_special = path.exists() and not (path.is_file() or path.is_dir())
    if is_special or os.path.realpath(path.parent) == "/dev":  # /dev/stdout may be a link to a file
        raise OSError(f"{path} is a pipe or a device, which a file would replace: name a file")


def move_into_place(temporary, path):
    """Give the complete file `temporary` the name `path`, in one step that also survives a power cut.

    Both lie in the same folder. The bytes reach the disk before the name does, and the folder, which
    holds the name, after it.
    """
    with open_own(temporary) as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(Path(path).parent)


def sync_folder(folder):
    """Return once the names in a folder are on the disk."""
    if os.name == "posix":  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path):
    """Open `path` for writing bytes so that a reader finds the old content or the new one.

        with atomic_write("notes.txt") as file:
            file.write(b"all of it")

    What is written goes to a new file, `<path>.<16 digits>.tmp`, under a lock: one process at a time writes.
    An exception removes that file and leaves `path` as it was. A link at `path` is replaced, but a pipe or a
    device is an OSError. A killed process leaves it and `<path>.lock`
    behind, which lock nothing; the next write to `path` sweeps both away.
    """
    path = Path(path)
    check_replaceable(path)
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    with naming(path), locked(path) as is_locked:
        if is_locked:
            sweep(path)
        try:
            with create(temporary) as file:
                yield file
            move_into_place(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def sweep(path):
    """Delete the temporary files that killed writers of `path` have left."""
    mine = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.tmp")
    for name in filter(mine.fullmatch, os.listdir(path.parent)):
        path.with_name(name).unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path, remedy="make room, or write elsewhere"):
    """Have an error that the system reports say which file could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the system's, and a sentence already
            raise
        raise OSError(f"{path} cannot be written ({error.strerror}): {remedy}") from None


@contextlib.contextmanager
def locked(path, poll=0.1):
    """Let one process at a time work on `path`; the others wait, looking every `poll` seconds.

    The lock is the system's, on `<path>.lock`, and ends with the process that holds it, however that ends:
    a file that stays behind locks nothing. On a file system that knows no locks there is none: the block
    gets False.
    """
    lock = Path(f"{path}.lock")
    if not (file := try_lock(lock)):
        logging.getLogger("picogpt").warning("another process is writing %s: waiting for it", path)
    while not file:
        time.sleep(poll)
        file = try_lock(lock)
    with file:
        try:
            yield file.is_locked
        finally:
            if os.name == "posix":  # Windows cannot delete an open file: there it stays
                lock.unlink(missing_ok=True)


def try_lock(lock):
    """Return the file `lock`, opened and locked, or None if another process holds it.

    Its `is_locked` is False on a file system without locks.
    """
    file = open_own(lock)
    file.is_locked = True
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
        file.is_locked = False
        return file
    file.close()
    return None


def n_bytes(path):
    """Return the size of a file; one that does not exist has 0 bytes."""
    return path.stat().st_size if path.is_file() else 0


def is_there(path, size=None):
    """Return whether a file exists and has the size it should have, if that is known."""
    return path.is_file() and size in (None, n_bytes(path))


def map_file(path):
    """Return the bytes of a file as a read-only array, which comes from the disk as it is used."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is missing: download or write it again")
    with open_file(path) as file:
        return (
            np.asarray(np.memmap(file, mode="r"))
            if os.fstat(file.fileno()).st_size
            else np.empty(0, np.uint8)
        )


def cache_folder():
    """Return the folder for notes about a user's files, or None if there is no home."""
    with contextlib.suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "picogpt")
