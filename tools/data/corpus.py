"""corpus - make a training text, or the ids of one, of many texts: without what is there twice or is no prose

usage: python tools/data/corpus.py SOURCE [--out FILE] [--bins FOLDER] [flags]

Reads SOURCE: a file, all files below a folder, or standard input if it is "-". They may be .txt, where a
line of <|endoftext|> ends a document, as does a file; .jsonl; either of them with .gz; or .parquet, which
needs pyarrow (pip install -e ".[parquet]"). Prints how many documents there are, and how many are left
out for which reason:

  not UTF-8           bytes that are no text
  short               fewer than --min_words words
  odd                 less than --min_letters of its characters are letters and spaces
  repetitive          less than --min_unlike of its lines are different ones
  twice               word for word another document, but for case, digits, signs and spaces
  almost twice        as good as another one: --likeness of their sequences of five words are the same

  --out FILE          write the documents that are left, in the order of the files' names
  --bins FOLDER       write their ids as nanoGPT does, for python -m picogpt.train FOLDER: train.bin and
                      val.bin, two bytes an id, <|endoftext|> after each document; and the tokenizer
  --tokenizer NAME    for --bins: gpt2, GPT-2's byte-pair encoding, or a folder with a vocab.bpe (gpt2)
  --val_share X       for --bins: the share of the documents, drawn at random, that are held out (0.01)
  --field NAME        where the text is in a JSON object or a Parquet file (text)
  --kind NAME         what standard input is: jsonl, jsonl.gz, txt or txt.gz (jsonl)
  --copies            look for no copies
  --min_words N       (50)
  --min_letters X     (0.7)
  --min_unlike X      (0.5)
  --likeness X        (0.8)
  --seed N            of the hash functions, and of what is held out (0)

The first of several alike stays. Likeness is the Jaccard index, estimated by 128 hashes (Broder 1997): two
texts of likeness s agree in a hash with probability s, so the estimate is off by 0.04 or so. To find copies,
about 10 KB are remembered of each document that is left; with --copies the memory that is needed does not
grow with SOURCE.

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import contextlib
import hashlib
import re
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[i]) for i in (2, 1)]
from data import documents
from picogpt.system import command
from picogpt.system.files import atomic_write, check_out
from picogpt.text import bins as files_of_ids
from picogpt.text import data
from picogpt.train.prepare import byte_pairs

N_HASHES, BANDS = 128, 32  # candidates agree in all 4 hashes of a band: at likeness 0.8, 99.99 % do in one
PRIME = (1 << 31) - 1
SHINGLE = 5  # words


def corpus(
    source: str,
    *,
    out: str = "",
    bins: str = "",
    tokenizer: str = "gpt2",
    val_share: float = 0.01,
    field: str = "text",
    kind: str = "jsonl",
    copies: bool = False,
    min_words: int = 50,
    min_letters: float = 0.7,
    min_unlike: float = 0.5,
    likeness: float = 0.8,
    seed: int = 0,
):
    """Sift the documents as the docstring of this module says; these are the command's flags."""
    shares = dict(min_letters=min_letters, min_unlike=min_unlike, likeness=likeness, val_share=val_share)
    for name, value in shares.items():
        if not 0 <= value <= 1:
            command.usage_error(f"--{name} must be from 0 to 1, not {value}")
    if kind not in documents.STREAMS:
        command.usage_error(f"--kind must be {' or '.join(documents.STREAMS)}, not {kind}")
    seen, counts, size = Copies(likeness, seed), Counter(), 0
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(text_writer(out))] if out else []
        writers += [stack.enter_context(ids_writer(bins, tokenizer, val_share, seed))] if bins else []
        for text in documents.read(source, field, kind):
            why = "not UTF-8" if text is None else reason(text, min_words, min_letters, min_unlike)
            counts[why := why or ("" if copies else seen.reason(text))] += 1
            if not why:
                size += len(text.encode())
                for write in writers:
                    write(text)
        unreadable, left = counts.pop("not UTF-8", 0), counts.pop("", 0)
        print(f"documents: {counts.total() + left}\nnot UTF-8: {unreadable}")
        for why, n in counts.items():
            print(f"{why}: {n}")
        print(f"left: {left}, of {size:,} bytes")
        if writers and not left:
            raise ValueError(f"no document is left for {out or bins}: see the reasons, and loosen a flag")


@contextlib.contextmanager
def text_writer(path):
    """Give the block a function that writes a document to a text, which appears when the block is done."""
    check_out(path)
    with atomic_write(path) as file:

        def write(text):
            file.write((between[0] + text).encode())
            between[0] = f"\n{data.END}\n"

        between = [""]
        yield write
        file.write(b"\n")


@contextlib.contextmanager
def ids_writer(folder, tokenizer, val_share, seed):
    """Give the block a function that writes a document's ids, as nanoGPT's data/openwebtext/prepare.py does.

    train.bin comes last: where it is, all is.
    """
    encoder, rng, n_tokens = byte_pairs(tokenizer, 0), np.random.default_rng(seed), Counter()
    if encoder.n_vocab > files_of_ids.MOST:
        raise ValueError(f"{tokenizer} has {encoder.n_vocab} tokens, more than two bytes can tell apart")
    paths = Path(folder, files_of_ids.TRAIN), Path(folder, files_of_ids.VAL)
    if paths[0].exists():
        raise ValueError(f"{paths[0]} is there already: delete it, or name another folder by --bins")
    encoder.save(folder)
    with atomic_write(paths[0]) as train, atomic_write(paths[1]) as val:

        def write(text):
            file = val if rng.random() < val_share else train
            ids = [*encoder.encode(text, allow_eot=False), encoder.eot]
            file.write(np.array(ids, files_of_ids.DTYPE).tobytes())
            n_tokens[file] += len(ids)

        yield write
        print(f"train.bin: {n_tokens[train]:,} tokens\nval.bin: {n_tokens[val]:,} tokens")
        if not n_tokens[train] or (val_share and not n_tokens[val]):
            empty = "trained on" if not n_tokens[train] else "held out"
            raise ValueError(f"no document is left to be {empty}: give another --val_share than {val_share}")


def reason(text, min_words, min_letters, min_unlike):
    """Return why a document is left out for what it is itself; "" if it is not."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(text.split()) < min_words:
        return "short"
    if sum(char.isalpha() or char.isspace() for char in text) < min_letters * len(text):
        return "odd"
    if len(set(lines)) < min_unlike * len(lines):
        return "repetitive"
    return ""


class Copies:
    """What has been read, as far as it takes to tell a copy of it."""

    def __init__(self, likeness, seed):
        self.likeness, self.seen, self.signatures, self.bands = likeness, set(), [], defaultdict(list)
        self.hashes = np.random.default_rng(seed).integers(1, PRIME, (2, N_HASHES, 1))

    def reason(self, text):
        """Return "twice" or "almost twice" for what is as good as an earlier text; else remember it."""
        words = re.findall(r"[^\W\d_]+", text.lower())
        digest = hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()
        if digest in self.seen:
            return "twice"
        self.seen.add(digest)
        signature = sign(shingles(words), *self.hashes)
        keys = [(band, part.tobytes()) for band, part in enumerate(signature.reshape(BANDS, -1))]
        candidates = {i for key in keys for i in self.bands.get(key, ())}
        if any((self.signatures[i] == signature).mean() >= self.likeness for i in candidates):
            return "almost twice"
        for key in keys:
            self.bands[key].append(len(self.signatures))
        self.signatures.append(signature)
        return ""


def shingles(words):
    """Return the set of all sequences of five words, each as a number.

    >>> len(shingles("the cat sat on the mat and the cat sat on the mat".split()))
    7
    """
    parts = (" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)))
    return {zlib.crc32(part.encode()) for part in parts}


def sign(numbers, a, b):
    """Return for each hash function n -> (a n + b) mod PRIME its smallest value: [N_HASHES]."""
    numbers = np.fromiter(numbers, np.int64) % PRIME
    return ((a * numbers + b) % PRIME).min(axis=1).astype(np.uint32)


if __name__ == "__main__":
    command.run(corpus, name="corpus")
