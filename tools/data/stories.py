"""Make the training text of models/tales from stories: shuffle them, and hold some out that are new.

usage: python tools/data/stories.py FILE [--out FILE] [flags]

Reads FILE, stories with a line of <|endoftext|> between them, and writes them in random order, those that are
held out last. Says how many there are, and the --val_share with which picogpt.train cuts between the two.

A held-out story must be no copy of one to train on, nor nearly one: it is if it has too many sequences of
words in common with all of them together. Then it goes to the stories to train on, and the others are looked
at again, since there is one more to be like.

  --out FILE          (runs/stories.txt)
  --min_words N       leave out what is shorter: ends that have lost their story (40)
  --held_out N        stories to hold out, before the copies among them are found (600)
  --run N             words in a sequence (12)
  --alike X           a copy has this share of its sequences in common with the others (0.1)
  --seed N            of the order (0)

Stories as simple as these begin alike: "Once upon a time, there was a little girl named Lily. She loved to
play outside" is no copy yet.

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

import random
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from picogpt.system import command
from picogpt.system.files import atomic_write
from picogpt.text import data

BETWEEN = f"\n{data.END}\n"


def stories(
    file: str,
    *,
    out: str = "runs/stories.txt",
    min_words: int = 40,
    held_out: int = 600,
    run: int = 12,
    alike: float = 0.1,
    seed: int = 0,
):
    """Write the stories as the docstring of this module says; these are the command's flags."""
    if run < 1 or held_out < 1:
        command.usage_error(f"--run and --held_out must be at least 1, not {run} and {held_out}")
    if not 0 < alike <= 1:
        command.usage_error(f"--alike must be more than 0 and at most 1, not {alike}")
    documents = list(data.documents(data.read_text(file)))
    kept = [text for text in documents if len(text.split()) >= min_words]
    if len(kept) <= held_out:
        raise ValueError(f"{file} has {len(kept)} stories of {min_words} words: give a smaller --held_out")
    random.Random(seed).shuffle(kept)
    train, held, touching = part(kept[:-held_out], kept[-held_out:], run, alike)
    if not held:
        raise ValueError(f"each held-out story is like another one: give another --alike than {alike}")
    text, share = join(train, held)
    with atomic_write(out) as target:
        target.write(text.encode())
    print(f"stories: {len(documents)}, of which {len(documents) - len(kept)} too short")
    print(f"sharing {run} words in a row with one to train on: {touching} of {held_out} held out")
    print(f"nearly copies, moved to those to train on: {held_out - len(held)}")
    print(f"to train on: {len(train)}; held out: {len(held)}; {len(text.encode()):,} bytes")
    print(f"--val_share {share}")


def part(train, held, run, alike):
    """Move the copies of stories to train on out of `held`.

    -> stories to train on, those held out, how many of these had at first any sequence in common
    """
    train, known, touching = list(train), set(), None
    for text in train:
        known |= sequences(text, run)
    while True:
        shares = [shared(text, known, run) for text in held]
        touching = sum(share > 0 for share in shares) if touching is None else touching
        copies = [text for text, share in zip(held, shares, strict=True) if share >= alike]
        if not copies:
            return train, held, touching
        for text in copies:
            known |= sequences(text, run)
        train += copies
        held = [text for text, share in zip(held, shares, strict=True) if share < alike]


def shared(text, known, run):
    """Return which share of the sequences of a story is known."""
    own = sequences(text, run)
    return len(own & known) / len(own)


def sequences(text, run):
    """Return the set of all sequences of `run` words, each as a number; of a shorter text, that of all.

    >>> len(sequences("The cat sat. The cat sat!", 3))
    3
    """
    words = re.findall(r"[^\W_]+", text.lower())
    return {hash(tuple(words[i : i + run])) for i in range(max(1, len(words) - run + 1))}


def join(train, held):
    """Return one text of all, and the share of it that data.split has to cut off for `held`.

    The cut may fall anywhere in the <|endoftext|> before it, so that a share of few digits is enough.
    """
    first, second = BETWEEN.join(train), BETWEEN.join(held) + "\n"
    text = first + BETWEEN + second
    share = round(1 - (len(first) + len(BETWEEN) / 2) / len(text), 8)
    return text, share


if __name__ == "__main__":
    command.run(stories, name="stories")
