"""Files that are there whole or not at all, whenever the program or the machine stops; and mapped ones."""

import contextlib
import os
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

    What is written goes to `<path>.tmp` beside it. An exception removes that file and leaves `path` as it
    was; a killed process leaves it behind, and the next write to `path` starts it anew.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        move_into_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def map_file(path):
    """Return the bytes of a file as a read-only array, which comes from the disk as it is used."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is missing: download or write it again")
    return np.asarray(np.memmap(path, mode="r")) if Path(path).stat().st_size else np.empty(0, np.uint8)
