"""The parting of stories: no held-out story is nearly one to train on, and the share given cuts there."""

import random
from pathlib import Path

from data import stories
from processes import run_python

from picogpt.text import data

REPOSITORY = Path(__file__).parents[2]

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def story(seed, n=80):
    """Return n random words."""
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def write(path, texts):
    path.write_text("\n<|endoftext|>\n".join(texts) + "\n", encoding="utf-8")
    return path


def run(*argv):
    return run_python(REPOSITORY / "tools" / "data" / "stories.py", *argv)


def test_all_stories_are_there_once_and_copies_are_trained_on(tmp_path):
    texts = [story(seed) for seed in range(200)]
    copies = [text.replace(" ", ", ", 5).upper() + " The end." for text in texts[:40]]
    out = tmp_path / "out.txt"
    file = write(tmp_path / "in.txt", [*texts, *copies, "too short"])
    code, said, errors = run(file, "--out", out, "--held_out", "60")
    assert (code, errors) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "stories: 241, of which 1 too short"
    train, held = (list(data.documents(part)) for part in data.split(out.read_text(), float(lines[-1][12:])))
    assert sorted(train + held) == sorted(texts + copies)
    assert train + held != texts + copies
    assert lines[3].startswith(f"to train on: {len(train)}; held out: {len(held)}; ")
    moved = 60 - len(held)
    assert moved > 0
    assert lines[2] == f"nearly copies, moved to those to train on: {moved}"
    of_train = {" ".join(text.lower().replace(",", "").split()[:80]) for text in train}
    assert not [text for text in held if " ".join(text.lower().replace(",", "").split()[:80]) in of_train]


def test_a_chain_of_copies_moves_whole():
    first, second, third = (story(seed, 100).split() for seed in range(3))
    chain = [" ".join(words) for words in (first, first[:50] + second[:50], second[:50] + third[:50])]
    train, held, touching = stories.part(chain[:1], [*chain[1:], story(9)], run=12, alike=0.1)
    assert (train, held, touching) == (chain, [story(9)], 1)


def test_a_like_beginning_is_no_copy():
    begin = " ".join(WORDS[:14])
    texts = [f"{begin} {story(seed)}" for seed in range(2)]  # 3 of 83 sequences are the same
    assert stories.part(texts[:1], texts[1:], run=12, alike=0.1) == (texts[:1], texts[1:], 1)
    assert stories.part(texts[:1], texts[1:], run=12, alike=0.03) == (texts, [], 1)


def test_wrong_input_is_one_line(tmp_path):
    file = write(tmp_path / "in.txt", [story(0), story(1)])
    code, _, said = run(file, "--alike", "0")
    assert (code, said.splitlines()[0][:24]) == (2, "stories: --alike must be")
    assert run(file, "--run", "0")[0] == 2
    assert run(tmp_path / "nowhere")[0] == 1
    code, said, errors = run(file, "--out", tmp_path / "out.txt")
    assert (code, said) == (1, "")
    assert "give a smaller --held_out" in errors
    assert not (tmp_path / "out.txt").exists()
