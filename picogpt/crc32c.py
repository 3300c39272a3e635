"""crc32c, the checksum in TensorFlow's checkpoints, at the speed of NumPy.

A crc is the remainder of a division: the message, read as one long polynomial over the two-element field,
divided by a fixed polynomial P. As everywhere in arithmetic, a remainder may be taken piece by piece, and
here adding is xor, which carries nothing over. So a message A B (B follows A, both of n bits) leaves the
same remainder as the message of half its length

    (A * x**n mod P) xor B

and multiplying by x**n mod P is linear: it maps the words of A one by one, all in the same way, by two
look-ups for the halves of a 32-bit word. That is work for whole arrays. A long message is cut into rows,
which are folded one onto the next; the last row is folded in halves until one word is left.

Sources: RFC 3720 section 12.1 and appendix B.4 (polynomial, bit order, test values); Gopal et al. 2009,
"Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (folding).
"""

import functools

import numpy as np

try:
    from google_crc32c import cext as library  # where it is installed: the same, ten times as fast
except ImportError:
    library = None

POLYNOMIAL = 0x82F63B78  # P without its leading term; as in the whole file, x**31 is the lowest bit
MAX_LOG_WORDS = 14  # a row has up to 2**14 words, 64 KiB: it and its tables stay in the processor's cache
START = bytes.fromhex("54641f64")  # has the remainder 0xFFFFFFFF, the value from which the definition starts


def look_up(tables, words):
    """Map each uint32 of `words` by a linear map, given as tables for its low and its high 16 bits."""
    low, high = tables
    return low.take(words & 0xFFFF) ^ high.take(words >> 16)


@functools.cache
def shift_tables(k):
    """Return the tables of multiplying by x**(32 * 2**k) mod P, that is of 2**k words that follow.

    The map is known from what it does to the 32 single bits; each further k squares the one before it.
    """
    if k:
        low, high = shift_tables(k - 1)
        bits = 1 << np.arange(16)
        images = look_up((low, high), np.concatenate([low[bits], high[bits]]))
    else:
        images = np.uint32(1) << np.arange(32, dtype=np.uint32)
        for _ in range(32):
            images = (images >> 1) ^ POLYNOMIAL * (images & 1)
    tables = np.zeros((2, 1), np.uint32)
    for image in images.reshape(2, 16).T:  # a table doubles with each bit
        tables = np.concatenate([tables, tables ^ image[:, None]], axis=1)
    return tables[0], tables[1]


def crc32c(data):
    """Return the crc32c of the bytes of `data` (bytes, or an array without gaps) as an int.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    data = np.frombuffer(data, np.uint8)
    return library.value(data) if library else fold(data)


def fold(data):
    """Return the crc32c of an array of bytes, by the rows and look-ups that this file opens with."""
    log_words = min(MAX_LOG_WORDS, (len(data) // 4).bit_length())  # a row has 2**log_words words
    row_bytes = 4 << log_words
    n = len(data) % row_bytes
    # Zeros in front of a message change no remainder, so the first rows are filled up with them.
    first = bytes(2 * row_bytes - len(START) - n) + START + data[:n].tobytes()
    words = np.zeros(1 << log_words, np.uint32)
    for rows in (np.frombuffer(first, "<u4"), data[n:].view("<u4")):
        for row in rows.reshape(-1, len(words)):
            words = look_up(shift_tables(log_words), words) ^ row
    for k in reversed(range(log_words)):
        words = look_up(shift_tables(k), words[: 1 << k]) ^ words[1 << k :]
    return int(look_up(shift_tables(0), words)[0]) ^ 0xFFFFFFFF


def masked_crc32c(data):
    """Return the crc32c as LevelDB and TensorFlow store it: rotated by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
