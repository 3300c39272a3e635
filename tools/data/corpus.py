"""corpus - make one training text of a folder of texts, without what is there twice or is no prose

usage: python tools/data/corpus.py FOLDER [--out FILE] [flags]

Reads all .txt files below FOLDER; a line of <|endoftext|> ends a document, as does a file. Prints how many
documents there are, and how many are left out for which reason:

  not UTF-8           a file that cannot be read as text
  short               fewer than --min_words words
  odd                 less than --min_letters of its characters are letters and spaces
  repetitive          less than --min_unlike of its lines are different ones
  twice               word for word another document, but for case, digits, signs and spaces
  almost twice        as good as another one: --likeness of their sequences of five words are the same

  --out FILE          write the documents that are left, in the order of the files' names
  --min_words N       (50)
  --min_letters X     (0.7)
  --min_unlike X      (0.5)
  --likeness X        (0.8)
  --seed N            of the hash functions (0)

The first of several alike stays. Likeness is the Jaccard index, estimated by 128 hashes (Broder 1997): two
texts of likeness s agree in a hash with probability s, so the estimate is off by 0.04 or so.

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import re
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from picogpt.system import command
from picogpt.system.files import atomic_write
from picogpt.text import data

N_HASHES, BANDS = 128, 32  # candidates agree in all 4 hashes of a band: at likeness 0.8, 99.99 % do in one
PRIME = (1 << 31) - 1
SHINGLE = 5  # words


def corpus(
    folder: str,
    *,
    out: str = "",
    min_words: int = 50,
    min_letters: float = 0.7,
    min_unlike: float = 0.5,
    likeness: float = 0.8,
    seed: int = 0,
):
    """Sift the documents as the docstring of this module says; these are the command's flags."""
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is not a folder: give the one that has the .txt files")
    for name, value in dict(min_letters=min_letters, min_unlike=min_unlike, likeness=likeness).items():
        if not 0 <= value <= 1:
            command.usage_error(f"--{name} must be from 0 to 1, not {value}")
    documents, unreadable = read(folder)
    reasons = [reason(text, min_words, min_letters, min_unlike) for text in documents]
    mark_copies(documents, reasons, likeness, np.random.default_rng(seed))
    kept = [text for text, why in zip(documents, reasons, strict=True) if not why]
    counts = {"not UTF-8": unreadable} | Counter(why for why in reasons if why)
    print(f"documents: {len(documents)}")
    for why, n in counts.items():
        print(f"{why}: {n}")
    print(f"left: {len(kept)}, of {sum(len(text.encode()) for text in kept):,} bytes")
    if out and not kept:
        raise ValueError(f"no document is left for {out}: see the reasons, and loosen a flag")
    if out:
        with atomic_write(out) as file:
            file.write(f"\n{data.END}\n".join(kept).encode() + b"\n")


def read(folder):
    """Return the documents of all .txt files below the folder, and how many files are not UTF-8."""
    documents, unreadable = [], 0
    for path in sorted(Path(folder).rglob("*.txt")):
        try:
            documents += data.documents(data.read_text(path))
        except ValueError:
            unreadable += 1
    return documents, unreadable


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


def mark_copies(documents, reasons, likeness, rng):
    """Give each document that is as good as an earlier one its reason; those with one are not looked at."""
    seen, bands, signatures = set(), defaultdict(list), {}
    a, b = rng.integers(1, PRIME, (2, N_HASHES, 1))
    for i, text in enumerate(documents):
        if reasons[i]:
            continue
        words = re.findall(r"[^\W\d_]+", text.lower())
        if tuple(words) in seen:
            reasons[i] = "twice"
            continue
        seen.add(tuple(words))
        signature = sign(shingles(words), a, b)
        keys = [(band, part.tobytes()) for band, part in enumerate(signature.reshape(BANDS, -1))]
        candidates = {j for key in keys for j in bands[key]}
        if any((signatures[j] == signature).mean() >= likeness for j in candidates):
            reasons[i] = "almost twice"
            continue
        signatures[i] = signature
        for key in keys:
            bands[key].append(i)


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
    return ((a * numbers + b) % PRIME).min(axis=1)


if __name__ == "__main__":
    command.run(corpus, name="corpus")
