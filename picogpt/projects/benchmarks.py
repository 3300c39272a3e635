"""text8 and enwik8: two files of 100 million characters, how they are split, and what is measured of them.

text8 has only a to z and single spaces, 27 characters; of enwik8, the beginning of a copy of Wikipedia, each
byte counts as one (M. Mahoney, Large Text Compression Benchmark, mattmahoney.net/dc/textdata). The first 90
million are trained on, the next 5 watched, the last 5 the test (Mikolov et al. 2012). A shorter file of this
form is split in the same shares.
"""

import math

import numpy as np

from picogpt.checkpoints import weights
from picogpt.evaluate.scoring import rolling_log_probs
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder

NAMES = "text8", "enwik8"
BITS = "bits per character of the test"


def tokenizer(name):
    """Return the tokenizer of a benchmark: text8's 27 characters; or all bytes, and GPT-2's <|endoftext|>."""
    if name == "text8":
        return CharEncoder(" abcdefghijklmnopqrstuvwxyz")
    return load_encoder(weights.shipped("gpt2-bpe"), 257)  # of no merges


def encode(content, encoder, source):
    """Return the ids of bytes, one for each: [N] uint16, as encoder.encode has them, but a table's lookup.

    A byte that the tokenizer does not know is a ValueError that tells where it is in `source`.
    """
    known = getattr(encoder, "byte_ids", None) or {ord(char): i for char, i in encoder.encoder.items()}
    table = np.full(256, encoder.n_vocab, np.uint16)
    table[[*known]] = [*known.values()]
    ids = table[np.frombuffer(content, np.uint8)]
    if (ids == encoder.n_vocab).any():
        at = int((ids == encoder.n_vocab).argmax())
        raise ValueError(
            f"{source} has {chr(content[at])!r} at place {at}, and text8 only a to z and spaces: --recipe"
            " enwik8 takes any bytes"
        )
    return ids


def split(ids):
    """Return what is trained on, what is watched, and the test: 90, 5 and 5 of 100.

    >>> [len(part) for part in split(range(100_000_000))]
    [90000000, 5000000, 5000000]
    """
    return (
        ids[: len(ids) * 90 // 100],
        ids[len(ids) * 90 // 100 : len(ids) * 95 // 100],
        ids[len(ids) * 95 // 100 :],
    )


def bits_per_character(params, n_head, ids, start):
    """Return the mean of -log2 p of all of the test's characters, each foreseen from those before it.

    Of these the model sees its context, or from half of it on: a window moves on by half of its length. The
    first character has none before it, and stands after the id `start`.
    """
    n_ctx = len(params["wpe"])
    logs = rolling_log_probs(params, n_head, np.insert(ids, 0, start), n_ctx, max(1, n_ctx // 2))
    return -float(logs.mean()) / math.log(2)


def compare(params, hparams, seen, test, start):
    """Return the bits of the model, and of one that knows how often each character was `seen`, plus one."""
    counts = 1.0 + np.bincount(seen, minlength=hparams["n_vocab"])
    return {
        "by the frequency of each": -float(np.log2(counts / counts.sum())[test].mean()),
        "this model": bits_per_character(params, hparams["n_head"], test, start),
    }
