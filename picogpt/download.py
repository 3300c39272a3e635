"""Fetch a large file over a connection that may drop, and trust it only when it is whole."""

import hashlib
import os
import time
from pathlib import Path

import requests
from tqdm import tqdm

from picogpt.files import move_into_place

CHUNK = 64 * 1024  # bytes; smaller chunks cost more time than the network takes
DROPPED = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def download(url, path, size=None, sha256=None, n_tries=4, pause=0.5):
    """Fetch `url` to `path`, unless that is there already; `size` in bytes and `sha256` in hex, where known.

    What has arrived lies in `<path>.part`, from where a later call goes on; it gets its name when it is whole
    and right. After `n_tries` in a row that brought nothing, with pauses that double from `pause` seconds on,
    the connection is an OSError. A file that the server does not have, or that differs from `size` or
    `sha256`, is a ValueError, and the latter is deleted.
    """
    path = Path(path)
    if path.exists() and n_bytes(path) == (size or n_bytes(path)):
        return
    part = path.with_name(path.name + ".part")
    if path.exists():
        path.replace(part)  # what another program left of its download is as good a beginning as ours
    part.parent.mkdir(parents=True, exist_ok=True)
    tries, most = 0, n_bytes(part)
    while tries < n_tries:
        try:
            fetch(url, part, size)
            check(url, part, size, sha256)
            move_into_place(part, path)
            return
        except DROPPED as error:
            reason = type(error).__name__
        tries = 0 if n_bytes(part) > most else tries + 1
        most = max(most, n_bytes(part))
        time.sleep(pause * 2**tries if tries < n_tries else 0)
    raise OSError(
        f"{url} cannot be fetched ({reason}): check the network and run this again,"
        f" it will go on after the {n_bytes(part):,} bytes that are there"
    )


def n_bytes(path):
    """Return the size of a file; one that does not exist has 0 bytes."""
    return path.stat().st_size if path.exists() else 0


def fetch(url, part, size):
    """Ask the server once for what `part` lacks of `url` and append it; fails with one of DROPPED."""
    begin = n_bytes(part)
    if begin and begin == size:
        return
    headers = {"Accept-Encoding": "identity"}  # not compressed: bytes are counted as they are in the file
    if begin:
        headers["Range"] = f"bytes={begin}-"
    with requests.get(url, headers=headers, stream=True, timeout=(10, 30)) as response:
        if response.status_code == 416:  # nothing follows `begin`: `part` is whole, or not of this file
            if response.headers.get("Content-Range") != f"bytes */{begin}":
                part.unlink()
                raise requests.ConnectionError
        elif response.status_code >= 500 or response.status_code == 429:  # busy, perhaps not for long
            raise requests.ConnectionError
        elif not response.ok:
            raise ValueError(
                f"{url} cannot be fetched ({response.status_code} {response.reason}): check the address"
            )
        else:  # a server that cannot resume sends the whole file, without a Content-Range
            resumes = response.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
            append(response, part, begin if resumes else 0)


def append(response, part, begin):
    """Write the response's bytes to `part` from `begin` on, with a bar on stderr."""
    total = begin + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
    bar = tqdm(total=total, initial=begin, unit="B", unit_scale=True, desc=part.stem, mininterval=0.5)
    with bar, open(part, "ab" if begin else "wb") as file:
        for chunk in response.iter_content(CHUNK):
            try:
                file.write(chunk)
            except OSError as error:
                raise OSError(
                    f"{part} cannot be written ({error.strerror}): make room and run this again"
                ) from None
            bar.update(len(chunk))
    if n_bytes(part) != (total or n_bytes(part)):
        raise requests.ConnectionError


def check(url, part, size, sha256):
    """Delete `part` and raise ValueError if it differs from the `size` or `sha256` that `url` should have."""
    digest = hashlib.sha256()
    with open(part, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        found = os.fstat(file.fileno()).st_size
    if found != (size or found) or digest.hexdigest() != (sha256 or digest.hexdigest()):
        part.unlink()
        wanted = f"{size or found:,} bytes" + (f" with sha256 {sha256}" if sha256 else "")
        raise ValueError(
            f"{url} gave {found:,} bytes with sha256 {digest.hexdigest()}, not the published {wanted}:"
            " deleted, run this again"
        )
