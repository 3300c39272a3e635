"""A model of words: its tokenizer is of the training text, its loss is told per byte, and it writes."""

import json
import math

import numpy as np
import pytest
from record.bpe import tinyshakespeare

from picogpt.checkpoints import weights
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.projects import words
from picogpt.text.bpe_train import train
from picogpt.text.data import encode

TINY = dict(n_vocab=300, n_layer=1, n_head=2, n_embd=16, n_ctx=16, steps=40, batch_size=4, n_sample=30)
HPARAMS = dict(n_vocab=300, n_ctx=16, n_embd=16, n_head=2, n_layer=1)


@pytest.fixture(scope="module")
def encoder():
    return train(tinyshakespeare()[0][:20_000], 300)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(tinyshakespeare()[0][:20_000] + "zqzq " * 400, encoding="utf-8")
    return str(path)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary(encoder):
    params = tree_map(np.zeros_like, init_params(HPARAMS, np.random.default_rng(0)))
    text = tinyshakespeare()[1][:2000]
    nats, n_bytes = words.loss_per_token(params, 2, encode(text, encoder), 16, encoder)
    assert nats == pytest.approx(math.log(300), rel=1e-6)
    assert n_bytes == pytest.approx(len(text) / len(encoder.encode(text)), rel=0.01)


def test_the_loss_is_the_mean_over_all_whole_windows(encoder):
    params = init_params(HPARAMS, np.random.default_rng(1))
    ids = encode(tinyshakespeare()[1][:1500], encoder)
    starts = range(0, len(ids) - 16, 16)
    windows = [ids[i : i + 17].astype(int) for i in starts]
    losses = [cross_entropy(gpt2(w[None, :-1], params, 2), w[None, 1:]) for w in windows]
    nats, n_bytes = words.loss_per_token(params, 2, ids, 16, encoder)
    assert nats == pytest.approx(np.mean(losses), rel=1e-5)
    counted = ids[1 : 16 * len(windows) + 1].tolist()
    assert n_bytes * len(counted) == len(encoder.decode(counted))


@pytest.mark.parametrize(("n", "n_windows"), [(48, 2), (49, 3), (64, 3)])
def test_a_window_counts_with_what_follows_its_last_token(encoder, n, n_windows):
    params = init_params(HPARAMS, np.random.default_rng(1))
    ids = encode(tinyshakespeare()[1][:1500], encoder)[:n]
    _, n_bytes = words.loss_per_token(params, 2, ids, 16, encoder)
    assert n_bytes * 16 * n_windows == pytest.approx(
        len(encoder.decode(ids[1 : 16 * n_windows + 1].tolist()))
    )


def test_the_separator_of_documents_has_no_bytes(encoder):
    params = init_params(HPARAMS, np.random.default_rng(1))
    ids = encode("to be\n<|endoftext|>\nor not\n" * 20, encoder)
    _, n_bytes = words.loss_per_token(params, 2, ids, 16, encoder)
    counted = ids[1 : (len(ids) - 1) // 16 * 16 + 1].tolist()
    assert counted.count(encoder.eot) > 10
    text = encoder.decode(counted).replace("<|endoftext|>", "")
    assert n_bytes * len(counted) == pytest.approx(len(text))


def test_a_model_is_trained_measured_and_saved(file, tmp_path, capsys):
    words.words(file, out=str(tmp_path / "run"), **TINY)
    record = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    params, hparams, encoder = weights.load(tmp_path / "run")
    assert (hparams, encoder.n_vocab) == (HPARAMS, 300)
    assert not any("q" in token and len(token) > 1 for token in encoder.encoder)  # "zqzq" is held out
    text = words.data.split(words.data.read_text(file), 0.1)[1]
    nats, n_bytes = words.loss_per_token(params, 2, encode(text, encoder), 16, encoder)
    assert record["results"]["nats per token"] == round(nats, 3)
    assert record["results"]["bits per byte"] == round(nats / n_bytes / math.log(2), 3)
    written = record["results"]["sample"]
    assert written == words.sample(params, 2, encoder, False, 30, seed=1337)
    assert f"sample: {written}\n" in capsys.readouterr().out
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 40


def test_gpt2s_first_merges_serve_as_well(file, tmp_path):
    words.words(file, out=str(tmp_path / "run"), tokenizer="gpt2", **TINY)
    _, _, encoder = weights.load(tmp_path / "run")
    assert encoder.decoder[256] == "Ġt" and encoder.n_vocab == 300
    words.words(file, out=str(tmp_path / "again"), tokenizer=str(tmp_path / "run"), **TINY)
    assert weights.load(tmp_path / "again")[2].merges == encoder.merges


def test_a_number_out_of_range_is_named(file, tmp_path, caplog):
    with pytest.raises(SystemExit):
        words.words(file, out=str(tmp_path / "run"), **TINY | dict(val_share=2.0))
    assert "--val_share must be at least 0 and less than 1, not 2.0" in caplog.text
    assert not (tmp_path / "run").exists()


def test_something_must_be_held_out(file, tmp_path, caplog):
    with pytest.raises(SystemExit):
        words.words(file, out=str(tmp_path / "run"), **TINY | dict(val_share=0.0))
    assert "--val_share must be more than 0: the result is that of the held-out text" in caplog.text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(n_vocab=256), "n_vocab must be at least 257"),
        (dict(n_vocab=30_000), "the text makes no more than"),
        (dict(n_ctx=5000), "and a window takes 5001: give a longer file"),
        (dict(tokenizer="nowhere"), "nowhere"),
    ],
)
def test_what_cannot_work_is_said_and_leaves_nothing(file, tmp_path, change, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        words.words(file, out=str(tmp_path / "run"), **TINY | change)
    assert not (tmp_path / "run").exists()
