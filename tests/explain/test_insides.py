"""What is said of a model's inside is what the model does, for GPT-2 and its descendants."""

import numpy as np
import pytest

from picogpt.explain import insides
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, nest

HEADS, LAYERS, T = 3, 3, 7
KINDS = {
    "gpt2": {},
    "no bias, untied, erf": dict(bias=False, tied=False, gelu="erf"),
    "quick": dict(gelu="quick"),
    "weighted": dict(time_weighting="full"),
    "mixing, no positions": dict(time_mixing=True, positions="none"),
    "turned": dict(positions="rotary", band=3),
    "leaning": dict(positions="alibi"),
    "band": dict(band=2),
    "adapters": dict(adapter=5),
}


@pytest.fixture(params=KINDS, ids=str)
def read(request):
    """A random model in float64, none of whose numbers is 0 or 1 by chance; 7 ids, their acts and logits."""
    hparams = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=HEADS, n_layer=LAYERS) | KINDS[request.param]
    rng = np.random.default_rng(0)
    flat = flatten(init_params(hparams, rng, np.float64))
    params = nest({path: w + 0.3 * rng.standard_normal(w.shape) for path, w in flat.items()})
    ids, acts = [3, 16, 0, 5, 5, 9, 2], []
    return params, ids, acts, gpt2([ids], params, HEADS, acts=acts)[0]


def test_rows_of_attention_are_probabilities_of_the_tokens_so_far(read):
    params, _, acts, _ = read
    maps = insides.attention_maps(params, acts)
    assert maps.shape == (LAYERS, HEADS, T, T)
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-12)
    assert (maps >= 0).all()
    assert (np.triu(maps, k=1) == 0).all()


def test_values_weighted_by_the_maps_are_what_the_heads_put_out(read):
    params, _, acts, _ = read
    for probs, act in zip(insides.attention_maps(params, acts), acts, strict=False):
        factors = 1.0 if act["keep_probs"] is None else act["keep_probs"]
        heads = (probs * factors) @ act["v"][0]  # [H, T, D]
        merged = heads.swapaxes(0, 1).reshape(T, -1)
        np.testing.assert_allclose(merged, act["heads"][0], rtol=1e-10, atol=1e-12)


def test_a_banded_layer_looks_no_further_back_than_its_band():
    hparams = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=HEADS, n_layer=2, band=2)
    params, acts = init_params(hparams, np.random.default_rng(0)), []
    gpt2([[1] * T], params, HEADS, acts=acts)
    looked = (insides.attention_maps(params, acts) > 0).sum(axis=-1)
    assert looked[0].max() == T
    assert looked[1].max() == 2


def test_contributions_add_up_to_the_residual_stream(read):
    params, ids, acts, _ = read
    added = insides.contributions(params, acts, ids)
    sums = np.cumsum(list(added.values()), axis=0)
    after = [n for n, name in enumerate(added) if "feed-forward" in name]
    streams = insides.streams(acts)
    np.testing.assert_allclose(sums[after], streams[1:], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sums[after[0] - 2], streams[0], rtol=1e-12)
    assert len(added) == 2 * LAYERS + (2 if params["wpe"].size else 1)


def test_the_last_layer_of_the_lens_is_the_models_output(read):
    params, _, acts, logits = read
    x = insides.streams(acts)[-1]
    np.testing.assert_array_equal(insides.logit_lens(params, x), logits)
    centred = x - x.mean(axis=-1, keepdims=True)  # the formula, written out
    normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    bias = params["ln_f"].get("b", 0)
    head = params["lm_head"] if "lm_head" in params else params["wte"]
    by_hand = np.einsum("tc,vc->tv", normed * params["ln_f"]["g"] + bias, head)
    np.testing.assert_allclose(by_hand, logits, rtol=1e-9, atol=1e-11)


def test_the_lens_of_a_layer_is_the_model_without_the_layers_after_it(read):
    params, ids, acts, _ = read
    for n, x in enumerate(insides.streams(acts)[1:], start=1):
        shallow = gpt2([ids], params | dict(blocks=params["blocks"][:n]), HEADS)[0]
        np.testing.assert_allclose(insides.logit_lens(params, x), shallow, rtol=1e-12)


def test_a_head_that_is_off_is_its_rows_of_c_proj_set_to_zero(read):
    params, ids, acts, logits = read
    for layer in range(LAYERS):
        streams = insides.streams_without_heads(params, acts, HEADS, layer)
        for head, x in enumerate(streams):
            flat = flatten(params)
            path = f"blocks.{layer}.attn.c_proj.w"
            flat[path] = flat[path].copy()
            flat[path].reshape(HEADS, -1, 12)[head] = 0
            ablated = gpt2([ids], nest(flat), HEADS)[0]
            np.testing.assert_allclose(insides.logit_lens(params, x), ablated, rtol=1e-8, atol=1e-10)
            assert not np.allclose(ablated, logits)


def test_the_likeliest_come_first_and_of_equals_the_smaller_id():
    logits = np.array([[1.0, 3.0, 2.0, 3.0], [0.0, -1.0, 5.0, 4.0]])
    assert insides.likeliest(logits, 3).tolist() == [[1, 3, 2], [2, 3, 0]]


def test_with_the_sum_of_the_rest_the_probabilities_of_the_kept_are_exact():
    logits = 300 * np.random.default_rng(0).standard_normal((5, 40))
    kept, temperatures = insides.likeliest(logits, 6), [0.05, 1.0, 2.0]
    rest = insides.log_sum_rest(logits, kept, temperatures)
    top = np.take_along_axis(logits, kept, axis=-1)
    for n, temperature in enumerate(temperatures):
        sums = np.exp((top - top[:, :1]) / temperature)
        probs = sums / (sums.sum(axis=-1) + np.exp(rest[:, n]))[:, None]
        exact = np.take_along_axis(softmax(logits / temperature), kept, axis=-1)
        np.testing.assert_allclose(probs, exact, rtol=1e-10, atol=1e-300)


def test_a_vocabulary_that_is_kept_whole_has_no_rest():
    logits = np.zeros((2, 3))
    rest = insides.log_sum_rest(logits, insides.likeliest(logits, 200), [1.0])
    assert rest.tolist() == [[-np.inf], [-np.inf]]
