"""Decoding: the choice of a token, batches, the full context, stops."""

import contextlib
import itertools
import logging
import math

import numpy as np
import pytest

from picogpt.checkpoints.weights import shipped
from picogpt.generate import GREEDY, Choice, generate, keep_top_k, keep_top_p, left_pad, sample, stream
from picogpt.gpt2 import KVCache, gpt2
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.speed.prefill import prefill
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder
from picogpt.text.stop import stop_at, until

HPARAMS = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)
N_HEAD = HPARAMS["n_head"]
PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]


@pytest.fixture(scope="module")
def params():
    """A random model whose greedy text is not one token repeated."""
    return tree_map(lambda w: w * 20, init_params(HPARAMS, np.random.default_rng(5)))


def naive_greedy(params, prompt, n_new, n_ctx=HPARAMS["n_ctx"]):
    """The tutorial's loop, no cache and no batch; a full context goes on from its newest half."""
    ids, new = list(prompt), []
    for _ in range(n_new):
        if len(ids) > n_ctx:
            ids = ids[-max(1, n_ctx // 2) :]
        new.append(int(gpt2([ids], params, N_HEAD)[0, -1].argmax()))
        ids.append(new[-1])
    return new


# The choice of a token


def test_temperature_zero_is_greedy():
    logits = np.array([[0.0, 3.0, 2.0], [5.0, 1.0, -1.0]])
    assert sample(logits, GREEDY, [None, None]).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_follow_the_softmax_of_logits_over_temperature(temperature):
    logits, n, rng = np.array([[1.0, 2.0, 0.0, -1.0]]), 20_000, np.random.default_rng(0)
    counts = np.bincount([sample(logits, Choice(temperature), [rng])[0] for _ in range(n)], minlength=4)
    weights = [math.exp(x / temperature) for x in logits[0]]
    expected = np.array(weights) / sum(weights)
    assert np.abs(counts / n - expected).max() < 4 * math.sqrt(0.25 / n)  # four standard deviations


def test_top_k_keeps_the_k_largest_and_their_equals():
    logits = np.array([[1.0, 3.0, 2.0, 2.0, 0.0]])
    kept = {k: np.flatnonzero(np.isfinite(keep_top_k(logits, k))).tolist() for k in range(7)}
    everything = [0, 1, 2, 3, 4]
    assert kept == {
        0: everything,
        1: [1],
        2: [1, 2, 3],
        3: [1, 2, 3],
        4: [0, 1, 2, 3],
        5: everything,
        6: everything,
    }


@pytest.mark.parametrize(
    ("probs", "p", "openai", "hf"),
    [
        ([0.5, 0.41, 0.09], 0.9, 1, 2),
        ([0.4, 0.3, 0.2, 0.1], 0.8, 2, 3),
        ([0.9, 0.1], 0.5, 1, 1),  # the first token stays, even if it crosses
        ([0.25, 0.5, 0.125, 0.125], 1.0, 4, 4),
    ],
)
def test_top_p_drops_or_keeps_the_token_that_crosses_p(probs, p, openai, hf):
    for rule, n_kept in (("openai", openai), ("hf", hf)):
        kept = np.isfinite(keep_top_p(np.log([probs]), p, rule))[0]
        assert kept.sum() == n_kept
        assert set(np.flatnonzero(kept)) == set(np.argsort(probs)[::-1][:n_kept])


@pytest.mark.parametrize(
    ("logits", "p", "n_kept"),  # counted in float64; transformers 5.24's TopPLogitsWarper keeps as many
    [
        (np.log(np.array([0.5, 0.3, 0.1, 0.1], np.float32)), 0.8, 2),  # the sum is p, up to rounding
        (np.r_[0, np.log(2e-8) - np.arange(50_000) * 1e-6].astype(np.float32), 0.9995, 24_034),
        (-1.5 * np.log(np.arange(1, 50_258, dtype=np.float32)), 0.999, 30_116),
        (np.random.default_rng(0).normal(size=(1, 50_257)).astype(np.float32)[0] * 4, 0.9999, 16_783),
        (np.random.default_rng(0).normal(size=(1, 50_257)).astype(np.float32)[0] * 4, 0.99, 1_412),
    ],
)
def test_top_p_counts_as_in_float64(logits, p, n_kept):
    probs = np.exp(logits.astype(np.float64))
    descending = np.sort(probs / probs.sum())[::-1]
    assert (descending.cumsum() < p).sum() + 1 == n_kept
    kept = {rule: keep_top_p(logits[None], p, rule) for rule in ("hf", "openai")}
    assert np.isfinite(kept["hf"]).sum() == n_kept
    assert 0 <= np.isfinite(kept["openai"]).sum() - max(1, (descending.cumsum() <= p).sum()) <= 1  # equals
    assert {rows.dtype for rows in kept.values()} == {logits.dtype}


@pytest.mark.parametrize(
    ("logits", "kept"), [([1, 1, 1, 1, 1], [2, 3, 4]), ([2, 1, 1, 1, 0], [0, 3]), ([0, 1, 1, 1, 2], [3, 4])]
)
def test_of_equals_top_p_keeps_as_many_as_it_needs_by_the_rule_hf(logits, kept):
    logits = np.array([logits], np.float32)  # what transformers keeps of them at p = .5
    assert np.flatnonzero(np.isfinite(keep_top_p(logits, 0.5, "hf"))).tolist() == kept
    assert np.isfinite(keep_top_p(logits, 0.5)).sum() >= len(kept) - 1


def test_filters_equal_those_of_hugging_face():
    pytest.importorskip("torch", reason="compares with Hugging Face's filters where PyTorch is installed")
    process = pytest.importorskip("transformers.generation.logits_process", reason="needs transformers")
    import torch

    logits = np.random.default_rng(1).normal(scale=3, size=(50, 40))
    for k, p in itertools.product((1, 3, 39), (0.1, 0.5, 0.95)):
        top_k = process.TopKLogitsWarper(k)(None, torch.tensor(logits)).numpy()
        top_p = process.TopPLogitsWarper(p)(None, torch.tensor(logits)).numpy()
        np.testing.assert_array_equal(keep_top_k(logits, k), top_k)
        np.testing.assert_array_equal(keep_top_p(logits, p, "hf"), top_p)


def test_top_p_equals_openais_rule_on_random_logits():
    for logits in np.random.default_rng(2).normal(scale=3, size=(50, 1, 40)):
        descending = np.sort(softmax(logits)[0])[::-1]
        n_kept = max(
            sum(total <= 0.7 for total in itertools.accumulate(descending)), 1
        )  # sample.py's top_p_logits
        assert np.isfinite(keep_top_p(logits, 0.7, "openai")).sum() == n_kept


def test_a_seed_makes_the_same_text_and_another_seed_another(params):
    texts = [generate(params, N_HEAD, PROMPTS, 6, Choice(temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_top_k_of_one_is_greedy(params):
    greedy = generate(params, N_HEAD, PROMPTS, 6)
    assert generate(params, N_HEAD, PROMPTS, 6, Choice(temperature=1.0, top_k=1, seed=0)) == greedy


# Batches, the cache, the context


def test_the_greedy_text_is_that_of_the_plain_loop(params):
    assert generate(params, N_HEAD, PROMPTS[:1], 6) == [naive_greedy(params, PROMPTS[0], 6)]


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_row_of_a_ragged_batch_gives_what_it_gives_alone_also_beyond_the_context(params, use_cache):
    rows = generate(params, N_HEAD, PROMPTS, 40, use_cache=use_cache)
    assert rows == [naive_greedy(params, prompt, 40) for prompt in PROMPTS]
    assert len({tuple(row) for row in rows}) == len(rows)


def test_a_sampled_row_does_not_depend_on_the_rows_after_it(params):
    batch = generate(params, N_HEAD, PROMPTS, 8, Choice(temperature=1.0, seed=3))
    alone = generate(params, N_HEAD, PROMPTS[:1], 8, Choice(temperature=1.0, seed=3))
    assert batch[:1] == alone


@pytest.mark.parametrize("n_ctx", [1, 2, 3, 11])
def test_text_goes_on_beyond_the_context_for_every_length_of_it(n_ctx):
    params = tree_map(lambda w: w * 20, init_params(HPARAMS | dict(n_ctx=n_ctx), np.random.default_rng(5)))
    assert generate(params, N_HEAD, [[3]], 30) == [naive_greedy(params, [3], 30, n_ctx)]


def test_a_full_context_is_reported_once(params, caplog):
    with caplog.at_level(logging.WARNING, "picogpt"):
        generate(params, N_HEAD, PROMPTS, 40)
    assert [record.getMessage() for record in caplog.records] == [
        "the context of 11 tokens is full: going on from its newest half"
    ]


def test_a_full_context_can_be_an_error(params):
    with pytest.raises(ValueError, match="all 11 positions"):
        generate(params, N_HEAD, [[3] * 11], 2, overflow="error")
    assert len(generate(params, N_HEAD, [[3] * 11], 1, overflow="error")[0]) == 1


def test_a_prompt_may_fill_the_context_but_not_exceed_it(params):
    assert generate(params, N_HEAD, [[3] * 11], 1) == [naive_greedy(params, [3] * 11, 1)]
    with pytest.raises(ValueError, match="12 tokens does not fit into the 11 positions"):
        generate(params, N_HEAD, [[3] * 12], 1)
    with pytest.raises(ValueError, match="in each at least one id"):
        generate(params, N_HEAD, [[]], 1)


def test_prompts_are_left_as_they_were(params):
    prompts = [[1, 2], [3]]
    generate(params, N_HEAD, prompts, 4)
    assert prompts == [[1, 2], [3]]


@pytest.mark.parametrize(
    "wrong",
    [
        dict(temperature=-0.1),
        dict(temperature=math.nan),
        dict(top_k=-1),
        dict(top_p=0.0),
        dict(top_p=1.1),
        dict(top_p_rule="other"),
    ],
)
def test_settings_out_of_range_are_named(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=f"{name} must be .* not {value}"):
        Choice(**wrong)


def test_an_overflow_that_is_none_is_named(params):
    with pytest.raises(ValueError, match="overflow must be slide or error, not crash"):
        stream(params, N_HEAD, PROMPTS, 1, overflow="crash")


# Streams and stops


def test_a_stream_computes_only_what_is_taken_from_it(params, monkeypatch):
    calls = []
    for module in ("generate", "speed.guess", "speed.prefill"):
        monkeypatch.setattr(
            f"picogpt.{module}.gpt2", lambda *args, **more: calls.append(1) or gpt2(*args, **more)
        )
    steps = stream(params, N_HEAD, [[1]], 1000)
    next(steps), next(steps)
    assert len(calls) == 2


def test_a_row_ends_at_a_stop_id_and_the_others_go_on(params):
    free = generate(params, N_HEAD, PROMPTS, 8)
    stop = free[0][2]
    rows = generate(params, N_HEAD, PROMPTS, 8, finished=lambda ids: ids[-1] == stop)
    for row, whole in zip(rows, free, strict=True):
        assert row == whole[: whole.index(stop) + 1 if stop in whole else 8]
    assert len(rows[0]) <= 3 < max(map(len, rows))


def test_a_stream_ends_when_all_rows_have(params):
    assert generate(params, N_HEAD, PROMPTS, 8, finished=lambda ids: True) == [
        row[:1] for row in generate(params, N_HEAD, PROMPTS, 1)
    ]


def test_until_equals_cutting_the_whole_text():
    rng = np.random.default_rng(0)
    for _ in range(500):
        pieces = ["".join(rng.choice(list("ab\n"), size=rng.integers(0, 4))) for _ in range(6)]
        stops = [
            "".join(rng.choice(list("ab\n"), size=rng.integers(1, 4))) for _ in range(rng.integers(0, 3))
        ]
        text = "".join(pieces)
        whole = text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]
        assert "".join(until(pieces, stops)) == whole


def test_until_shows_text_as_soon_as_no_stop_can_begin_in_it():
    shown = until(iter(["xa", "b", "y", "ab", "c", "never"]), ["abc"])
    assert list(shown) == ["x", "aby"]


def test_a_stop_string_is_found_where_it_straddles_tokens():
    encoder = CharEncoder("abc")
    finished = stop_at(encoder, stops=["abc"])
    assert [finished(encoder.encode("aabcb")[:n]) for n in range(1, 6)] == [False, False, False, True, False]
    assert stop_at(encoder, stop_ids=[2])([0, 2])


def test_a_stop_string_is_found_where_each_of_its_bytes_is_a_token():
    encoder = load_encoder(shipped("gpt2-bpe"), 257)
    ids = encoder.encode("in 日本!")
    assert len(ids) == 10
    for stops in (["日本"], ["x", "日本"], ["日本", "x"]):
        finished = stop_at(encoder, stops=stops)
        assert [finished(ids[:n]) for n in range(1, 11)] == [n == 9 for n in range(1, 11)]
    assert stop_at(encoder, [encoder.eot], ["日本"])([5, encoder.eot])
    assert not stop_at(encoder)([5])


def test_of_several_stops_the_first_in_the_text_ends_it():
    assert "".join(until(["one two three"], ["three", "two"])) == "one "
    assert "".join(until(["one", " tw"], ["two"])) == "one tw"  # what was held back is shown at the end


def test_text_that_may_begin_a_stop_is_shown_when_the_next_piece_is_interrupted():
    def pieces():
        yield "one tw"
        raise KeyboardInterrupt

    shown = []
    with pytest.raises(KeyboardInterrupt):
        shown.extend(until(pieces(), ["two"]))
    assert list(collect(until(pieces(), ["two"]))) == ["one ", "tw"]


def collect(steps):
    """Yield what comes until an interrupt."""
    with contextlib.suppress(KeyboardInterrupt):
        yield from steps


def test_rows_that_have_ended_do_not_fill_the_context(params, caplog):
    first = naive_greedy(params, [5] * 10, 1)[0]
    other = next(i for i in range(17) if first not in naive_greedy(params, [i], 9))
    prompts, settings = [[5] * 10, [other]], dict(finished=lambda ids: ids[-1] == first)
    assert generate(params, N_HEAD, prompts, 9, overflow="error", **settings) == [
        [first],
        naive_greedy(params, [other], 9),
    ]
    assert caplog.records == []


def test_a_stream_refuses_its_prompts_at_once(params):
    for prompts, n_new in (([], 1), ([1, 2], 1), ([[]], 1), ([[1]], -1), ([[1]], 10**20), ([[1]], 2.5)):
        with pytest.raises(ValueError, match="must be"):
            stream(params, N_HEAD, prompts, n_new)
    with pytest.raises(ValueError, match="top_k"):
        Choice(top_k=2.0)


@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 1e-46, 5e-324])
def test_a_temperature_near_zero_is_nearly_greedy(temperature):
    logits = np.array([[1.0, 3.0, 2.0]], np.float32)
    assert sample(logits, Choice(temperature), [np.random.default_rng(0)]).tolist() == [1]


def test_an_interrupt_brings_out_the_text_that_was_held_back():
    def pieces():
        yield "abc\n"
        raise KeyboardInterrupt

    shown = []
    with pytest.raises(KeyboardInterrupt):
        shown.extend(piece for piece in until(pieces(), ["\n\n"]) if shown.append(piece))
    assert "".join(shown) == "abc\n"


# What is computed, and how much of it

HPARAMS_16 = dict(n_vocab=17, n_ctx=16, n_embd=12, n_head=3, n_layer=2)


def test_left_padding_is_counted():
    ids, pad = left_pad([[1, 2, 3], [4]])
    assert ids.tolist() == [[1, 2, 3], [0, 0, 4]]
    assert pad.tolist() == [0, 2]
    assert left_pad([[1], [2]])[1] is None


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_text_beyond_the_context_reads_about_one_token_more_for_each(monkeypatch, n_rows):
    params = tree_map(lambda w: w * 20, init_params(HPARAMS_16, np.random.default_rng(5)))
    n_read = []
    monkeypatch.setattr(
        "picogpt.generate.prefill", lambda ids, *more: n_read.append(ids.shape[1]) or prefill(ids, *more)
    )
    generate(params, 3, [[1, 2]] * n_rows, 200, guesser=False)
    assert set(n_read[1:]) == {8}  # half the context, each time
    assert sum(n_read) <= 200 + 16


def test_the_cache_has_no_more_room_than_is_needed(monkeypatch):
    params, made = init_params(HPARAMS_16, np.random.default_rng(0)), []

    class Cache(KVCache):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self.kv.shape[-2])

    monkeypatch.setattr("picogpt.generate.KVCache", Cache)
    generate(params, 3, [[1, 2, 3], [4]], 5)
    generate(params, 3, [[1, 2, 3]], 14)
    generate(params, 3, [[1, 2, 3]], 15)
    assert made == [8, 16, 16, 16]  # the last text outgrows the context, and all is read anew


def test_tokens_that_reach_p_exactly_are_enough_by_either_rule():
    logits = np.log([[0.25, 0.5, 0.25]])
    assert softmax(logits).tolist() == [[0.25, 0.5, 0.25]]  # so the sums are exact
    for rule, equals in (("openai", [0, 1, 2]), ("hf", [1, 2])):
        for p, kept in ((0.5, [1]), (0.75, equals)):
            assert np.flatnonzero(np.isfinite(keep_top_p(logits, p, rule))).tolist() == kept
