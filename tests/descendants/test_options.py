"""Descendants of GPT-2: without biases, with an output head of their own, with what tricks.py has."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from compare import NoFloat64, relative_error
from record import options
from record.options import TINY, model

from picogpt.checkpoints import weights
from picogpt.descendants.activations import relu_backward
from picogpt.generate import generate
from picogpt.gpt2 import KVCache, gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.options import OPTIONS
from picogpt.params.shapes import n_params, param_shapes
from picogpt.params.tree import flatten, nest, tree_map, walk
from picogpt.speed import prefill, shards
from picogpt.speed.guess import DraftModel
from picogpt.text.chars import CharEncoder
from picogpt.train import optim

CHARS = "abcdefghijklmnopq"  # as many as TINY has tokens

KINDS = [
    {key: value for key, value in (("bias", bias), ("tied", tied), ("gelu", gelu)) if OPTIONS[key] != value}
    for bias, tied, gelu in itertools.product((True, False), (True, False), ("tanh", "erf"))
][1:]
TRICKS = [
    dict(gelu="quick"),
    dict(activation="relu", n_inner=5),
    dict(activation="silu", scale_by_layer=True),
    dict(activation="tanh", scale_by_width=False),
    dict(time_weighting="full"),
    dict(time_weighting="circulant"),
    dict(time_mixing=True),
    dict(positions="none"),
    dict(positions="rotary"),
    dict(positions="alibi"),
    dict(norm="post"),
    dict(rms=True),
    dict(rezero=True),
    dict(time_mixed=4),
    dict(band=3),
    dict(bias=False, time_weighting="full", time_mixing=True, positions="none", gelu="erf"),
    dict(tied=False, time_weighting="circulant", time_mixing=True, band=1, gelu="quick"),
    dict(scale_by_layer=True, scale_by_width=False, time_mixing=True, bias=False, activation="relu"),
    dict(positions="rotary", norm="post", time_weighting="full", time_mixing=True, scale_by_layer=True),
    dict(positions="alibi", norm="post", time_weighting="circulant", band=2, bias=False, tied=False),
    dict(rms=True, rezero=True, norm="post", time_mixed=7, activation="silu"),
    dict(rms=True, rezero=True, bias=False, tied=False, gelu="quick"),
]
BOTH_WAYS = [dict(causal=False), dict(causal=False, positions="rotary", rms=True, time_mixing=True)]
LEAVES = dict(  # what the tree of two layers has more of, for each option
    tied={"lm_head"},
    gelu={"blocks.0.mlp.", "blocks.1.mlp."},
    activation={"blocks.0.mlp.", "blocks.1.mlp."},
    scale_by_width={"blocks.0.attn.unscaled", "blocks.1.attn.unscaled"},
    scale_by_layer={"blocks.1.attn.divisor"},
    time_weighting={"blocks.0.attn.time_weighting.", "blocks.1.attn.time_weighting."},
    time_mixing={"blocks.0.attn.time_mixing", "blocks.1.attn.time_mixing"},
    time_mixed={"blocks.0.attn.time_mixing", "blocks.1.attn.time_mixing"},
    positions={"blocks.0.attn.", "blocks.1.attn."},
    causal={"blocks.0.attn.both_ways", "blocks.1.attn.both_ways"},
    rezero={"blocks.0.rezero", "blocks.1.rezero"},
    rms={"blocks.0.ln_", "blocks.1.ln_", "ln_f.rms"},
    norm={"blocks.0.post_norm", "blocks.1.post_norm"},
    band={"blocks.1.attn.band"},
)


@pytest.mark.parametrize("kind", KINDS + TRICKS + BOTH_WAYS, ids=str)
def test_the_tree_has_what_the_kind_says(kind):
    usual, shapes = flatten(param_shapes(**TINY)), flatten(param_shapes(**TINY, **kind))
    lacking = {path for path in usual if path.endswith(".b")} if "bias" in kind else set()
    lacking |= {path for path in usual if path.startswith("blocks.1.ln_2.")} if "norm" in kind else set()
    if "rms" in kind:
        lacking |= {path for path in usual if re.search(r"ln_\w\.b$", path)}
    assert usual.keys() - shapes.keys() == lacking
    beginnings = tuple(set().union(*(LEAVES.get(option, ()) for option in kind)))
    more = shapes.keys() - usual.keys()
    if kind.get("positions") == "none":
        beginnings = tuple(set(beginnings) - LEAVES["positions"])
    assert all(any(path.startswith(begins) for path in more) for begins in beginnings)
    assert all(path.startswith(beginnings) for path in more)
    assert shapes["wpe"] == (11, 0 if "positions" in kind else 12)
    assert n_params(TINY | kind) == sum(w.size for _, w in walk(model(kind)[0]))


@pytest.mark.parametrize("kind", KINDS + TRICKS + BOTH_WAYS, ids=str)
def test_gradients_of_every_leaf_are_the_derivatives(kind):
    params, ids, targets = model(kind)
    rng = np.random.default_rng(1)
    size = 1e-7 if kind.get("activation") == "relu" else 1e-4  # not across relu's kink
    _, grads = loss_and_grads(params, ids, targets, 3)
    assert list(flatten(grads)) == list(flatten(params))
    for path, w in walk(params):
        step = size * rng.standard_normal(w.shape)
        before, losses = w.copy(), []
        for sign in (1, -1):
            w += sign * step
            losses.append(loss_and_grads(params, ids, targets, 3)[0])
            w[...] = before
        expected = 2 * (flatten(grads)[path] * step).sum()
        assert losses[0] - losses[1] == pytest.approx(expected, rel=1e-5, abs=1e-13), path


@pytest.mark.parametrize("kind", KINDS + TRICKS + BOTH_WAYS, ids=str)
def test_logits_loss_and_gradients_are_pytorchs(kind):
    pytest.importorskip("torch")
    logits, loss, theirs = options.pytorch_says(kind)
    params, ids, targets = options.model(kind)
    bound = 1e-6 if kind.get("gelu") == "erf" else 1e-12
    assert np.abs(gpt2(ids, params, 3) - logits).max() < 20 * bound
    our_loss, grads = loss_and_grads(params, ids, targets, 3)
    assert our_loss == pytest.approx(loss, abs=bound)
    assert theirs.keys() == {path for path, w in walk(params) if w.size}
    for path, dw in theirs.items():
        assert relative_error(flatten(grads)[path], dw) < 2 * bound, path


@pytest.mark.parametrize("n", range(len(options.KINDS)), ids=lambda n: str(options.KINDS[n]))
def test_logits_loss_and_gradients_are_those_that_pytorch_gave(n):
    recorded = np.load(options.RECORD)
    params, ids, targets = options.model(options.KINDS[n])
    np.testing.assert_allclose(gpt2(ids, params, 3), recorded[f"{n}.logits"], rtol=0, atol=1e-11)
    loss, grads = loss_and_grads(params, ids, targets, 3)
    assert loss == pytest.approx(float(recorded[f"{n}.loss"]), abs=1e-12)
    found = list(options.slopes(flatten(grads)).values())
    np.testing.assert_allclose(found, recorded[f"{n}.slopes"], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS + TRICKS, ids=str)
def test_cache_and_float32_work_as_in_gpt_2(kind):
    params, ids, targets = model(kind, np.float32)
    cache = KVCache(params, 3, 2)
    pieces = [gpt2(ids[:, i : i + 1], params, 3, cache) for i in range(7)]
    whole = gpt2(ids, params, 3)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-4)
    grads = loss_and_grads(params, ids, targets, 3)[1]
    assert all(dw.dtype == np.float32 for _, dw in walk(grads))


@pytest.mark.parametrize("kind", KINDS + TRICKS, ids=str)
def test_no_operation_works_in_float64(kind):
    params, ids, targets = model(kind, np.float32)
    params = tree_map(lambda w: w.view(NoFloat64), params)
    loss_and_grads(params, ids, targets, 3)
    generate(params, 3, ids[:1].tolist(), 3)


@pytest.mark.parametrize("kind", KINDS + TRICKS, ids=str)
def test_a_row_with_padding_gives_what_it_gives_alone(kind):
    params, ids, _ = model(kind)
    alone = [gpt2(ids[:1, 3:], params, 3), gpt2(ids[1:], params, 3)]
    cache, pad = KVCache(params, 3, 2), np.array([3, 0])
    calls = [gpt2(ids[:, i:j], params, 3, cache, pad=pad) for i, j in ((0, 2), (2, 5), (5, 6), (6, 7))]
    for logits in (gpt2(ids, params, 3, pad=pad), np.concatenate(calls, axis=1)):
        np.testing.assert_allclose(logits[:1, 3:], alone[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(logits[1:], alone[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS + TRICKS, ids=str)
def test_a_cache_that_forgets_goes_on_rightly(kind):
    params, ids, _ = model(kind)
    cache = KVCache(params, 3)
    gpt2(ids[:1], params, 3, cache)
    cache.length = 3
    found = gpt2(ids[:1, 3:5], params, 3, cache)
    np.testing.assert_allclose(found, gpt2(ids[:1, :5], params, 3)[:, 3:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS + TRICKS, ids=str)
def test_pieces_guesses_and_parts_change_nothing(kind, threads, monkeypatch):
    monkeypatch.setattr(prefill, "PIECE", 2)
    monkeypatch.setattr(shards, "PART", 7)
    params, ids, targets = model(kind)
    for pad in (None, np.array([3, 0])):
        found = prefill.prefill(ids, params, 3, KVCache(params, 3, 2), pad)
        np.testing.assert_allclose(found, gpt2(ids, params, 3, pad=pad)[:, -1:], rtol=0, atol=1e-12)
    prompts = [ids[0].tolist(), ids[1, :3].tolist()]
    plain = generate(params, 3, prompts, 9, use_cache=False, guesser=False)  # beyond the context
    assert generate(params, 3, prompts, 9) == plain
    for prompt, text in zip(prompts, plain, strict=True):
        assert [text] == generate(params, 3, [prompt], 9, guesser=DraftModel(params, 3))
    loss, grads = shards.batch_gradients(params, ids, targets, 3)
    whole_loss, whole = loss_and_grads(params, ids, targets, 3)
    assert abs(loss - whole_loss) < 1e-12
    for path, dw in walk(whole):
        np.testing.assert_allclose(flatten(grads)[path], dw, rtol=0, atol=1e-11, err_msg=path)


@pytest.mark.parametrize("kind", KINDS + TRICKS, ids=str)
def test_it_trains_and_what_is_saved_is_loaded(kind, tmp_path):
    params = init_params(TINY | kind, np.random.default_rng(0))
    _, ids, targets = model(kind)
    moments, losses = optim.adamw_init(params), []
    for step in range(1, 6):
        loss, grads = loss_and_grads(params, ids, targets, 3)
        losses.append(loss)
        optim.clip(grads, 1.0)
        optim.adamw_step(params, grads, moments, step, 0.01)
    assert losses[-1] < losses[0]
    weights.save(tmp_path, params, TINY | kind)
    loaded, hparams, _ = weights.load(tmp_path)
    assert hparams == TINY | kind
    for path, w in walk(params):
        np.testing.assert_array_equal(flatten(loaded)[path], w, err_msg=path)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"bias": "no"}, "bias is 'no', but must be true, false"),
        ({"tied": None}, "tied is None, but must be true, false"),
        ({"gelu": "relu"}, 'gelu is \'relu\', but must be "tanh", "erf", "quick"'),
        ({"time_weighting": True}, 'time_weighting is True, but must be "none", "full", "circulant"'),
        ({"time_mixing": 1}, "time_mixing is 1, but must be true, false"),
        ({"positions": 1}, 'positions is 1, but must be "learned", "rotary", "alibi", "none"'),
        ({"norm": "both"}, 'norm is \'both\', but must be "pre", "post"'),
        ({"positions": "rotary", "n_head": 4}, "positions rotary turn pairs of channels, but n_embd 12"),
        ({"band": -1}, "band is -1, but must be a whole number from 0 on"),
        ({"rms": "yes"}, "rms is 'yes', but must be true, false"),
        ({"time_mixed": 13}, "time_mixed is 13, but n_embd 12 are all the channels"),
        (
            {"causal": False, "band": 2},
            "band is 2, which is for looking back, but causal is false: leave it out",
        ),
        ({"causal": False, "positions": "alibi"}, "positions is 'alibi', which is for looking back"),
        ({"band": True}, "band is True, but must be a whole number from 0 on"),
        ({"bias": []}, "bias is .., but must be true, false"),
    ],
)
def test_an_option_that_is_none_is_reported(option, says, tmp_path):
    weights.save(tmp_path, init_params(TINY, np.random.default_rng(0)), TINY)
    (tmp_path / "hparams.json").write_text(weights.json.dumps(TINY | option))
    with pytest.raises(ValueError, match=rf"hparams.json cannot be used: {says}"):
        weights.load(tmp_path)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"bias": False}, r"has blocks.0.attn.c_attn.b \(and 12 more tensors\) that a GPT-2"),
        ({"tied": False}, "lacks lm_head"),
        ({"gelu": "erf"}, r"lacks blocks.0.mlp.erf \(and 1 more tensors\)"),
        ({"time_weighting": "full"}, r"lacks blocks.0.attn.time_weighting.full \(and 1 more tensors\)"),
        ({"time_mixing": True}, r"lacks blocks.0.attn.time_mixing \(and 1 more tensors\)"),
        ({"positions": "none"}, r"has wpe of shape \(11, 12\), but its hyper-parameters ask for \(11, 0\)"),
        ({"band": 3}, "lacks blocks.1.attn.band"),
    ],
)
def test_an_option_that_the_weights_disagree_with_is_reported(option, says, tmp_path):
    weights.save(tmp_path, init_params(TINY, np.random.default_rng(0)), TINY)
    (tmp_path / "hparams.json").write_text(weights.json.dumps(TINY | option))
    with pytest.raises(ValueError, match=says):
        weights.load(tmp_path)


def test_time_weighting_begins_as_gpt_2_and_never_learns_of_later_keys():
    plain, ids, _ = model({})
    for form in ("full", "circulant"):
        kind = dict(time_weighting=form)
        ones = init_params(TINY | kind, np.random.default_rng(0), np.float64)
        leaves = {path: flatten(plain).get(path, w) for path, w in walk(ones)}
        assert all((w == 1).all() for path, w in leaves.items() if "time_weighting" in path)
        np.testing.assert_allclose(gpt2(ids, nest(leaves), 3), gpt2(ids, plain, 3), rtol=0, atol=1e-13)
    grads = loss_and_grads(*model(dict(time_weighting="full")), 3)[1]
    for block in grads["blocks"]:
        table = block["attn"]["time_weighting"]["full"]
        assert table[:, np.tri(11) * (np.arange(11) < 7)[:, None] == 1].all()
        assert np.count_nonzero(table) == 3 * 28  # of 7 tokens, 28 pairs


def test_a_full_time_weighting_can_be_the_circulant_one():
    circulant, ids, _ = model(dict(time_weighting="circulant"))
    full = tree_map(lambda w: w, circulant)
    for block in full["blocks"]:
        learned = block["attn"].pop("time_weighting")
        table = np.full((3, 11, 11), np.nan)
        for i in range(11):
            for j in range(11):
                later = learned["distance"][:, 10 - (i - j)] if j <= i else 0  # which no query sees
                table[:, i, j] = later * learned["key"][:, j]
        block["attn"]["time_weighting"] = dict(full=table)
    np.testing.assert_allclose(gpt2(ids, full, 3), gpt2(ids, circulant, 3), rtol=0, atol=1e-13)


def test_a_band_as_wide_as_the_context_hides_nothing():
    params, ids, _ = model(dict(band=7))
    plain = {path: w for path, w in walk(params) if not path.endswith(".band")}
    assert np.array_equal(gpt2(ids, params, 3), gpt2(ids, nest(plain), 3))
    narrow = nest({path: w[:6] if path.endswith(".band") else w for path, w in walk(params)})
    differ = (gpt2(ids, narrow, 3) != gpt2(ids, params, 3)).any(axis=(0, 2))
    assert differ.tolist() == [False] * 6 + [True]


@pytest.mark.parametrize("kind", BOTH_WAYS, ids=str)
def test_tokens_that_look_both_ways_see_all_but_padding_and_continue_nothing(kind, tmp_path):
    params, ids, _ = model(kind)
    other = ids.copy()
    other[:, -1] = (ids[:, -1] + 1) % 17
    assert (gpt2(other, params, 3) != gpt2(ids, params, 3)).any(axis=-1).all()  # the last token is seen
    found = gpt2(ids, params, 3, pad=np.array([3, 0]))
    np.testing.assert_allclose(found[:1, 3:], gpt2(ids[:1, 3:], params, 3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1:], gpt2(ids[1:], params, 3), rtol=0, atol=1e-12)
    params = tree_map(lambda w: w.astype(np.float32).view(NoFloat64), params)
    loss_and_grads(params, ids, ids, 3)
    with pytest.raises(ValueError, match="can continue no text: use a causal one"):
        generate(params, 3, ids[:1].tolist(), 3)
    for encoder in (None, CharEncoder(CHARS)):
        weights.save(tmp_path, init_params(TINY | kind, np.random.default_rng(0)), TINY | kind, encoder)
        with pytest.raises(ValueError, match=r"looks at later tokens too \(causal is false\): give one"):
            weights.load_with_encoder(tmp_path)


def test_with_a_factor_of_zero_the_blocks_are_not_there_and_begin_to_learn():
    params = init_params(TINY | dict(rezero=True), np.random.default_rng(0), np.float64)
    assert [block["rezero"].tolist() for block in params["blocks"]] == [[0], [0]]
    _, ids, targets = model({})
    none = params | dict(blocks=[])
    np.testing.assert_array_equal(gpt2(ids, params, 3), gpt2(ids, none, 3))
    _, grads = loss_and_grads(params, ids, targets, 3)
    for block in grads["blocks"]:
        assert block["rezero"][0] != 0
        assert not any(w.any() for path, w in walk(block) if path != "rezero")


def test_so_many_late_channels_as_half_are_time_mixing():
    params, ids, _ = model(dict(time_mixing=True))
    told, _, _ = model(dict(time_mixed=6))
    np.testing.assert_array_equal(gpt2(ids, told, 3), gpt2(ids, params, 3))


def test_without_positions_earlier_tokens_may_change_places_in_one_layer():
    params, ids, _ = model(dict(positions="none"))
    params["blocks"] = params["blocks"][:1]
    swapped = ids[:, [2, 0, 1, 3, 4, 5, 6]]
    found, other = gpt2(ids, params, 3), gpt2(swapped, params, 3)
    np.testing.assert_allclose(found[:, 3:], other[:, 3:], rtol=0, atol=1e-12)
    assert np.abs(found[:, :2] - other[:, :2]).max() > 0.1


@pytest.mark.parametrize("place", range(3))
def test_dropout_acts_in_three_places_separately(place):
    params, ids, targets = model({})
    p_drop, acts = [0.0, 0.0, 0.0], []
    p_drop[place] = 0.5
    gpt2(ids, params, 3, acts=acts, p_drop=p_drop, rng=np.random.default_rng(0))
    drew = [acts[-1]["keep"], acts[0]["keep_probs"], acts[0]["keep_attn"], acts[0]["keep_mlp"]]
    expected = [place == 0, place == 1, place == 2, place == 2]
    assert [keep is not None for keep in drew] == expected
    for keep in drew:
        assert keep is None or set(np.unique(keep)) == {0, 2}
    rng = np.random.default_rng(1)
    _, grads = loss_and_grads(params, ids, targets, 3, p_drop, np.random.default_rng(0))
    for path, w in walk(params):
        step = 1e-5 * rng.standard_normal(w.shape)
        before, losses = w.copy(), []
        for sign in (1, -1):
            w += sign * step
            losses.append(loss_and_grads(params, ids, targets, 3, p_drop, np.random.default_rng(0))[0])
            w[...] = before
        expected = 2 * (flatten(grads)[path] * step).sum()
        assert losses[0] - losses[1] == pytest.approx(expected, rel=1e-4, abs=1e-12), path


def test_dropout_of_all_places_may_be_one_number():
    params, ids, targets = model({})
    one, three = (
        loss_and_grads(params, ids, targets, 3, p, np.random.default_rng(0))[0]
        for p in (0.3, (0.3, 0.3, 0.3))
    )
    assert one == three
    for wrong in ((0.1, 0.1), (0.1, 1.0, 0.1), (0.0, -0.1, 0.0)):
        with pytest.raises(ValueError, match="p_drop must be at least 0 and below 1"):
            gpt2(ids, params, 3, p_drop=wrong, rng=np.random.default_rng(0))


def test_the_tests_and_functions_that_the_table_names_exist():
    repository = Path(__file__).parents[2]
    table = (repository / "docs" / "options.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", table))
    tests = "".join(path.read_text("utf-8") for path in repository.glob("tests/*/test_*.py"))
    assert len(named) > 15
    assert named - set(re.findall(r"^def (test_\w+)", tests, re.M)) == set()
    places = set(re.findall(r"`([\w/]+\.py):(\w+)`", table))
    assert len(places) > 6
    for file, function in places:
        assert f"def {function}(" in (repository / "picogpt" / file).read_text(encoding="utf-8")
    assert all(f"`{option}`" in table for option in OPTIONS)


def test_where_relu_bends_its_slope_is_0_as_pytorchs():
    np.testing.assert_array_equal(relu_backward(np.full(3, 5.0), np.array([-1.0, 0.0, 2.0])), [0, 0, 5])
