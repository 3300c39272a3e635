"""The linear probe: its regression is scikit-learn's, and its features know nothing of the label."""

import numpy as np
import pytest

from picogpt.gpt2 import gpt2
from picogpt.ops import layer_norm
from picogpt.params.init import init_params
from picogpt.projects import image_probe

K, CLASSES, T = 5, 3, 16  # colours


@pytest.fixture
def params():
    hparams = dict(n_vocab=K + CLASSES, n_ctx=T, n_embd=12, n_head=3, n_layer=2)
    return init_params(hparams, np.random.default_rng(0), np.float64)


@pytest.fixture
def sequences():
    rng = np.random.default_rng(1)
    return np.concatenate([K + rng.integers(CLASSES, size=(7, 1)), rng.integers(K, size=(7, T))], axis=1)


def test_the_regression_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, labels, decay = rng.normal(size=(200, 6)), rng.integers(4, size=200), 0.01
    x[np.arange(200), labels] += 1
    ours = image_probe.logistic_regression(x, labels, 4, decay, n=1000)
    theirs = linear_model.LogisticRegression(C=1 / (len(x) * decay), tol=1e-10, max_iter=10_000).fit(
        x, labels
    )
    np.testing.assert_allclose(ours[:-1].T, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours[-1] - ours[-1].mean(), theirs.intercept_, atol=1e-5)
    told = image_probe.accuracy(x[:150], labels[:150], x[150:], labels[150:], 4)
    assert told == pytest.approx(theirs.score(x[150:], labels[150:]), abs=0.1)
    assert told > 0.5


def test_features_are_the_means_of_what_each_layer_reads(params, sequences):
    expected = np.zeros((3, len(sequences), 12))
    for start in range(K, K + CLASSES):
        acts = []
        gpt2(np.insert(sequences[:, 1:-1], 0, start, axis=1), params, 3, acts=acts)
        for layer, norm in enumerate([block["ln_1"] for block in params["blocks"]] + [params["ln_f"]]):
            expected[layer] += layer_norm(acts[layer]["x"], **norm).mean(axis=1) / CLASSES
    np.testing.assert_allclose(image_probe.features(params, 3, sequences, CLASSES), expected)
    np.testing.assert_allclose(image_probe.features(params, 3, sequences, CLASSES, piece=2 * T), expected)


def test_features_do_not_know_the_label(params, sequences):
    others = sequences.copy()
    others[:, 0] = K + (sequences[:, 0] - K + 1) % CLASSES
    both = [image_probe.features(params, 3, each, CLASSES) for each in (sequences, others)]
    np.testing.assert_array_equal(*both)


def test_a_model_that_looks_both_ways_reads_all_pixels_and_no_class(sequences):
    hparams = dict(n_vocab=K + 1, n_ctx=T, n_embd=12, n_head=3, n_layer=2, causal=False)
    params, acts = init_params(hparams, np.random.default_rng(0), np.float64), []
    gpt2(sequences[:, 1:], params, 3, acts=acts)
    norms = [block["ln_1"] for block in params["blocks"]] + [params["ln_f"]]
    expected = [layer_norm(act["x"], **norm).mean(axis=1) for act, norm in zip(acts, norms, strict=True)]
    found = image_probe.features(params, 3, sequences.astype(np.uint16), CLASSES, piece=2 * T)
    np.testing.assert_allclose(found, expected)


def test_a_probe_finds_what_the_pixels_tell(params):
    """A class of its own colour: the embedding alone tells it, and so does every layer."""
    rng = np.random.default_rng(0)
    classes = rng.integers(CLASSES, size=90)
    colors = np.where(rng.random((90, T)) < 0.8, classes[:, None], rng.integers(K, size=(90, T)))
    sequences = np.concatenate([K + classes[:, None], colors], axis=1)
    levels = np.eye(K)[colors].reshape(90, -1)
    found = image_probe.probe(
        {"a": params}, 3, sequences[:60], sequences[60:], K, CLASSES, (levels[:60], levels[60:])
    )
    assert [*found] == ["the pixels themselves", "a"]
    assert [*found["a"]] == ["0", "1", "2"]
    assert all(share > 0.9 for each in found.values() for share in each.values())


def test_where_the_regression_ends_its_loss_with_the_decay_of_all_but_the_bias_has_no_slope():
    rng = np.random.default_rng(0)
    x, labels, decay = rng.normal(size=(90, 4)) + 2, rng.integers(3, size=90), 0.05
    w = image_probe.logistic_regression(x, labels, 3, decay, n=1500)

    def loss(w):
        scores = x @ w[:-1] + w[-1]
        nats = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(90), labels]
        return nats.mean() + decay / 2 * (w[:-1] ** 2).sum()

    for i in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[i] = 1e-4
        assert abs(loss(w + step) - loss(w - step)) / 2e-4 < 1e-5, i
