"""Initial weights of other models: their deviations, and the first loss of a head of zeros."""

import math

import numpy as np
import pytest

from picogpt.descendants.initial import orthogonal
from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten

HPARAMS = dict(n_vocab=50, n_ctx=40, n_embd=64, n_head=4, n_layer=8)


def test_gpt_2s_are_what_they_were():
    flat = flatten(init_params(HPARAMS, np.random.default_rng(0), np.float64))
    draws = np.random.default_rng(0)
    np.testing.assert_array_equal(flat["wte"], 0.02 * draws.standard_normal((50, 64)))
    assert flat["blocks.3.mlp.c_proj.w"].std() == pytest.approx(0.02 / 4, rel=0.02)


@pytest.mark.parametrize(
    ("initial", "deviations"),
    [
        ("igpt", dict(wte=0.02, wpe=0.01, lm_head=0, c_attn=1 / 8, c_proj=1 / math.sqrt(512), c_fc=0.02)),
        (
            "small",
            dict(
                wte=math.sqrt(0.4 / 64),
                c_attn=math.sqrt(0.4 / 64),
                c_proj=2 / 64,
                lm_head=math.sqrt(0.4 / 64),
            ),
        ),
    ],
)
def test_deviations_are_the_published_ones(initial, deviations):
    params = init_params(HPARAMS | dict(tied=False), np.random.default_rng(0), np.float64, initial)
    attn, mlp = params["blocks"][5]["attn"], params["blocks"][5]["mlp"]
    found = {name: params[name] for name in ("wte", "wpe", "lm_head")}
    found |= {name: attn[name]["w"] for name in ("c_attn", "c_proj")} | dict(c_fc=mlp["c_fc"]["w"])
    for name, deviation in deviations.items():
        assert found[name].std() == pytest.approx(deviation, rel=0.05), name
    expected = 0.02 if initial == "igpt" else 2 / 64  # image GPT does not shrink this one
    assert mlp["c_proj"]["w"].std() == pytest.approx(expected, rel=0.05)
    assert not mlp["c_fc"]["b"].any() and (params["ln_f"]["g"] == 1).all()


def test_a_head_of_zeros_knows_nothing_and_learns():
    params = init_params(HPARAMS | dict(tied=False), np.random.default_rng(0), np.float64, "igpt")
    ids = np.random.default_rng(1).integers(0, 50, (2, 9))
    loss, grads = loss_and_grads(params, ids, ids, 4)
    assert loss == pytest.approx(math.log(50), abs=1e-12)
    assert np.abs(grads["lm_head"]).max() > 0.01


def test_a_head_of_zeros_needs_one_of_its_own():
    with pytest.raises(ValueError, match="give --tied false"):
        init_params(HPARAMS, np.random.default_rng(0), initial="igpt")


def test_orthogonal_matrices_keep_the_length_of_what_goes_through():
    flat = flatten(
        init_params(HPARAMS | dict(tied=False), np.random.default_rng(0), np.float64, "orthogonal")
    )
    queries, keys, values = np.split(flat["blocks.3.attn.c_attn.w"], 3, axis=1)
    narrow = [queries, keys, values, flat["blocks.3.mlp.c_fc.w"], flat["wte"], flat["lm_head"]]
    for w in narrow:
        np.testing.assert_allclose(w @ w.T, np.eye(len(w)), rtol=0, atol=1e-12)
    w = flat["blocks.3.mlp.c_proj.w"]  # taller than wide: its columns are
    np.testing.assert_allclose(w.T @ w, np.eye(64), rtol=0, atol=1e-12)
    assert np.abs(queries @ keys.T - np.eye(64)).max() > 0.5  # drawn one by one
    assert flat["wpe"].std() == pytest.approx(0.02, rel=0.05)


def test_orthogonal_matrices_favour_no_direction():
    """By QR without its signs, each first number on the diagonal would be negative."""
    rng = np.random.default_rng(0)
    signs = [np.sign(np.diag(orthogonal((4, 4), rng))) for _ in range(300)]
    assert np.abs(np.mean(signs, axis=0)).max() < 0.2
