"""Write a TensorFlow checkpoint without TensorFlow: the inverse of checkpoints/bundle.py, see there."""

from pathlib import Path

import numpy as np

from picogpt.checkpoints.bundle import DTYPES, MAGIC, masked_crc32c
from picogpt.system.files import atomic_write

NUMBERS = {np.dtype(code): number for number, code in DTYPES.items()}


def write(folder, arrays):
    """Write {name: array} as the checkpoint model.ckpt in `folder`; return the path of its data."""
    prefix = Path(folder, "model.ckpt")
    data, entries, offset = f"{prefix}.data-00000-of-00001", {}, 0
    with atomic_write(data) as file:
        for name in sorted(arrays, key=str.encode):
            raw = np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<"))
            file.write(raw.data)
            entries[name.encode()] = entry(raw, offset)
            offset += raw.nbytes
    with atomic_write(f"{prefix}.index") as file:
        file.write(index(entries))
    with atomic_write(Path(folder, "checkpoint")) as file:
        file.write(b'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n')
    return Path(data)


def entry(array, offset):
    """Return the BundleEntryProto of an array: type, shape, offset, size, crc32c in the one data file."""
    shape = b"".join(field(2, field(1, n)) for n in array.shape)
    crc = masked_crc32c(array.reshape(-1).view(np.uint8))
    start = field(1, NUMBERS[array.dtype]) + field(2, shape) + field(4, offset) + field(5, array.nbytes)
    return start + varint(6 << 3 | 5) + crc.to_bytes(4, "little")


def index(entries):
    """Return the table of all entries, in one block, behind the header: one data file, version 1."""
    header = field(1, 1) + field(3, field(1, 1))
    table, place = add_block(b"", {b"": header} | entries)
    table, meta = add_block(table, {})
    table, top = add_block(table, {max(entries): place})
    return table + (meta + top).ljust(40, b"\0") + MAGIC


def add_block(table, pairs):
    """Return `table` with a block of {key: value} added, and its place: offset and size, two varints."""
    block = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs.items())
    block += (0).to_bytes(4, "little") + (1).to_bytes(4, "little")  # a search can start at one place, 0
    place = varint(len(table)) + varint(len(block))
    return table + block + b"\0" + masked_crc32c(block + b"\0").to_bytes(4, "little"), place


def field(number, value):
    """Return a field of a protocol buffer: an int, or bytes after their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number):
    """Return a number in seven bits a byte, low ones first; the eighth bit says "more"."""
    digits = [number & 127]
    while number := number >> 7:
        digits[-1] |= 128
        digits.append(number & 127)
    return bytes(digits)
