"""Named arrays in one file: the safetensors format, by hand.

    8 bytes   length of the header, little-endian
    header    JSON: {"wte": {"dtype": "F32", "shape": [50257, 768], "data_offsets": [begin, end]}, ..}
              and, under "__metadata__", a dict of strings; padded with spaces to a multiple of 8 bytes
    data      the arrays' bytes, little-endian, rows first, one after the other without gaps

Source: https://huggingface.co/docs/safetensors, "Format".
"""

import json
import math
import os

import numpy as np

from picogpt.params.narrow import BF16
from picogpt.system.files import atomic_write, open_file, parse_json
from picogpt.system.machine import split, spread

TYPES = (
    "F64 <f8, F32 <f4, F16 <f2, I64 <i8, I32 <i4, I16 <i2, I8 i1, U64 <u8, U32 <u4, U16 <u2, U8 u1, BOOL ?"
)
DTYPES = {name: np.dtype(code) for name, code in map(str.split, TYPES.split(", "))} | {"BF16": BF16}
PART = 16 << 20  # bytes
LONGEST_HEADER, MOST_TENSORS, MOST_AXES = 1 << 24, 1 << 17, 32  # bytes; 1558M has 50,000, and 580 tensors
MOST_SIGNS = {b"{": 2, b"[": 2, b":": 5}  # for each tensor: counting is cheap
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read(path):
    """Return (tensors, metadata) of the file at `path`: {name: array} in the order of the data, and a dict.

    The arrays are writable views of one buffer. For float32 files that is the fastest memory to compute from:
    NumPy asks the system for huge pages for a large array, which a mapped file or many small arrays do not
    get, and reading the weights from memory is what bounds generation. The buffer is filled in parts, on all
    cores: most of the time goes into the pages of memory that the system must provide.

    A file that is cut short or not in this format is a ValueError.
    """
    with open_file(path) as file:
        entries, metadata, n_bytes = read_header(path, file)
        begin, stat = file.tell(), os.fstat(file.fileno())
    data = np.empty(-(-n_bytes // 4), np.float32).view(np.uint8)[:n_bytes]

    def fill(part):
        with open_file(path) as file:
            file.seek(begin + part.start)
            same = os.path.samestat(os.fstat(file.fileno()), stat)  # and not another one of that name
            if not same or file.readinto(data[part]) != part.stop - part.start:
                raise ValueError(f"{path} was changed while it was read: run this again")

    spread(fill, split(n_bytes, max(1, n_bytes // PART)))
    return views(data, entries), metadata


def read_mapped(path):
    """Do as `read`, but map the file, read-only: what is not looked at never comes from the disk."""
    with open_file(path) as file:
        entries, metadata, _ = read_header(path, file)
        begin = file.tell()
        return views(np.asarray(np.memmap(file, mode="r"))[begin:], entries), metadata


def views(data, entries):
    """Return {name: array}, the parts of `data` that a header's entries describe."""
    return {
        name: data[begin:end].view(dtype).reshape(shape)
        for name, (dtype, shape, begin, end) in entries.items()
    }


def read_header(path, file):
    """Return what `parse_header` says of an open file's header, checked; the data begins where it stops."""
    size, n_header = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
    if not 2 <= n_header <= min(size - 8, LONGEST_HEADER):
        raise ValueError(f"{path} is not a safetensors file, or cut short: convert or download it again")
    entries, metadata, n_bytes = parse_header(path, file.read(n_header))
    if size != 8 + n_header + n_bytes:
        raise ValueError(
            f"{path} has {size:,} bytes, but its header describes {8 + n_header + n_bytes:,}:"
            " convert or download it again"
        )
    return entries, metadata, n_bytes


def parse_header(path, header):
    """Return ({name: (dtype, shape, begin, end)}, metadata, number of data bytes) of the JSON `header`.

    Its numbers come from anyone: they are looked at before they are multiplied.
    """
    try:
        if any(header.count(sign) > n * MOST_TENSORS for sign, n in MOST_SIGNS.items()):
            raise ValueError(f"it has more than {MOST_TENSORS:,} tensors")
        entries = parse_json(header)
        metadata = entries.pop("__metadata__", {})
        if any(type(value) is not str for value in metadata.values()):
            raise ValueError("its metadata are not texts")
        entries = {name: (e["dtype"], tuple(e["shape"]), *e["data_offsets"]) for name, e in entries.items()}
        entries = dict(sorted(entries.items(), key=lambda item: item[1][2:]))
        n_bytes = 0
        for name, (dtype, shape, begin, end) in entries.items():
            if dtype not in DTYPES:
                raise ValueError(
                    f"tensor {name[:99]!r} is of type {str(dtype)[:99]}, not {', '.join(DTYPES)}"
                )
            if len(shape) > MOST_AXES:
                raise ValueError(f"tensor {name[:99]!r} has {len(shape):,} axes: {MOST_AXES} are the most")
            if any(type(n) is not int or not 0 <= n < 2**63 for n in (*shape, begin, end)):
                raise ValueError(f"tensor {name[:99]!r} has shape {shape} and offsets {begin} to {end}")
            if begin != n_bytes or end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
                raise ValueError(
                    f"tensor {name[:99]!r} of shape {shape} lies at {begin} to {end}: a gap or an overlap"
                )
            np.broadcast_to(np.empty((), "c16"), shape)  # raises if NumPy cannot have arrays of this shape
            n_bytes = end
            entries[name] = DTYPES[dtype], shape, begin, end
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"the header of {path} is damaged ({error}): convert or download it again") from None
    return entries, metadata, n_bytes


def write(path, tensors, metadata=None):
    """Write {name: array} and a dict of strings to `path`, which then has all of it or what it had before.

    Arrays go to the file from where they lie; only one that has gaps or the other byte order is copied.
    """
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, array in tensors.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in NAMES:
            raise ValueError(f"safetensors cannot hold {name!r}, an array of {array.dtype}: convert it first")
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": NAMES[dtype], "shape": array.shape, "data_offsets": [begin, end]}
    header = json.dumps(header, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(tensors) > MOST_TENSORS or len(header) > LONGEST_HEADER:
        raise ValueError(f"{path} would have {len(tensors):,} tensors, more than could be read again")
    with atomic_write(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
