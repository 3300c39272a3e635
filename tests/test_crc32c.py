import numpy as np
import pytest

from picogpt import crc32c as module
from picogpt.crc32c import MAX_LOG_WORDS, POLYNOMIAL, crc32c, masked_crc32c

ROW_BYTES = 4 << MAX_LOG_WORDS


@pytest.fixture(autouse=True)
def by_numpy(monkeypatch):
    """Have every test done by NumPy, even where the library is installed."""
    monkeypatch.setattr(module, "library", None)


def bit_by_bit(data):
    """The definition, as RFC 3720 gives it: divide, one bit after the other."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ POLYNOMIAL * (crc & 1)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (bytes(32), 0x8A9136AA),  # the first four: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(data, crc):
    assert crc32c(data) == crc


@pytest.mark.parametrize(
    "n", [*range(1, 40), 1000, ROW_BYTES - 5, ROW_BYTES - 4, ROW_BYTES, 2 * ROW_BYTES + 7]
)
def test_every_length_agrees_with_the_definition(n):
    data = np.random.default_rng(n).bytes(n)
    assert crc32c(data) == bit_by_bit(data)


def test_one_flipped_bit_anywhere_changes_it():
    data = bytearray(np.random.default_rng(0).bytes(3 * ROW_BYTES))
    whole = crc32c(data)
    for at in (0, 1, ROW_BYTES - 1, ROW_BYTES, 3 * ROW_BYTES - 1):
        data[at] ^= 16
        assert crc32c(data) != whole
        data[at] ^= 16


def test_arrays_count_as_their_bytes_even_where_they_are_not_aligned():
    data = np.random.default_rng(0).bytes(ROW_BYTES + 12)
    assert crc32c(np.frombuffer(data, "<f4").reshape(-1, 1)) == crc32c(data)
    assert crc32c(np.frombuffer(data, np.uint8)[3:]) == crc32c(data[3:])


def test_the_mask_is_leveldbs():
    assert masked_crc32c(b"foo") != crc32c(b"foo")
    unrotated = (masked_crc32c(b"foo") - 0xA282EAD8) & 0xFFFFFFFF
    assert (unrotated << 15 | unrotated >> 17) & 0xFFFFFFFF == crc32c(b"foo")


def test_the_library_gives_the_same(monkeypatch):
    data = np.random.default_rng(0).integers(0, 256, 3 * ROW_BYTES, np.uint8)
    data.flags.writeable = False  # as a mapped file is
    parts = [data[begin : begin + n] for begin in (0, 3) for n in (0, 1, 5, 1000, ROW_BYTES + 7)]
    ours = [crc32c(part) for part in parts]
    monkeypatch.setattr(module, "library", pytest.importorskip("google_crc32c.cext"))
    assert [crc32c(part) for part in parts] == ours
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(data[:12].view("<f4").reshape(3, 1)) == crc32c(data[:12])
