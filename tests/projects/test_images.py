"""The image project: its palette, its probabilities and its pictures."""

import json
import math
from types import SimpleNamespace

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


def test_kmeans_finds_what_scikit_learn_finds_from_the_same_beginning():
    cluster = pytest.importorskip("sklearn.cluster")
    points = np.random.default_rng(0).normal(size=(500, 3)) + np.arange(500)[:, None] % 4
    begin = np.random.default_rng(7).permutation(np.unique(points, axis=0))[:6]
    theirs = cluster.KMeans(6, init=begin, n_init=1, max_iter=8, tol=0, algorithm="lloyd").fit(points)
    np.testing.assert_allclose(images.kmeans(points, 6, np.random.default_rng(7)), theirs.cluster_centers_)


def test_every_centre_is_the_mean_of_its_points_once_nothing_moves():
    points = np.random.default_rng(0).integers(17, size=(300, 1)).astype(float)
    centres = images.kmeans(points, K, np.random.default_rng(1), n=100)
    own = images.nearest(points, centres)
    np.testing.assert_allclose(centres, [points[own == i].mean(axis=0) for i in range(K)])
    np.testing.assert_array_equal(own, np.abs(points - centres.T).argmin(axis=1))


def test_a_centre_without_points_is_drawn_again():
    points = np.array([[0.0], [0.0], [1.0], [10.0]])

    begin = np.array([[0.0], [1000.0], [2000.0]])  # two so far from all points that none is theirs
    rng = SimpleNamespace(permutation=lambda points: begin, choice=np.random.default_rng(0).choice)
    centres = images.kmeans(points, 3, rng)
    assert set(images.nearest(points, centres)) > {0}
    assert centres.max() <= 10


def test_a_palette_has_no_more_colours_than_the_pictures():
    with pytest.raises(ValueError, match="a palette of 3 colours is too large: the pictures have 2"):
        images.kmeans(np.array([[1.0], [2.0], [2.0]]), 3, np.random.default_rng(0))
    centres = images.kmeans(np.array([[1.0], [2.0], [2.0]]), 2, np.random.default_rng(0))
    assert sorted(centres.ravel()) == [1, 2]


def test_a_picture_is_its_class_and_its_nearest_colours():
    tokens = images.encode(np.array([[0, 16, 9]]), np.array([7]), np.array([[0.5], [8.0], [15.0]]))
    assert tokens.tolist() == [[3 + 7, 0, 2, 1]]


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
    found = images.compare(lambda s: np.log(probs[s[:, :1] - K]) * np.ones(64), held, held, K)
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
    tiled = images.tile(np.arange(6)[:, None] * np.ones(64), n_rows=2)
    assert tiled.shape == (17, 26)
    np.testing.assert_array_equal(tiled[[0, 0, 0, 16, 16, 16], [0, 9, 25, 0, 9, 25]], np.arange(6))
    assert np.isnan(tiled[8]).all()
    assert np.isnan(tiled[:, [8, 17]]).all()


def test_a_palette_of_one_colour_is_refused(tmp_path, caplog):
    with pytest.raises(SystemExit):
        images.images(out=str(tmp_path / "run"), colors=1)
    assert "--colors must be at least 2 and less than 2**31, not 1" in caplog.text
    assert not (tmp_path / "run").exists()


def test_the_project_learns_and_leaves_pictures(tmp_path):
    pytest.importorskip("sklearn")
    image = pytest.importorskip("matplotlib.image")
    out = tmp_path / "run"
    images.images(out=str(out), n_layer=1, n_embd=16, steps=30, batch_size=8, lr=0.03, dropout=0.0)
    found = json.loads((out / "result.json").read_text(encoding="utf-8"))["results"]
    bits = found["bits per dimension"]
    by_pixel, by_class = bits["histogram of each pixel"], bits["histogram of each pixel and class"]
    assert bits["image GPT"]["class given"] < bits["uniform"]["class unknown"] - 0.5
    assert by_class["class given"] < by_class["class unknown"] < by_pixel["class unknown"]
    assert by_class["classes told right"] > 0.8
    assert [record["step"] for record in read_log(out / LOG) if "val_bits" in record] == [30]
    assert len(read_log(out / LOG)) == 30
    assert len(np.unique(image.imread(out / "images.png").reshape(-1, 4), axis=0)) > 8
