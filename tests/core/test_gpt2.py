import math

import numpy as np
import pytest
from compare import NoFloat64, relative_error

from picogpt.generate import generate, left_pad
from picogpt.gpt2 import KVCache, gpt2
from picogpt.params.init import init_params
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, tree_map, walk

TINY = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)


def random_model(seed=0, **hparams):
    """Return random float64 parameters, far from those of an untrained model, and n_head."""
    rng = np.random.default_rng(seed)
    shapes = param_shapes(**hparams)
    return tree_map(lambda shape: 0.5 * rng.standard_normal(shape), shapes), hparams["n_head"]


def in_pieces(ids, sizes, params, n_head, **settings):
    """Return the logits of `ids`, read into a cache in pieces of these sizes."""
    cache = KVCache(params, n_head, len(ids))
    ends = np.cumsum(sizes)
    return np.concatenate(
        [
            gpt2(ids[:, end - size : end], params, n_head, cache, **settings)
            for end, size in zip(ends, sizes, strict=True)
        ],
        axis=1,
    )


def splits(n):
    """Yield all ways to write n as an ordered sum of positive numbers."""
    yield [n]
    for first in range(1, n):
        yield from ([first, *rest] for rest in splits(n - first))


def arrays_in(acts):
    """Yield (path, array) of everything in the activations."""
    return ((path, leaf) for path, leaf in walk(acts) if leaf is not None)


def test_logits_are_hugging_faces(tiny, pytorch_says):
    logits = gpt2(tiny.ids, tiny.params, tiny.n_head)
    assert logits.shape == (2, 7, 17)
    assert np.abs(logits - pytorch_says["tiny"]["logits"]).max() < 1e-12


def test_logits_in_float32_are_hugging_faces(tiny32, pytorch_says):
    logits = gpt2(tiny32.ids, tiny32.params, tiny32.n_head)
    assert logits.dtype == np.float32
    assert np.abs(logits - pytorch_says["tiny"]["logits"]).max() < 1e-5


def test_greedy_text_is_hugging_faces(tiny, pytorch_says):
    theirs = pytorch_says["continuations"]
    for use_cache in (True, False):
        settings = dict(n_new=7, use_cache=use_cache)
        assert (
            generate(tiny.params, tiny.n_head, theirs["prompts"].tolist(), **settings)
            == theirs["new"].tolist()
        )


def test_greedy_text_of_a_ragged_batch_is_hugging_faces(tiny, pytorch_says):
    theirs = pytorch_says["continuations"]
    prompts = [row[pad:].tolist() for row, pad in zip(theirs["ragged"], theirs["ragged_pad"], strict=True)]
    for use_cache in (True, False):
        new = generate(tiny.params, tiny.n_head, prompts, n_new=6, use_cache=use_cache)
        assert new == theirs["ragged_new"].tolist()


def test_logits_of_a_ragged_batch_are_hugging_faces(tiny, pytorch_says):
    theirs = pytorch_says["continuations"]
    pads = theirs["ragged_pad"]
    logits = gpt2(theirs["ragged"], tiny.params, tiny.n_head, pad=pads)
    assert np.isfinite(logits).all()
    for b, pad in enumerate(pads):
        assert np.abs(logits[b, pad:] - theirs["ragged_logits"][b, pad:]).max() < 1e-12


def test_the_records_of_hugging_face_are_what_it_says_today(pytorch_says):
    pytest.importorskip(
        "transformers", reason="the recorded logits stand for Hugging Face, which is not installed"
    )
    from record import pytorch

    params = pytorch.tiny_params(np.random.default_rng(5))
    live = pytorch.flatten(
        dict(
            tiny=pytorch.tiny(np.random.default_rng(2), params),
            continuations=pytorch.continuations(np.random.default_rng(3), params),
        )
    )
    recorded = flatten(dict(tiny=pytorch_says["tiny"], continuations=pytorch_says["continuations"]))
    assert list(live) == list(recorded)
    for name, array in live.items():
        np.testing.assert_allclose(array, recorded[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("sizes", list(splits(7)), ids=lambda sizes: "+".join(map(str, sizes)))
def test_cache_gives_the_same_logits(sizes, tiny):
    whole = gpt2(tiny.ids, tiny.params, tiny.n_head)
    assert np.abs(in_pieces(tiny.ids, sizes, tiny.params, tiny.n_head) - whole).max() < 1e-12


def test_cache_holds_up_to_the_last_position(tiny):
    ids = np.random.default_rng(0).integers(0, 17, (3, 11))
    whole = gpt2(ids, tiny.params, tiny.n_head)
    for sizes in ([11], [10, 1], [1] * 11, [4, 7]):
        assert np.abs(in_pieces(ids, sizes, tiny.params, tiny.n_head) - whole).max() < 1e-12


def test_cache_counts_the_tokens_and_keeps_the_models_dtype(tiny32):
    cache = KVCache(tiny32.params, tiny32.n_head, batch=2)
    assert cache.kv.shape == (2, 2, 2, 3, 11, 4)  # n_layer, keys and values, B, H, n_ctx, D
    assert cache.kv.dtype == np.float32
    for length in (3, 4, 7):
        gpt2(tiny32.ids[:, cache.length : length], tiny32.params, tiny32.n_head, cache)
        assert cache.length == length


def test_a_row_of_a_batch_is_the_row_alone(tiny):
    whole = gpt2(tiny.ids, tiny.params, tiny.n_head)
    for b in range(2):
        alone = gpt2(tiny.ids[b : b + 1], tiny.params, tiny.n_head)
        assert np.abs(whole[b] - alone[0]).max() < 1e-12


def test_a_row_of_a_ragged_batch_is_the_row_alone(tiny):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 17, length).tolist() for length in (6, 1, 4, 6, 2)]
    ids, pad = left_pad(rows)
    logits = gpt2(ids, tiny.params, tiny.n_head, pad=pad)
    for b, row in enumerate(rows):
        alone = gpt2([row], tiny.params, tiny.n_head)
        assert np.abs(logits[b, pad[b] :] - alone[0]).max() < 1e-12


@pytest.mark.parametrize("sizes", [[6, 1, 1, 1, 1, 1], [6, 2, 3], [2, 4, 5], [1] * 11], ids=str)
def test_a_row_of_a_ragged_batch_with_cache_is_the_row_alone(sizes, tiny):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 17, length + 5).tolist() for length in (6, 1, 4)]
    ids, pad = left_pad(rows)
    logits = in_pieces(ids, sizes, tiny.params, tiny.n_head, pad=pad)
    assert np.isfinite(logits).all()
    for b, row in enumerate(rows):
        alone = gpt2([row], tiny.params, tiny.n_head)
        assert np.abs(logits[b, pad[b] :] - alone[0]).max() < 1e-12


def test_what_stands_in_the_padding_does_not_matter(tiny):
    pad = np.array([3, 0])
    other = tiny.ids.copy()
    other[0, :3] = [16, 0, 9]
    assert (other != tiny.ids).any()
    before, after = (gpt2(ids, tiny.params, tiny.n_head, pad=pad) for ids in (tiny.ids, other))
    assert np.array_equal(before[0, 3:], after[0, 3:])
    assert np.array_equal(before[1], after[1])


def test_a_token_does_not_see_what_comes_after_it(tiny):
    before = gpt2(tiny.ids, tiny.params, tiny.n_head)
    for t in range(7):
        changed = tiny.ids.copy()
        changed[:, t] = (changed[:, t] + 1) % 17
        after = gpt2(changed, tiny.params, tiny.n_head)
        assert np.array_equal(before[:, :t], after[:, :t])
        assert (before[:, t:] != after[:, t:]).any(axis=-1).all()


def test_n_last_is_the_last_columns(tiny):
    whole = gpt2(tiny.ids, tiny.params, tiny.n_head)
    last = gpt2(tiny.ids, tiny.params, tiny.n_head, n_last=1)
    assert last.shape == (2, 1, 17)
    assert np.abs(last - whole[:, -1:]).max() < 1e-13
    cache = KVCache(tiny.params, tiny.n_head, batch=2)
    gpt2(tiny.ids[:, :4], tiny.params, tiny.n_head, cache, n_last=1)
    last = gpt2(tiny.ids[:, 4:], tiny.params, tiny.n_head, cache, n_last=1)
    assert np.abs(last - whole[:, -1:]).max() < 1e-12


def test_acts_hold_one_dict_for_each_block_and_one_for_the_model(tiny):
    acts = []
    logits = gpt2(tiny.ids, tiny.params, tiny.n_head, acts=acts)
    block, again, model = acts
    assert set(block) == set(again)
    shapes = {name: x.shape for name, x in block.items() if x is not None}
    stream, heads = (2, 7, 12), (2, 3, 7, 4)
    assert shapes == dict(
        x=stream, ln_1=stream, q=heads, k=heads, v=heads, heads=stream, x_mid=stream, ln_2=stream
    ) | dict(c_fc=(2, 7, 48), gelu=(2, 7, 48))
    assert {name: x.shape for name, x in model.items() if x is not None} == dict(
        x=stream, ln_f=stream, mask=(7, 7)
    )
    assert relative_error(model["ln_f"] @ tiny.params["wte"].T, logits) < 1e-12
    assert np.array_equal(block["x"], tiny.params["wte"][tiny.ids] + tiny.params["wpe"][:7])


@pytest.mark.parametrize("p_drop", [0.0, 0.1])
def test_every_activation_is_float32(p_drop, tiny32):
    acts = []
    logits = gpt2(tiny32.ids, tiny32.params, 3, acts=acts, p_drop=p_drop, rng=np.random.default_rng(0))
    arrays = dict(arrays_in(acts), logits=logits)
    assert len(arrays) == 2 * (13 if p_drop else 10) + (4 if p_drop else 3) + 1
    assert {path: x.dtype for path, x in arrays.items()} == dict.fromkeys(arrays, np.dtype(np.float32))


def test_no_operation_of_the_model_works_in_float64(tiny32):
    params = tree_map(lambda w: w.view(NoFloat64), tiny32.params)
    cache = KVCache(params, 3, batch=2)
    cache.kv = cache.kv.view(NoFloat64)
    for settings in ({}, dict(pad=np.array([0, 3])), dict(p_drop=0.1, rng=np.random.default_rng(0))):
        assert isinstance(gpt2(tiny32.ids, params, 3, **settings), NoFloat64)
    gpt2(tiny32.ids[:, :4], params, 3, cache, n_last=1)
    assert isinstance(gpt2(tiny32.ids[:, 4:], params, 3, cache), NoFloat64)


def test_the_parameters_stay_as_they_are(tiny32):
    before = tree_map(np.copy, tiny32.params)
    for w in flatten(tiny32.params).values():
        w.flags.writeable = False
    cache = KVCache(tiny32.params, 3, batch=2)
    gpt2(
        tiny32.ids,
        tiny32.params,
        3,
        cache,
        acts=[],
        pad=np.array([0, 1]),
        p_drop=0.5,
        rng=np.random.default_rng(0),
    )
    for path, w in walk(tiny32.params):
        assert np.array_equal(w, flatten(before)[path]), path


def test_dropout_is_reproducible_and_off_by_default(tiny):
    def logits(seed, p_drop):
        return gpt2(tiny.ids, tiny.params, 3, p_drop=p_drop, rng=np.random.default_rng(seed))

    assert np.array_equal(logits(1, 0.3), logits(1, 0.3))
    assert not np.array_equal(logits(1, 0.3), logits(2, 0.3))
    assert np.array_equal(logits(1, 0.0), gpt2(tiny.ids, tiny.params, 3))


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ([[0, 17, 3]], "token id 17 is not in this model's vocabulary of 0 to 16"),
        ([[0, -1, 3]], "token id -1 is not in this model's vocabulary of 0 to 16"),
        ([[50257, -2]], "token id -2 is not in this model's vocabulary of 0 to 16"),
        ([[0.0, 1.0]], "not float64 [1, 2]"),
        ([[True, False]], "not bool [1, 2]"),
        ([0, 1, 2], "not int64 [3]"),
        (5, "not int64 []"),
        ([[[5]]], "not int64 [1, 1, 1]"),
        ([[]], "not float64 [1, 0]"),
        (np.zeros((0, 3), int), "not int64 [0, 3]"),
        ([[0] * 12], "+ 12 tokens do not fit into the 11 positions"),
    ],
)
def test_ids_that_the_model_cannot_read_are_an_error_that_says_why(ids, sentence, tiny):
    for length in (0, 4):
        cache = KVCache(tiny.params, tiny.n_head)
        if length:
            gpt2([[1] * length], tiny.params, tiny.n_head, cache)
        with pytest.raises(ValueError) as error:
            gpt2(ids, tiny.params, tiny.n_head, cache)
        assert sentence in str(error.value)
        assert cache.length == length


def test_tokens_beyond_the_context_are_an_error_that_leaves_the_cache_as_it_was(tiny):
    cache = KVCache(tiny.params, tiny.n_head, batch=2)
    gpt2(tiny.ids, tiny.params, tiny.n_head, cache)
    with pytest.raises(ValueError, match=r"^7 \+ 5 tokens do not fit into the 11 positions"):
        gpt2(tiny.ids[:, :5], tiny.params, tiny.n_head, cache)
    assert cache.length == 7
    after_failure = gpt2(tiny.ids[:, :4], tiny.params, tiny.n_head, cache)
    assert cache.length == 11
    whole = gpt2(np.concatenate([tiny.ids, tiny.ids[:, :4]], axis=1), tiny.params, tiny.n_head)
    assert np.abs(after_failure - whole[:, 7:]).max() < 1e-12
    with pytest.raises(ValueError, match=r"^11 \+ 1 tokens"):
        gpt2(tiny.ids[:, :1], tiny.params, tiny.n_head, cache)


@pytest.mark.parametrize(
    "changes",
    [
        dict(n_vocab=3),
        dict(n_layer=1),
        dict(n_head=1),
        dict(n_head=12),
        dict(n_ctx=1),
        dict(n_vocab=3, n_ctx=1, n_embd=1, n_head=1, n_layer=1),
        dict(n_vocab=50257, n_embd=2, n_head=2),
        dict(n_embd=3),
    ],
    ids=str,
)
def test_models_of_every_size_work(changes):
    hparams = TINY | changes
    params, n_head = random_model(**hparams)
    n_vocab, n_ctx = hparams["n_vocab"], hparams["n_ctx"]
    ids = np.random.default_rng(0).integers(0, n_vocab, (2, n_ctx))
    ids[0, 0] = n_vocab - 1
    logits = gpt2(ids, params, n_head)
    assert logits.shape == (2, n_ctx, n_vocab)
    assert np.isfinite(logits).all()
    assert relative_error(in_pieces(ids, [1] * n_ctx, params, n_head), logits) < 1e-12


def test_one_head_is_the_formula_written_out():
    """An independent GPT-2 with one head and one layer, token by token, without any function of ours."""
    params, n_head = random_model(**TINY | dict(n_head=1, n_layer=1))
    (block,) = params["blocks"]
    ids = [3, 16, 0, 3]

    def norm(x, g, b):
        return (x - x.mean()) / math.sqrt(x.var() + 1e-5) * g + b

    def gelu(x):
        return np.array(
            [v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x.tolist()]
        )

    def dense(x, w, b):
        return x @ w + b

    seen, logits = [], []
    for t, i in enumerate(ids):
        x = params["wte"][i] + params["wpe"][t]
        q, k, v = dense(norm(x, **block["ln_1"]), **block["attn"]["c_attn"]).reshape(3, 12)
        seen.append((k, v))
        weights = [math.exp(q @ k / math.sqrt(12)) for k, _ in seen]
        mixed = sum(weight * v for weight, (_, v) in zip(weights, seen, strict=True)) / sum(weights)
        x = x + dense(mixed, **block["attn"]["c_proj"])
        hidden = gelu(dense(norm(x, **block["ln_2"]), **block["mlp"]["c_fc"]))
        x = x + dense(hidden, **block["mlp"]["c_proj"])
        logits.append(params["wte"] @ norm(x, **params["ln_f"]))
    assert relative_error(gpt2([ids], params, n_head)[0], logits) < 1e-12


def test_an_untrained_model_has_the_published_statistics():
    hparams = dict(n_vocab=300, n_ctx=100, n_embd=96, n_head=4, n_layer=8)
    params = init_params(hparams, np.random.default_rng(0))
    assert {path: w.shape for path, w in walk(params)} == flatten(param_shapes(**hparams))
    for path, w in walk(params):
        assert w.dtype == np.float32, path
        if path.endswith(".g"):
            assert (w == 1).all(), path
        elif path.endswith(".b"):
            assert (w == 0).all(), path
        else:
            std = 0.02 / math.sqrt(2 * 8) if path.endswith("c_proj.w") else 0.02
            assert abs(w.std() / std - 1) < 5 / math.sqrt(2 * w.size), path  # five standard deviations
            assert abs(w.mean()) < 5 * std / math.sqrt(w.size), path


def test_an_untrained_model_is_reproducible_and_knows_nothing():
    first, again = (init_params(TINY, np.random.default_rng(0)) for _ in range(2))
    for path, w in walk(first):
        assert np.array_equal(w, flatten(again)[path])
    assert init_params(TINY, np.random.default_rng(0), np.float64)["wte"].dtype == np.float64
    assert np.abs(gpt2([[0, 1, 2]], first, 3)).max() < 0.5  # near 0: all tokens are about as likely


@pytest.mark.parametrize("n_head", [0, -3, 5])
def test_heads_that_do_not_divide_the_channels_are_an_error(n_head, tiny):
    with pytest.raises(ValueError, match=f"n_embd 12 does not divide evenly into n_head {n_head} heads"):
        gpt2(tiny.ids, tiny.params, n_head)


@pytest.mark.parametrize(("batch", "rows"), [(1, 2), (2, 1)])
def test_a_cache_for_another_batch_is_an_error(batch, rows, tiny):
    cache = KVCache(tiny.params, 3, batch)
    with pytest.raises(ValueError, match=f"for {batch} rows and 3 heads, not for {rows} and 3"):
        gpt2(tiny.ids[:rows], tiny.params, 3, cache)


@pytest.mark.parametrize("pad", [[-1, 0], [1], [[0, 0]]])
def test_a_pad_that_is_not_a_count_for_each_row_is_an_error(pad, tiny):
    with pytest.raises(ValueError, match="pad must be a count for each of 2 rows"):
        gpt2(tiny.ids, tiny.params, 3, pad=pad)


def test_dropout_by_a_numpy_probability_keeps_float32(tiny32):
    settings = dict(p_drop=np.float64(0.1), rng=np.random.default_rng(0))
    assert gpt2(tiny32.ids, tiny32.params, 3, **settings).dtype == np.float32


@pytest.mark.parametrize("wrong", [dict(p_drop=0.1), dict(p_drop=1.0, rng=np.random.default_rng(0))])
def test_dropout_without_a_generator_or_of_everything_is_an_error(wrong, tiny):
    with pytest.raises(ValueError, match="p_drop must be at least 0 and below 1, and needs an rng"):
        gpt2(tiny.ids, tiny.params, 3, **wrong)
