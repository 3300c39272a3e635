"""The sifting of texts: each reason is found, and likeness is estimated as it is defined."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from data import corpus
from processes import run_python

from picogpt.text.bpe import load_encoder

REPOSITORY = Path(__file__).parents[2]
CORPUS = REPOSITORY / "tools" / "data" / "corpus.py"

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def prose(seed, n=200):
    """Return n random words, ten to a line."""
    words = np.random.default_rng(seed).choice(WORDS, n)
    return "\n".join(" ".join(line) for line in words.reshape(-1, 10))


def run(*argv):
    return run_python(CORPUS, *argv)


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
    assert run(tmp_path, "--kind", "csv")[0] == 2
    code, said, errors = run(tmp_path, "--out", tmp_path / "out")
    assert (code, said) == (1, "documents: 0\nnot UTF-8: 0\nleft: 0, of 0 bytes\n")
    assert "no document is left" in errors
    assert not (tmp_path / "out").exists()


ALL = [
    "--copies",
    "--min_words",
    "0",
    "--min_letters",
    "0",
    "--min_unlike",
    "0",
]  # as nanoGPT, which sifts nothing


def test_bins_are_nanogpts(tmp_path):
    """Its prepare.py: the ids of each document, as Hugging Face has them, then <|endoftext|>."""
    path = REPOSITORY / "tests" / "references" / "tokenizer_cases.json"
    cases = json.loads(path.read_text(encoding="utf-8"))
    cases = [case for case in cases if (text := case["text"]).strip("\n") == text != "" and "\r" not in text]
    assert len(cases) > 20
    lines = "".join(json.dumps({"text": case["text"]}) + "\n" for case in cases)
    done = run_python(CORPUS, "-", "--bins", tmp_path / "ids", "--val_share", 0.3, *ALL, stdin=lines.encode())
    assert done.code == 0, done.err
    train, val = (
        np.fromfile(tmp_path / "ids" / name, np.uint16).tolist() for name in ("train.bin", "val.bin")
    )
    assert done.out.splitlines()[-2:] == [
        f"train.bin: {len(train):,} tokens",
        f"val.bin: {len(val):,} tokens",
    ]
    held = np.random.default_rng(0).random(len(cases)) < 0.3
    for found, which in ((train, ~held), (val, held)):
        assert found == [i for n in np.flatnonzero(which) for i in [*cases[n]["ids"], 50256]]
    assert load_encoder(tmp_path / "ids").n_vocab == 50257


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--val_share", "0"], "train.bin is there already: delete it, or name another folder by --bins"),
        (["--tokenizer", "nowhere"], "nowhere/vocab.bpe is missing"),
        (
            ["--bins", "other", "--val_share", "0.001"],
            "no document is left to be held out: give another --val_share",
        ),
        (["--bins", "other", "--min_words", "9"], "no document is left for other"),
    ],
)
def test_bins_that_cannot_be_made_are_one_line_and_nothing_is_there(flags, said, tmp_path):
    (tmp_path / "ids").mkdir()
    (tmp_path / "ids" / "train.bin").write_bytes(b"1")
    (tmp_path / "text.txt").write_text("a b c", encoding="utf-8")
    flags = [*ALL, "--bins", "ids", *flags]
    given = dict(zip(flags[1::2], flags[2::2], strict=True))
    words = ["text.txt", "--copies", *(word for pair in given.items() for word in pair)]
    done = run_python(CORPUS, *words, folder=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert said in done.err
    assert (tmp_path / "ids" / "train.bin").read_bytes() == b"1"
    assert not (tmp_path / "other" / "train.bin").exists() and not (tmp_path / "other" / "val.bin").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here tells the peak of a process's memory")
def test_ten_times_the_text_takes_no_more_memory(tmp_path):
    code = (
        "import sys\nfrom data import corpus\n"
        "corpus.corpus(sys.argv[1], bins=sys.argv[2], val_share=0.1, copies=True)\n"
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024)\n"
    )
    peaks, lines = [], json.dumps({"text": prose(0)}) + "\n"
    for name, n in (
        ("small", 300),
        ("large", 9000),
    ):  # 0.3 and 9 MB; in memory, ids and all, some 100 MB more
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode() * n))
        path = f"{REPOSITORY}:{REPOSITORY / 'tools'}"
        done = run_python("-c", code, tmp_path / f"{name}.jsonl.gz", tmp_path / name, PYTHONPATH=path)
        assert done.code == 0, done.err
        peaks.append(int(done.out.split()[-1]))
    assert peaks[1] - peaks[0] < 10, peaks
