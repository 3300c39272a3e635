"""The image project: its palette, its probabilities and its pictures."""

import json
import math

import numpy as np
import pytest

from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.projects import images
from picogpt.train.journal import LOG, read_log

K = 5  # colours


@pytest.fixture
def model():
    hparams = dict(n_vocab=K + 10, n_ctx=64, n_embd=12, n_head=3, n_layer=2)
    return init_params(hparams, np.random.default_rng(0)), 3


@pytest.fixture
def sequences():
    rng = np.random.default_rng(1)
    return np.concatenate([K + rng.integers(10, size=(4, 1)), rng.integers(K, size=(4, 64))], axis=1)


def test_the_probabilities_of_a_picture_are_those_of_its_pixels_one_by_one(model, sequences):
    params, n_head = model
    logs = images.log_probs(params, n_head, K, sequences)
    for t in (0, 1, 63):
        probs = softmax(gpt2(sequences[:, : t + 1], params, n_head)[:, -1, :K])
        np.testing.assert_allclose(np.exp(logs[:, t]), probs[range(4), sequences[:, t + 1]], rtol=1e-5)
    assert images.bits(logs) == pytest.approx(math.log2(K), abs=0.1)  # untrained: nearly a guess


def test_the_histogram_counts_one_more_than_was_seen(sequences):
    seen = np.array([[K, *[0] * 64], [K + 1, *[1] * 64]])
    probs = np.exp(images.histogram_log_probs(seen, K, sequences))
    expected = np.where(sequences[:, 1:] < 2, 2 / (K + 2), 1 / (K + 2))
    np.testing.assert_allclose(probs, expected)


def test_a_picture_of_unknown_class_has_the_mean_of_its_probabilities_by_class():
    """A model of one probability for every pixel of a class: the unlikeliest for class 0, and so on."""
    probs = np.linspace(0.5, 0.6, 10)
    classes = np.array([9, 9, 0])
    held = np.concatenate([K + classes[:, None], np.zeros((3, 64), int)], axis=1)
    found = images.compare(lambda s: np.log(probs[s[:, :1] - K]) * np.ones(64), held, held, K, 10)
    assert found["image GPT"] == {
        "class unknown": pytest.approx(-math.log2(np.mean(probs**64)) / 64),
        "class given": pytest.approx(-np.log2(probs[classes]).mean()),
        "classes told right": pytest.approx(2 / 3),
    }
    assert found["uniform"]["class unknown"] == math.log2(K)


def test_a_completion_keeps_what_is_given_and_draws_colours_only(model, sequences):
    params, n_head = model
    rngs = [np.random.default_rng(i) for i in range(4)]
    rows = images.complete(params, n_head, K, sequences[:, :33], rngs)
    assert rows.shape == (4, 65)
    np.testing.assert_array_equal(rows[:, :33], sequences[:, :33])
    assert rows[:, 1:].max() < K
    assert len(np.unique(rows[:, 33:], axis=0)) == 4


def test_pictures_are_tiled_in_rows():
    pictures = np.arange(6)[:, None, None, None] * np.ones((1, 8, 5, 1))
    tiled = images.tile(pictures, n_rows=2, gap=[np.nan])[..., 0]
    assert tiled.shape == (17, 17)
    np.testing.assert_array_equal(tiled[[0, 0, 0, 16, 16, 16], [0, 6, 16, 0, 6, 16]], np.arange(6))
    assert np.isnan(tiled[8]).all()
    assert np.isnan(tiled[:, [5, 11]]).all()


def test_a_palette_of_one_colour_is_refused(tmp_path, caplog):
    with pytest.raises(SystemExit):
        images.images(out=str(tmp_path / "run"), colors=1)
    assert "--colors must be at least 2 and less than 2**15, not 1" in caplog.text
    assert not (tmp_path / "run").exists()


def test_the_project_learns_and_leaves_pictures(tmp_path):
    pytest.importorskip("sklearn")
    image = pytest.importorskip("matplotlib.image")
    out = tmp_path / "run"
    images.images(
        out=str(out),
        n_layer=1,
        n_embd=16,
        steps=30,
        batch_size=8,
        lr=0.03,
        dropout=0.0,
        n_test=120,
        n_probe=400,
    )
    found = results = json.loads((out / "result.json").read_text(encoding="utf-8"))["results"]
    bits = found["bits per dimension"]
    by_pixel, by_class = bits["histogram of each pixel"], bits["histogram of each pixel and class"]
    assert bits["image GPT"]["class given"] < bits["uniform"]["class unknown"] - 0.5
    assert by_class["class given"] < by_class["class unknown"] < by_pixel["class unknown"]
    assert by_class["classes told right"] > 0.8
    assert [record["step"] for record in read_log(out / LOG) if "val_bits" in record] == [30]
    assert len(read_log(out / LOG)) == 30
    assert len(np.unique(image.imread(out / "images.png").reshape(-1, 4), axis=0)) > 8
    assert len(np.unique(image.imread(out / "positions.png").reshape(-1, 4), axis=0)) > 8
    assert (found["palette"], len(found["palette"])) == (sorted(found["palette"]), 8)
    right = results["right by a linear probe of each layer"]
    assert [*right["image GPT"]] == [*right["image GPT, untrained"]] == ["0", "1"]
    assert right["the pixels themselves"]["0"] > 0.8


def test_colours_are_learned_from_a_folder_of_pngs_and_drawn(tmp_path):
    png, image = pytest.importorskip("PIL.Image"), pytest.importorskip("matplotlib.image")
    rng, folder, out = np.random.default_rng(0), tmp_path / "pictures", tmp_path / "run"
    for i in range(15):  # 4 wide, 6 high; green and blue are on or off, red tells the class
        (folder / "abc"[i % 3]).mkdir(parents=True, exist_ok=True)
        levels = np.stack([np.full((6, 4), 100 * (i % 3)), *rng.integers(2, size=(2, 6, 4)) * 255], axis=-1)
        png.fromarray(levels.astype(np.uint8)).save(folder / "abc"[i % 3] / f"{i}.png")
    flags = dict(colors=12, n_layer=1, n_head=1, n_embd=8, steps=2, batch_size=2, n_test=2, n_probe=12)
    images.images(str(folder), out=str(out), **flags)
    results = json.loads((out / "result.json").read_text(encoding="utf-8"))["results"]
    assert (
        "12 pictures trained on, of which 12 for the linear probe; 2 others measured" in results["protocol"]
    )
    assert results["bits per dimension"]["uniform"]["class unknown"] == pytest.approx(math.log2(12))
    levels = image.imread(out / "images.png")[..., :3]
    assert (levels.max(axis=-1) - levels.min(axis=-1)).max() > 0.9  # as green as the pictures
    (folder / "a" / "0.png").unlink()
    with pytest.raises(ValueError, match="was trained with other pictures"):
        images.images(str(folder), out=str(out), resume=True, **flags)
