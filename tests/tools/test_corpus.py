"""The sifting of texts: each reason is found, and likeness is estimated as it is defined."""

from pathlib import Path

import numpy as np
import pytest
from data import corpus
from processes import run_python

REPOSITORY = Path(__file__).parents[2]

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def prose(seed, n=200):
    """Return n random words, ten to a line."""
    words = np.random.default_rng(seed).choice(WORDS, n)
    return "\n".join(" ".join(line) for line in words.reshape(-1, 10))


def run(*argv):
    return run_python(REPOSITORY / "tools" / "data" / "corpus.py", *argv)


def test_every_reason_is_counted_and_the_rest_written(tmp_path):
    text = prose(0)
    almost = text.replace(text.split()[100], "another", 1)
    texts = dict(a=text, b=text.upper() + "!\n1 2 3", c=almost, d="too short", e="=+" * 300 + " x" * 60)
    texts |= dict(f="again and again and again\n" * 20, g=f"{prose(1)}\n<|endoftext|>\n{prose(2)}")
    for name, content in texts.items():
        (tmp_path / f"{name}.txt").write_text(content, encoding="utf-8")
    (tmp_path / "h.txt").write_bytes(b"\xff" + prose(3).encode())
    code, said, errors = run(tmp_path, "--out", tmp_path / "all.text")
    assert (code, errors) == (0, "")
    assert said.splitlines()[:-1] == [
        "documents: 8", "not UTF-8: 1", "twice: 1", "almost twice: 1", "short: 1", "odd: 1", "repetitive: 1",
    ]  # fmt: skip
    assert said.splitlines()[-1].startswith("left: 3, of ")
    kept = (tmp_path / "all.text").read_text(encoding="utf-8")
    assert kept == "\n<|endoftext|>\n".join([text, prose(1), prose(2)]) + "\n"


@pytest.mark.parametrize("n_changed", [0, 4, 20, 60])
def test_the_likeness_is_the_jaccard_index(n_changed):
    rng = np.random.default_rng(1)
    words = rng.choice(WORDS, 600).tolist()
    others = list(words)
    for i in rng.choice(600, n_changed, replace=False):
        others[i] = "changed"
    first, second = corpus.shingles(words), corpus.shingles(others)
    a, b = rng.integers(1, corpus.PRIME, (2, 4000, 1))
    estimate = (corpus.sign(first, a, b) == corpus.sign(second, a, b)).mean()
    assert estimate == pytest.approx(len(first & second) / len(first | second), abs=0.03)


def test_wrong_input_is_one_line(tmp_path):
    assert run(tmp_path / "nowhere")[0] == 1
    code, _, said = run(tmp_path, "--likeness", "2")
    assert code == 2
    assert said.startswith("corpus: --likeness must be from 0 to 1, not 2.0")
    code, said, errors = run(tmp_path, "--out", tmp_path / "out")
    assert (code, said) == (1, "documents: 0\nnot UTF-8: 0\nleft: 0, of 0 bytes\n")
    assert "no document is left" in errors
    assert not (tmp_path / "out").exists()
