"""Rotary positions and ALiBi: what the papers promise, what other programs compute, and no last position."""

import json

import numpy as np
import pytest
from record.options import TINY, model

from picogpt.checkpoints import weights
from picogpt.descendants import positions
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_turned_query_and_key_know_only_their_distance():
    q, k = random(1, 1, 1, 8), random(1, 1, 1, 8, seed=1)

    def score(i, j):
        turned = [positions.rotate(x, np.array([place])) for x, place in ((q, i), (k, j))]
        return float((turned[0] * turned[1]).sum())

    assert score(5, 2) == pytest.approx(score(103, 100), abs=1e-12)
    assert abs(score(5, 2) - score(2, 5)) > 0.1
    assert score(0, 0) == pytest.approx(float((q * k).sum()))


def test_a_turn_by_the_slowest_pair_is_the_formula_written_out():
    x = np.zeros((1, 1, 1, 4))
    x[..., 1] = 1  # the first of the second pair, whose angle is place / 10000^(2/4)
    found = positions.rotate(x, np.array([30]))[0, 0, 0]
    np.testing.assert_allclose(found, [0, np.cos(0.3), 0, np.sin(0.3)], atol=1e-15)


def test_a_turn_back_undoes_a_turn_and_is_its_derivative():
    x, dy, places = random(2, 3, 5, 6), random(2, 3, 5, 6, seed=1), np.arange(10).reshape(2, 5)
    y = positions.rotate(x, places)
    np.testing.assert_allclose(positions.rotate(y, places, back=True), x, atol=1e-14)
    dx = positions.rotate(dy, places, back=True)
    assert float((y * dy).sum()) == pytest.approx(float((x * dx).sum()), abs=1e-12)


def test_turns_are_those_of_gpt_neox():
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.gpt_neox.modeling_gpt_neox")
    config = modeling.GPTNeoXConfig(
        hidden_size=48,
        num_attention_heads=3,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=1.0),
    )
    q, k, places = random(2, 3, 9, 16), random(2, 3, 9, 16, seed=1), np.arange(18).reshape(2, 9) * 50
    x, ids = torch.from_numpy(q).float(), torch.from_numpy(places)
    cos, sin = modeling.GPTNeoXRotaryEmbedding(config)(x, ids)
    theirs = modeling.apply_rotary_pos_emb(x, torch.from_numpy(k).float(), cos, sin)
    for ours, turned in zip((q, k), theirs, strict=True):
        found = positions.rotate(ours.astype(np.float32), places)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, turned.numpy(), atol=3e-4)  # angles up to 850 in float32
        np.testing.assert_allclose(found, positions.rotate(ours, places), atol=3e-4)


@pytest.mark.parametrize("n_head", range(1, 26))
def test_slopes_are_those_of_bloom(n_head):
    pytest.importorskip("torch")
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    torch = pytest.importorskip("torch")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 2), n_head, torch.float64)[:, 0, 1]
    np.testing.assert_allclose(positions.slopes(n_head), theirs.numpy(), rtol=1e-6)


def test_slopes_of_twelve_heads_are_the_published_ones():
    assert positions.slopes(8) == [1 / 2**n for n in range(1, 9)]  # Press et al. 2022, section 3
    assert positions.slopes(12)[8:] == [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert positions.slopes(16)[:2] == [2**-0.5, 2**-1]


@pytest.mark.parametrize("kind", ["rotary", "alibi", "none"])
def test_a_longer_context_is_a_longer_empty_array_and_changes_nothing_before(kind):
    params, ids, _ = model(dict(positions=kind))
    with pytest.raises(ValueError, match="22 tokens do not fit into the 11 positions"):
        gpt2(np.tile(ids[:, :1], 22), params, 3)
    longer = params | dict(wpe=np.empty((30, 0)))
    found = gpt2(np.concatenate([ids, ids, ids], axis=1), longer, 3)
    assert found.shape == (2, 21, 17)
    np.testing.assert_allclose(found[:, :7], gpt2(ids, params, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["rotary", "alibi"])
def test_order_matters_even_in_one_layer(kind):
    params, ids, _ = model(dict(positions=kind))
    params["blocks"] = params["blocks"][:1]
    swapped = ids[:, [2, 0, 1, 3, 4, 5, 6]]
    assert np.abs(gpt2(ids, params, 3)[:, -1] - gpt2(swapped, params, 3)[:, -1]).max() > 1e-3


def test_hyperparameters_of_earlier_versions_say_whether_there_are_positions(tmp_path):
    weights.save(
        tmp_path,
        init_params(TINY | dict(positions="none"), np.random.default_rng(0)),
        TINY | dict(positions="none"),
    )
    (tmp_path / "hparams.json").write_text(json.dumps(TINY | dict(positions=False)))
    assert weights.load(tmp_path)[1] == TINY | dict(positions="none")
