"""What is in a TensorFlow checkpoint, read without TensorFlow.

A checkpoint in TensorFlow's V2 format, the "tensor bundle", is two kinds of files with one prefix:

    model.ckpt.data-00000-of-00001   the arrays' bytes, one after the other (it may be several files)
    model.ckpt.index                 a table: name of each array -> its type, shape, place and crc32c

The table is cut into blocks. One more block tells where those are, and the footer, the last 48 bytes of the
file, tells where that one is. So a reader starts at the end and follows pairs of offset and size down to
the entries, each of which is a small protocol buffer.

Sources: tensorflow/core/util/tensor_bundle/tensor_bundle.h and tensorflow/core/protobuf/tensor_bundle.proto
in github.com/tensorflow/tensorflow; for the table, doc/table_format.md in github.com/google/leveldb.
"""

import contextlib
import math
import re
from pathlib import Path

import google_crc32c
import numpy as np

from picogpt.checkpoints import verified
from picogpt.system.files import SMALL, map_file, read_bytes

MAGIC = bytes.fromhex("57fb808b247547db")  # the last eight bytes of every table
TYPES = "1 <f4, 2 <f8, 3 <i4, 4 u1, 5 <i2, 6 i1, 8 <c8, 9 <i8, 10 ?, 17 <u2, 18 <c16, 19 <f2, 22 <u4, 23 <u8"
DTYPES = {int(n): code for n, code in map(str.split, TYPES.split(", "))}  # TensorFlow's, see types.proto
LONGEST_INDEX, LONGEST_NAME = 1 << 22, 1000  # bytes; the index of 1558M has 21,000, and its names 30
MOST_ENTRIES, MOST_AXES = 1 << 17, 32  # arrays, of which 1558M has 580; an array's axes
AGAIN = "delete it and download or write it again"


def read(folder):
    """Return {name: array} of the checkpoint in `folder`, or of the one whose files begin with that path.

    The arrays are mapped from the data files, read-only, in the shapes in which they are stored, and each
    agrees with its crc32c; for large files, that is found out once, see verified.py. A damaged file is a
    ValueError, an absent one a FileNotFoundError.
    """
    prefix = find_prefix(Path(folder))
    n_files, entries = read_index(f"{prefix}.index")
    paths = {entry[0]: f"{prefix}.data-{entry[0]:05d}-of-{n_files:05d}" for entry in entries.values()}
    files = {i: map_file(path) for i, path in paths.items()}
    with verified.once("crc32c", [f"{prefix}.index", *paths.values()]) as known:
        return {
            name: read_tensor(paths[i], files[i], name, *entry, None if known else crc)
            for name, (i, *entry, crc) in entries.items()
        }


def find_prefix(path):
    """Return the prefix named by the file "checkpoint" in a folder; what is no folder is a prefix itself.

    Without such a file, or if it names one that is not there, a folder's only checkpoint is meant.
    """
    if not path.is_dir():
        return path
    text = b""
    with contextlib.suppress(OSError, ValueError):  # what says nothing names nothing
        text = read_bytes(path / "checkpoint", SMALL)
    named = re.match('model_checkpoint_path: "(.*)"', text.decode("utf-8", "replace"))
    name = re.split(r"[/\\]", named[1])[-1] if named else "model.ckpt"  # TensorFlow on Windows writes \
    there = sorted(path.glob("*.index"))
    if len(there) == 1 and not (path / f"{name}.index").exists():
        return there[0].with_suffix("")
    return path / name


def read_index(path):
    """Return (number of data files, {name: (data file, type, shape, offset, size, masked crc32c)})."""
    table = map_file(path)
    try:
        if len(table) > LONGEST_INDEX:
            raise ValueError(f"{len(table):,} bytes are too many for an index")
        table = table.tobytes()
        if not table.endswith(MAGIC):
            raise ValueError("it is cut short, or not an index")
        footer = table[-48:]
        _, at = varint(footer, varint(footer, 0)[1])  # past offset and size of the meta index, which is empty
        blocks = [block for _, block in read_block(table, footer[at:])]
        if sum(varint(block, varint(block, 0)[1])[0] for block in blocks) > len(table):
            raise ValueError("its blocks overlap")
        (_, header), *items = [item for block in blocks for item in read_block(table, block)]
        [n_files, *_] = whole(message(header)[1])
        names = [name.decode() for name, _ in items]
        if len(items) > MOST_ENTRIES or len(set(names)) < len(names):
            raise ValueError(f"its {len(items):,} names are too many, or one is there twice")
        entries = [read_entry(message(value)) for _, value in items]
        return n_files, dict(zip(names, entries, strict=True))
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} cannot be used as a TensorFlow checkpoint ({error}): {AGAIN}") from None


def read_block(table, handle):
    """Return the (key, value) pairs of the block whose offset and size are the two varints in `handle`."""
    offset, at = varint(handle, 0)
    size, _ = varint(handle, at)
    block, trailer = table[offset : offset + size], table[offset + size : offset + size + 5]
    if len(trailer) < 5 or masked_crc32c(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError(f"the crc32c of the block at {offset} is wrong")
    if trailer[0]:
        raise ValueError(f"the block at {offset} is compressed, which TensorFlow never does")
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")  # then come starts for a binary search
    pairs, key, at = [], b"", 0
    while at < end:
        n_shared, at = varint(block, at)  # bytes that the key shares with the one before
        n_rest, at = varint(block, at)
        n_value, at = varint(block, at)
        key, at = key[:n_shared] + block[at : at + n_rest], at + n_rest
        if len(key) > LONGEST_NAME:
            raise ValueError(f"it has a name of {len(key):,} bytes")
        pairs.append((key, block[at : at + n_value]))
        at += n_value
    return pairs


def varint(data, at):
    """Return (number, where it ends): seven bits a byte, low ones first; the eighth bit says "more".

    >>> varint(bytes([0xAC, 0x02]), 0)
    (300, 2)
    """
    number = shift = 0
    while data[at] > 127:
        if shift > 63:
            raise ValueError("it has a number of more than 64 bits")
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return number | data[at] << shift, at + 1


def message(data):
    """Return {field number: [its values]} of a protocol buffer; a value is an int, or bytes not yet read."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 not in (0, 1, 2, 5):
            raise ValueError("its entries are damaged")
        size, value_at = varint(data, at) if tag & 7 in (0, 2) else ({1: 8, 5: 4}[tag & 7], at)
        at = value_at + (size if tag & 7 else 0)
        fields.setdefault(tag >> 3, []).append(data[value_at:at] if tag & 7 else size)
    return fields


def whole(numbers):
    """Return the values of a field that must be numbers, not bytes."""
    if any(type(n) is not int for n in numbers):
        raise ValueError("it has bytes where there should be a number")
    return numbers


def read_entry(fields):
    """Return (data file, type, shape, offset, size, masked crc32c) of a BundleEntryProto."""
    dtype, shape, i_file, offset, size, crc, slices = (fields.get(n, [0])[0] for n in range(1, 8))
    if slices:
        raise ValueError("it stores arrays in slices, which this reader does not join")
    axes = message(shape or b"").get(2, [])
    if len(axes) > MOST_AXES:
        raise ValueError(f"it has an array of {len(axes):,} axes")
    shape = whole(tuple(message(axis).get(1, [0])[0] for axis in axes))
    whole([dtype, i_file, offset, size])
    np.broadcast_to(np.empty((), "c16"), shape)  # raises if NumPy cannot have arrays of this shape
    return i_file, dtype, shape, offset, size, int.from_bytes(crc or b"", "little")


def read_tensor(path, data, name, dtype, shape, offset, size, crc):
    """Return the array that an entry of the index describes, as a view of `data`, the bytes of that file.

    A crc of None is not compared.
    """
    if dtype not in DTYPES:
        raise ValueError(f"{name} in {path} is of TensorFlow's type {dtype}: only plain numbers can be read")
    raw = data[offset : offset + size]
    if len(raw) < size or size != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise ValueError(f"{path} is cut short, {len(data):,} bytes of {offset + size:,} for {name}: {AGAIN}")
    if crc is not None and masked_crc32c(raw) != crc:
        raise ValueError(f"{path} is damaged (the crc32c of {name} is wrong): {AGAIN}")
    return raw.view(DTYPES[dtype]).reshape(shape)


def masked_crc32c(data):
    """Return the checksum of bytes, or of an array, as LevelDB and TensorFlow store it.

    That is the crc32c (RFC 3720, appendix B.4), rotated by 15 bits, plus a constant.
    """
    crc = google_crc32c.value(np.frombuffer(data, np.uint8))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
