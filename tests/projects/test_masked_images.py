"""The project of hidden pixels: what it hides, its loss, and that it tells them by those after them, too."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from record.gpt import gpt
from record.pytorch import gpt2_path

from picogpt.checkpoints import weights
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, nest
from picogpt.projects import images, masked_images
from picogpt.projects.image_data import Pictures
from picogpt.train.journal import LOG, read_log

K, T = 5, 12  # colours, and pixels of a picture
HPARAMS = dict(n_vocab=K + 1, n_ctx=T, n_embd=12, n_head=3, n_layer=2, causal=False)
FLAGS = dict(colors=3, n_layer=1, n_head=1, n_embd=8, batch_size=8, lr=0.03, dropout=0.0, threads=1)


@pytest.fixture
def params():
    rng, params = np.random.default_rng(0), init_params(HPARAMS, np.random.default_rng(0), np.float64)
    return nest({path: w + 0.3 * rng.standard_normal(w.shape) for path, w in flatten(params).items()})


@pytest.fixture
def hidden():
    rng = np.random.default_rng(1)
    return masked_images.hide(rng.integers(K, size=(7, T)).astype(np.uint16), 0.3, K, rng)


@pytest.fixture
def one_colour(monkeypatch):
    """Have the pictures be of 3 x 2 pixels, all of one colour, which is the class."""
    classes = np.arange(60) % 3
    pixels = np.broadcast_to(classes[:, None, None, None], (60, 3, 2, 1))
    data = Pictures(pixels, classes, ["a", "b", "c"], 45, black=0, white=2)
    monkeypatch.setattr(images, "load", lambda folder, rng: data)


def test_pixels_are_hidden_with_the_probability_and_they_alone_are_targets():
    rng = np.random.default_rng(0)
    pictures = rng.integers(K, size=(400, 64))
    ids, targets = masked_images.hide(pictures.astype(np.uint16), 0.15, K, rng)
    assert (ids == K).mean() == pytest.approx(0.15, abs=0.01)
    np.testing.assert_array_equal(targets, np.where(ids == K, pictures, -1))
    np.testing.assert_array_equal(np.where(ids == K, targets, ids), pictures)
    assert (ids == K).mean(axis=0).std() < 0.03  # at every place alike
    again, _ = masked_images.hide(pictures, 0.15, K, rng)
    assert (again == K)[ids == K].mean() == pytest.approx(0.15, abs=0.02)  # each time others


def test_of_each_picture_one_pixel_is_hidden_at_least():
    ids, targets = masked_images.hide(np.zeros((200, T), int), 1e-300, K, np.random.default_rng(0))
    np.testing.assert_array_equal((targets != -1).sum(axis=1), 1)
    assert len({*(ids == K).argmax(axis=1)}) == T


def test_a_batch_is_of_pictures_drawn_at_random():
    pictures = np.arange(K)[:, None] * np.ones((1, T), int)
    ids, targets = masked_images.random_batch(pictures, 50, 0.15, K, np.random.default_rng(0))
    assert ids.shape == targets.shape == (50, T)
    whole = np.where(targets == -1, ids, targets)
    assert (whole == whole[:, :1]).all()
    assert {*whole[:, 0]} == {*range(K)}


def test_the_loss_is_pytorchs_of_the_hidden_pixels(params, hidden):
    torch = pytest.importorskip("torch")
    ids, targets = hidden
    theirs, arrays = gpt(**HPARAMS).double(), flatten(params)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            path = gpt2_path(name)
            parameter.copy_(torch.from_numpy(arrays[path].T if path.endswith(".w") else arrays[path]))
        logits, told = theirs(torch.from_numpy(ids)), torch.from_numpy(targets)
        entropy = torch.nn.functional.cross_entropy
        loss = entropy(logits.flatten(0, 1), told.flatten(), ignore_index=-1).item()
        nats = entropy(logits[..., :K].flatten(0, 1), told.flatten(), ignore_index=-1).item()
    assert loss_and_grads(params, ids, targets, 3)[0] == pytest.approx(loss, abs=1e-12)
    assert masked_images.bits(params, 3, K, ids, targets) == pytest.approx(nats / math.log(2), abs=1e-12)


@pytest.mark.parametrize("logits", [1, 2 * T * (K + 1), 1 << 24])
def test_bits_are_the_mean_over_all_hidden_pixels_however_they_are_cut(logits, params, hidden, monkeypatch):
    monkeypatch.setattr(images, "LOGITS", logits)
    ids, targets = hidden
    logs = []
    for row, told in zip(ids, targets, strict=True):
        probs = softmax(gpt2(row[None], params, 3)[0, :, :K])
        logs += [math.log2(probs[t, told[t]]) for t in np.flatnonzero(row == K)]
    assert masked_images.bits(params, 3, K, ids, targets) == pytest.approx(-np.mean(logs), abs=1e-12)


def test_a_filling_keeps_what_is_visible(params, hidden):
    ids, _ = hidden
    filled = masked_images.fill(params, 3, K, ids)
    np.testing.assert_array_equal(filled[ids != K], ids[ids != K])
    assert filled.max() < K
    most = gpt2(ids, params, 3)[..., :K].argmax(axis=-1)
    np.testing.assert_array_equal(filled[ids == K], most[ids == K])


def test_it_tells_a_hidden_pixel_also_by_those_after_it(one_colour, tmp_path):
    image, out = pytest.importorskip("matplotlib.image"), tmp_path / "run"
    masked_images.masked_images(out=str(out), steps=80, n_test=12, n_probe=30, **FLAGS)
    results = json.loads((out / "result.json").read_text(encoding="utf-8"))["results"]
    bits = results["bits per hidden pixel"]
    assert [*bits] == ["uniform", "histogram of each pixel", "masked"]
    assert bits["uniform"] == pytest.approx(math.log2(3))
    assert bits["histogram of each pixel"] == pytest.approx(math.log2(3))  # each colour is seen as often
    assert bits["masked"] < 0.2
    records = read_log(out / LOG)
    assert records[-1]["loss"] < 0.2 < records[0]["loss"]
    assert [(r["step"], r["val_bits"]) for r in records if "val_bits" in r] == [(80, bits["masked"])]
    params, hparams, _ = weights.load(out)
    assert (hparams["n_vocab"], hparams["causal"]) == (4, False)
    filled = masked_images.fill(params, 1, 3, np.array([[3, 0, 0, 0, 0, 0], [2, 2, 2, 2, 2, 3]]))
    np.testing.assert_array_equal(filled, [[0] * 6, [2] * 6])
    assert "45 pictures trained on, of which 30 for the linear probe; 12 others" in results["protocol"]
    right = results["right by a linear probe of each layer"]
    assert {name: [*each] for name, each in right.items()} == {
        "the pixels themselves": ["0"], "masked, untrained": ["0", "1"], "masked": ["0", "1"],
    }  # fmt: skip
    assert right["masked"]["1"] == 1
    assert len(np.unique(image.imread(out / "images.png").reshape(-1, 4), axis=0)) > 3


def test_what_is_hidden_at_each_measurement_is_the_same(one_colour, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    measured, bits = [], masked_images.bits

    def noted(params, n_head, colors, ids, targets):
        measured.append(ids)
        return bits(params, n_head, colors, ids, targets)

    monkeypatch.setattr(masked_images, "bits", noted)
    for name in "ab":
        masked_images.masked_images(out=str(tmp_path / name), steps=1, hidden=0.4, **FLAGS)
    assert len(measured) == 4
    assert (measured[0] == 3).mean() == pytest.approx(0.4, abs=0.15)
    for ids in measured[1:]:
        np.testing.assert_array_equal(ids, measured[0])


@pytest.mark.parametrize("hidden", ["0", "1", "-0.1", "1.5", "nan"])
def test_a_probability_that_is_none_is_one_line(hidden, call_command, tmp_path):
    done = call_command(masked_images.masked_images, f"--hidden={hidden}", f"--out={tmp_path / 'run'}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--hidden must be more than 0 and less than 1, not " in done.err
    assert not (tmp_path / "run").exists()


def test_a_run_resumes_only_with_the_probability_it_began_with(one_colour, tmp_path):
    pytest.importorskip("matplotlib")
    out = str(tmp_path / "run")
    masked_images.masked_images(out=out, steps=2, **FLAGS)
    before = Path(out, weights.WEIGHTS).read_bytes()
    with pytest.raises(ValueError, match=r"was trained with --hidden 0\.15: resume with that"):
        masked_images.masked_images(out=out, steps=2, hidden=0.3, resume=True, **FLAGS)
    assert Path(out, weights.WEIGHTS).read_bytes() == before
