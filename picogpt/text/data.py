"""From a text file to training batches: read, split, encode, cut random windows."""

import re
from pathlib import Path

import numpy as np

from picogpt.system.files import read_bytes

END = "<|endoftext|>"


def read_text(path):
    """Return the text of a UTF-8 file, or raise one clear sentence.

    All lines end in "\\n" in it, also those of Windows and of old Macs, as in any text that Python opens.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no text file {path}")
    return from_utf8(read_bytes(path), path).replace("\r\n", "\n").replace("\r", "\n")


def from_utf8(content, source):
    """Return the text of `content`, bytes that came from `source`; a byte order mark is no part of it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start
        raise ValueError(f"{source} is not UTF-8 text: byte {at} is {content[at]:#04x}; convert it") from None


def split(text, val_share):
    """Split off the end of a text as held-out data: -> training text, validation text (nanoGPT's rule).

    >>> split("abcdefghij", val_share=0.1)
    ('abcdefghi', 'j')
    """
    end = int(len(text) * (1 - val_share))  # of the training text
    marker = text.rfind(END, max(0, end - len(END) + 1), end + len(END) - 1)
    end = end if marker < 0 else marker  # not in the middle of an <|endoftext|>
    return text[:end], text[end:]


def documents(text):
    """Yield the documents of a text in which lines reading <|endoftext|> stand between them.

    >>> list(documents("One.\\n<|endoftext|>\\nTwo.\\n"))
    ['One.', 'Two.']
    """
    for document in re.split(rf"^{re.escape(END)}$", text, flags=re.MULTILINE):
        if document.strip("\n"):
            yield document.strip("\n")


def encode(text, encoder):
    """Return the ids of a text, uint16 or uint32.

    If the tokenizer has a token for the end of a text, and this text has lines with <|endoftext|>, each of
    its documents stands after `encoder.start`, as does what is generated from an empty prompt. For GPT-2 that
    is <|endoftext|> itself; if the tokenizer ends a text with another token, it stands after each document.
    """
    dtype = np.uint16 if encoder.n_vocab <= 65536 else np.uint32
    if encoder.eot is None or END not in text:
        return np.array(encoder.encode(text, template=False), dtype)
    end = [encoder.eot] if encoder.eot != encoder.start else []
    parts = [[encoder.start, *encoder.encode(document, template=False), *end] for document in documents(text)]
    return np.concatenate([np.array(part, dtype) for part in parts] or [np.empty(0, dtype)])


def document_starts(ids, start, n_ctx, piece=1 << 24):
    """Return where documents begin, with `start`, that a window of n_ctx tokens fits behind: [n].

    The ids may lie on the disk, and are looked through piece by piece.
    """
    ids = ids[: max(0, len(ids) - n_ctx)]
    found = [i + np.flatnonzero(ids[i : i + piece] == start) for i in range(0, len(ids), piece)]
    return np.concatenate(found or [np.empty(0, np.int64)])


def random_batch(ids, batch_size, n_ctx, rng, starts=None):
    """Draw windows of n_ctx tokens, and the same windows one token on: what should come next.

    They begin anywhere, or at one of the places `starts`. -> ids [B, T], targets [B, T]

    >>> x, y = random_batch(np.arange(100), batch_size=2, n_ctx=4, rng=np.random.default_rng(0))
    >>> y - x
    array([[1, 1, 1, 1],
           [1, 1, 1, 1]])
    """
    drawn = rng.integers(len(ids) - n_ctx if starts is None else len(starts), size=batch_size)
    begins = drawn if starts is None else starts[drawn]
    windows = ids[begins[:, None] + np.arange(n_ctx + 1)].astype(np.int64)  # [B, T + 1]
    return windows[:, :-1], windows[:, 1:]
