"""Which large files have passed a check that takes time, so that each is made once for each file.

That files of these sizes and dates have passed is noted in the user's cache, which is ~/.cache/picogpt or
$XDG_CACHE_HOME/picogpt: reading writes nothing into a model's folder.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from picogpt.system.files import atomic_write, cache_folder, read_json

LARGE = 1 << 24  # bytes; smaller files are checked each time, which takes no time to speak of


@contextlib.contextmanager
def once(check, paths):
    """Give the block, which makes the `check` of that name, whether these files have passed it before.

    If they have not, and the block ends without an error, it is noted. A file that has changed, by its size
    or its dates, has to pass again; a change during the check has too, as the note is of what it was before.
    """
    note, now = note_of(check, paths), facts_of(paths)
    known = read_note(note) == now
    yield known
    if not known and sum(size for size, *_ in now.values()) >= LARGE:
        write_note(note, now)


def note_of(check, paths):
    """Return the file in the user's cache that says whether files have passed a check, or None."""
    names = "\n".join([check, *sorted(map(os.path.realpath, paths))])
    folder = cache_folder()
    return folder and folder / "verified" / f"{hashlib.sha256(os.fsencode(names)).hexdigest()}.json"


def facts_of(paths):
    """Return {path: [bytes, nanoseconds since 1970 of its last change, and of its entry's]} of files."""
    stats = {os.path.realpath(path): os.stat(path) for path in paths}
    return {path: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats.items()}


def read_note(path):
    """Return what a note says, or None if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_json(path) if path else None


def write_note(path, facts):
    """Write a note, if that can be: it is not worth an error."""
    if path is None:
        return
    with contextlib.suppress(OSError, UnicodeError):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(facts).encode())
