"""A gradient is what happens to the loss if something is moved: finite differences, in float64."""

import numpy as np
import pytest

from picogpt.explain import backwards, one_step
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy, softmax
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map

HEADS, IDS, TARGET = 3, [3, 16, 0, 5, 5, 9], 2


@pytest.fixture
def params():
    hparams = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=HEADS, n_layer=3)
    rng = np.random.default_rng(0)
    return tree_map(lambda w: w + 0.3 * rng.standard_normal(w.shape), init_params(hparams, rng, np.float64))


def loss_with(params):
    return cross_entropy(gpt2([IDS], params, HEADS)[0, -1:], np.array([TARGET]))


def test_relevance_is_the_loss_lost_by_a_shorter_embedding(params):
    """The position embedding moves, as the token's row of wte may stand elsewhere in the text too."""
    loss, dstream, _ = backwards.way_back(params, HEADS, IDS, TARGET)
    assert loss == pytest.approx(loss_with(params))
    for s, relevance in enumerate(backwards.relevance(params, IDS, dstream)):
        moved = tree_map(np.copy, params)
        moved["wpe"][s] += 1e-6 * params["wte"][IDS[s]]
        assert (loss_with(moved) - loss) / 1e-6 == pytest.approx(relevance, abs=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_streams_gradient_is_that_of_a_bias_added_there(params, layer):
    """The bias of a layer's last projection adds to the stream after it, at every token alike."""
    loss, dstream, grads = backwards.way_back(params, HEADS, IDS, TARGET)
    assert dstream.shape == (4, len(IDS), 12)
    bias = grads["blocks"][layer]["mlp"]["c_proj"]["b"]
    np.testing.assert_allclose(dstream[layer + 1].sum(axis=0), bias, rtol=1e-10, atol=1e-14)
    moved = tree_map(np.copy, params)
    moved["blocks"][layer]["mlp"]["c_proj"]["b"][4] += 1e-6
    assert (loss_with(moved) - loss) / 1e-6 == pytest.approx(bias[4], abs=1e-5)


def test_heads_and_neurons_share_the_gradients_of_their_matrices(params):
    """Squares of lengths add up to the square of the whole."""
    _, _, grads = backwards.way_back(params, HEADS, IDS, TARGET)
    for layer, block in enumerate(grads["blocks"]):
        attn = [block["attn"][name]["w"] for name in ("c_attn", "c_proj")]
        mlp = [block["mlp"][name]["w"] for name in ("c_fc", "c_proj")]
        for lengths, arrays in [
            (backwards.lengths_of_heads(grads, HEADS)[layer], attn),
            (backwards.lengths_of_neurons(grads)[layer], mlp),
        ]:
            assert np.linalg.norm(lengths) == pytest.approx(
                np.sqrt(sum((w**2).sum() for w in arrays)), rel=1e-6
            )


def test_a_small_step_of_sgd_lowers_the_loss_as_its_gradient_says(params):
    """By the rate times the square of the gradient's length, to first order."""
    loss, _, grads = backwards.way_back(params, HEADS, IDS, TARGET)
    moved = tree_map(np.copy, params)
    one_step.sgd(moved, grads, 1e-6)
    square = float((backwards.lengths_of_arrays(grads).astype(float) ** 2).sum())
    assert (loss - loss_with(moved)) / 1e-6 == pytest.approx(square, rel=1e-3)


def test_before_and_after_leaves_the_model_as_it_was(params):
    before = tree_map(np.copy, params)
    found = one_step.before_and_after(params, HEADS, IDS, [[1, 2], [7]])
    tree_map(np.testing.assert_array_equal, params, before)
    assert found["probs"].shape == (2, 8, len(IDS) - 1)
    probs = softmax(gpt2([[1, 2]], params, HEADS)[0, -1])
    assert found["likeliest"][0, 0, 0] == probs.argmax()
    np.testing.assert_allclose(found["others"][0, 0, 0], [probs.max()] * 2, rtol=1e-6)
