"""Fetch a large file over a connection that may drop, and trust it only when it is whole and right."""

import hashlib
import logging
import re
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests

from picogpt.system import progress
from picogpt.system.files import is_there, locked, move_into_place, n_bytes, naming, open_file, open_own

CHUNK = 64 * 1024  # bytes; a dropped connection loses the last chunk, and smaller ones cost more time
LONGEST_PAUSE, LONG = 60, 5  # seconds, whatever a server asks for; and a pause of which there is news
DROPPED = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

log = logging.getLogger("picogpt")


def download(url, path, size=None, sha256=None, check=None, n_tries=4, pause=0.5, timeout=(10, 30)):
    """Fetch `url` to `path`, unless that is there already.

    Where they are known, `size` is in bytes and `sha256` in hex; `check(file)` raises ValueError for a wrong
    file. What has arrived lies in `<path>.part`, from where a later call goes on; it gets its name when it is
    whole and right. Of several processes one fetches it, the others wait.

    `timeout` is in seconds, for a connection and for its next bytes. After `n_tries` in a row that brought
    nothing, with pauses that double from `pause` seconds on, the connection is an OSError, and so is a full
    disk. What the server does not have or should not have sent is a ValueError.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    if is_there(path, size):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if is_there(path, size):  # another process has fetched it
            return
        with naming(part, "make room, run this again"):
            if part.is_symlink():
                part.unlink()  # the file that it leads to is not ours to write to
            if path.is_file() and not path.is_symlink():
                path.replace(part)  # what another program left of its download is as good a beginning as ours
            fetch_all(url, part, size, n_tries, pause, timeout)
            verify(url, part, sha256, check)
            move_into_place(part, path)


def fetch_all(url, part, size, n_tries, pause, timeout):
    """Ask for what `part` lacks of `url` until it is whole, or `n_tries` in a row have brought nothing."""
    tries, most = 0, 0  # `most` bytes have been in the part
    while True:
        before = n_bytes(part)
        try:
            return fetch(url, part, size, timeout)
        except DROPPED as error:
            reason = str(error) if error.response is not None else type(error).__name__
            asked = wanted_pause(error.response)
        except requests.RequestException as error:  # an address that is neither http nor https, for one
            raise ValueError(f"{url} cannot be fetched ({type(error).__name__}): check the address") from None
        grown = n_bytes(part) > max(before, most)
        tries, most = (0, n_bytes(part)) if grown else (tries + 1, most)
        if tries == n_tries:
            there = n_bytes(part)
            goes_on = f", it will go on after the {there:,} bytes that are there" if there else ""
            raise OSError(
                f"{url} cannot be fetched ({reason}): check the network and run this again{goes_on}"
            )
        seconds = max(pause * 2**tries, asked)
        if tries == 1 or seconds > LONG:  # a few short pauses are one piece of news
            log.warning("%s cannot be fetched (%s): next try in %.1f s", url, reason, seconds)
        time.sleep(seconds)


def wanted_pause(response):
    """Return for how many seconds a server wants to be left alone: Retry-After is a number or a date."""
    wish = "" if response is None else response.headers.get("Retry-After", "")
    try:
        seconds = int(wish) if wish.isdecimal() else parsedate_to_datetime(wish).timestamp() - time.time()
    except (ValueError, OverflowError):
        seconds = 0
    return min(max(seconds, 0), LONGEST_PAUSE)


def fetch(url, part, size, timeout):
    """Ask the server once for what `part` lacks of `url`, and add it; DROPPED if that is not all of it."""
    begin = n_bytes(part)
    if begin and begin == size:
        return
    headers = {"Accept-Encoding": "identity"}  # not compressed: bytes are counted as they are in the file
    if begin:
        headers["Range"] = f"bytes={begin}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        check_status(url, response)
        first, total = extent(response, size)
        if size not in (None, total):
            raise ValueError(f"{url} has {total:,} bytes, not the published {size:,}: check the address")
        if (first, begin) == (total, total):  # nothing is lacking
            return
        if first is None or first > begin or (total or begin) < begin:  # `part` is of no use to this server
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("it does not answer from the byte asked for", response=response)
        if total is None:
            raise ValueError(f"{url} tells no length, without which a cut is not seen: use another address")
        receive(response, part, first, total)


def check_status(url, response):
    """Raise one of DROPPED for a busy server, ValueError for one that does not have the file."""
    status = f"{response.status_code} {response.reason}"
    if response.status_code == 429 or response.status_code >= 500:
        raise requests.ConnectionError(status, response=response)
    if response.status_code not in (200, 206, 416):
        raise ValueError(f"{url} cannot be fetched ({status}): check the address")
    if response.ok and response.headers.get("Content-Type", "").startswith("text/html"):
        raise ValueError(f"{url} is a web page: log in to the network if it asks for it, check the address")


def extent(response, size):
    """Return (where in the file the response begins, bytes of the whole file), each None if it is not told.

    Status 200 brings the file from its beginning, also from a server that cannot resume; 206 what was asked
    for; 416 nothing, as if it began at the end: "bytes */1000".
    """
    length, span = (response.headers.get(f"Content-{name}", "") for name in ("Length", "Range"))
    if response.status_code == 200:
        return 0, int(length) if length.isdecimal() else size
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", span)
    return (int(match[1] or match[2]), int(match[2])) if match else (None, size)


def receive(response, part, first, total):
    """Write the response's bytes to `part` from `first` up to `total`, with a bar on stderr."""
    with progress.shown(total, first, "B", part.stem, at_end=False) as bar, open_own(part) as file:
        file.seek(first)
        for chunk in response.iter_content(CHUNK):
            file.write(chunk[: total - file.tell()])
            bar.show(file.tell())
            if file.tell() == total:
                break
    if n_bytes(part) < total:
        raise requests.ConnectionError


def verify(url, part, sha256, check):
    """Delete `part` and raise ValueError if it is not what `url` should be."""
    try:
        if sha256 is not None and (found := file_sha256(part)) != sha256:
            raise ValueError(f"its sha256 is {found}, not the published {sha256}")
        if check is not None:
            check(part)
    except (ValueError, RecursionError) as error:
        part.unlink()
        raise ValueError(f"{url} gave a wrong file ({error}): it is deleted, run this again") from None


def file_sha256(path):
    """Return the sha256 of a file in hex."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
