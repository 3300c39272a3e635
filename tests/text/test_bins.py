"""Folders of token ids, as nanoGPT prepares them: read as written, refused in one line, and trained on."""

import hashlib
import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints.weights import shipped
from picogpt.text import bins
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder
from picogpt.text.data import random_batch
from picogpt.train import cli
from picogpt.train.journal import LOG, read_log
from picogpt.train.settings import Settings

TINY = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=4, eval_every=10, eval_batches=2)
SHAKESPEARE = Path(__file__).parents[1] / "data" / "tinyshakespeare.txt"


@pytest.fixture
def folder(tmp_path):
    """What nanoGPT's data/shakespeare_char/prepare.py writes, of a part, but for its meta.pkl."""
    text = SHAKESPEARE.read_text(encoding="utf-8")[:20_000]
    encoder = CharEncoder.from_text(text)
    made = tmp_path / "ids"
    encoder.save(made)
    for name, part in (("train.bin", text[:18_000]), ("val.bin", text[18_000:])):
        np.array(encoder.encode(part), dtype=np.uint16).tofile(made / name)
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    return made


def test_ids_are_those_that_numpy_maps_from_the_file(folder):
    theirs = np.memmap(folder / "train.bin", dtype=np.uint16, mode="r")  # as in nanoGPT's train.py
    ids = bins.Ids(folder / "train.bin")
    assert len(ids) == len(theirs) == 18_000
    np.testing.assert_array_equal(ids[5:50], theirs[5:50])
    batches = [random_batch(each, 20, 30, np.random.default_rng(0)) for each in (ids, theirs)]
    np.testing.assert_array_equal(*batches)


def test_another_process_gets_the_name_of_the_file_and_not_its_ids(folder):
    ids = bins.Ids(folder / "train.bin")
    sent = pickle.dumps(ids)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)[:], ids[:])


@pytest.mark.parametrize("n", [1, 17_999, 18_001])
def test_a_file_that_another_replaces_is_noticed(n, folder):
    ids = bins.Ids(folder / "train.bin")
    (folder / "train.bin").write_bytes(b"\0\0" * n)
    with pytest.raises(ValueError, match=r"train\.bin has become another file meanwhile"):
        ids[:4]


def test_without_held_out_text_no_file_of_it_is_asked_for(folder):
    both, with_it = bins.open_folder(folder, 65, 0.1)
    assert [len(part) for part in both] == [18_000, 2000]
    (folder / "val.bin").unlink()
    (ids, none), without = bins.open_folder(folder, 65, 0)
    assert (len(ids), len(none)) == (18_000, 0) and with_it != without


@pytest.mark.parametrize("piece", [2, 6, 1 << 24])
def test_a_file_is_checked_to_its_end_in_pieces(piece, folder, monkeypatch):
    monkeypatch.setattr(bins, "PIECE", piece)
    content = np.arange(100, dtype=np.uint16)
    content.tofile(folder / "val.bin")
    expected = hashlib.sha256(content.tobytes()).hexdigest()
    assert bins.checked(folder / "val.bin", 100) == expected
    with pytest.raises(ValueError, match="has the id 99 at place 99, and the vocabulary ends at 98"):
        bins.checked(folder / "val.bin", 99)


def test_the_sha256_tells_train_from_val(folder):
    splits, first = bins.open_folder(folder, 65, 0.1)
    assert [len(ids) for ids in splits] == [18_000, 2000]
    (train, val), alone = bins.open_folder(folder, 65, 0)
    assert (len(train), len(val)) == (18_000, 0)
    (folder / "train.bin").rename(folder / "other")
    (folder / "val.bin").rename(folder / "train.bin")
    (folder / "other").rename(folder / "val.bin")
    assert len({first, alone, bins.open_folder(folder, 65, 0.1)[1]}) == 3


def test_the_tokenizer_lies_beside_the_ids(folder, tmp_path):
    assert bins.tokenizer_in(folder).n_vocab == len(json.loads((folder / "chars.json").read_text()))
    load_encoder(shipped("gpt2-bpe"), 300).save(tmp_path)
    assert bins.tokenizer_in(tmp_path).n_vocab == 300


def test_ids_teach_what_their_text_teaches_and_a_training_resumes_exactly(folder, tmp_path):
    """The same windows are drawn of both, so the losses are the same to the last bit."""
    flags = TINY | dict(steps=30)
    cli.train(Settings(str(tmp_path / "text.txt"), out=str(tmp_path / "text"), **flags))
    cli.train(Settings(str(folder), out=str(tmp_path / "whole"), **flags))
    for _ in range(3):  # each ends after the next evaluation
        part = Settings(str(folder), out=str(tmp_path / "part"), resume=True, max_minutes=1e-9, **flags)
        cli.train(part)
    logs = [
        [{k: v for k, v in record.items() if k != "seconds"} for record in read_log(tmp_path / name / LOG)]
        for name in ("text", "whole", "part")
    ]
    assert logs[0] == logs[1] == logs[2]
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("text", "whole", "part")]
    assert models[0] == models[1] == models[2]
    (tmp_path / "ids" / "val.bin").write_bytes(b"\1\0" * 2000)
    with pytest.raises(ValueError, match="was trained with another text"):
        cli.train(Settings(str(folder), out=str(tmp_path / "whole"), resume=True, **flags))


def test_ids_of_gpt_2_need_no_tokenizer_beside_them(tmp_path):
    """nanoGPT's data/openwebtext has none."""
    for name in ("train.bin", "val.bin"):
        np.random.default_rng(0).integers(50_257, size=500).astype("<u2").tofile(tmp_path / name)
    cli.train(Settings(str(tmp_path), out=str(tmp_path / "model"), tokenizer="gpt2", steps=2, **TINY))
    assert load_encoder(tmp_path / "model").n_vocab == 50_257


def spoil(name, content=None):
    def act(folder):
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return act


@pytest.mark.parametrize(
    ("act", "flags", "said"),
    [
        (spoil("train.bin"), {}, "ids is a folder without train.bin: give a text, or make one by"),
        (spoil("val.bin"), {}, "val.bin is missing: copy it there, or hold nothing out with --val_share 0"),
        (spoil("train.bin", b"\0" * 999), {}, "train.bin has an odd number of bytes, and each id takes 2"),
        (spoil("val.bin", b""), {}, "val.bin is empty: make it again, or hold nothing out"),
        (spoil("val.bin", b"\0\0" * 8), {}, "the held-out text has 8 tokens, and a window takes 9"),
        (spoil("train.bin", b"\0\0" * 20 + b"\xff\xff"), {}, "has the id 65535 at place 20, and the vocab"),
        (spoil("chars.json"), {}, "ids has no tokenizer, vocab.bpe or chars.json: give the one that made"),
        (spoil("chars.json", b"[1]"), {}, "chars.json is damaged"),
        (lambda folder: None, dict(tokenizer="nowhere"), "nowhere/vocab.bpe is missing"),
    ],
)
def test_what_is_no_folder_of_ids_is_said_before_anything_is_written(act, flags, said, folder, tmp_path):
    act(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(said)):
        cli.train(Settings(str(folder), out=str(tmp_path / "model"), **TINY, **flags))
    assert not (tmp_path / "model").exists()


def test_it_is_one_line_and_nanogpts_meta_is_not_unpickled(folder, tmp_path):
    (folder / "chars.json").unlink()
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 65}))
    done = run_python("-m", "picogpt.train", "ids", "--out=model", folder=tmp_path)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "meta.pkl is a pickle, which is not read: docs/train.md" in done.err


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here tells the peak of a process's memory")
def test_a_training_takes_as_much_memory_of_a_large_file_as_of_a_small_one(tmp_path):
    """The large one is 200 MB; all of it is read once, and windows of all of it are learned from."""
    flags = TINY | dict(tokenizer="gpt2", n_vocab=300, batch_size=16, steps=200, eval_every=200)
    code = (
        "import sys\nfrom picogpt.train import cli\nfrom picogpt.train.settings import Settings\n"
        f"cli.train(Settings(sys.argv[1], out=sys.argv[1] + '/model', **{flags}))\n"
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024)\n"
    )
    peaks = []
    for name, size in (("small", 1 << 20), ("large", 200 << 20)):
        (tmp_path / name).mkdir()
        for part, n in (("train.bin", size), ("val.bin", 1 << 20)):
            with open(tmp_path / name / part, "wb") as file:
                file.truncate(n)  # zeros, which take no room on the disk
        done = run_python("-c", code, tmp_path / name)
        assert done.code == 0, done.err
        peaks.append(int(done.out))
    assert peaks[1] - peaks[0] < 100, peaks  # a system may bring 2 MB around each window of a batch
