"""Penalties, biases, filters: as Hugging Face's processors; with cache, ragged rows, seeds and guesses."""

import json

import numpy as np
import pytest
from record import choices as record

from picogpt.choose.preferences import completing, keep_min_p, keep_typical
from picogpt.generate import Choice, generate, keep_top_k, sample, stream
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax

SAID = json.loads(record.RECORD.read_text(encoding="utf-8"))["processed"]
SETTINGS_OF_RECORD = list(zip([*record.PREFERENCES, *record.FILTERS], SAID, strict=True))
N = len(record.PREFERENCES)


@pytest.mark.parametrize(("settings", "said"), SETTINGS_OF_RECORD[:N], ids=str)
def test_what_depends_on_the_text_is_as_at_hugging_face(settings, said):
    for seed, expected in enumerate(said):
        logits, ids = record.random(seed)
        before = logits.copy()
        found = Choice(**settings).by_text(logits, ids.tolist())
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, of_record(expected), atol=1e-5)
        np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize(("settings", "said"), SETTINGS_OF_RECORD[N:], ids=str)
def test_filters_are_as_at_hugging_face(settings, said):
    for seed, expected in enumerate(said):
        logits, _ = record.random(seed)
        choice = Choice(temperature=1.0, **settings)
        found = choice.by_probability(keep_top_k(logits, choice.top_k))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, of_record(expected), atol=1e-5)


def of_record(rows):
    """The logits that were recorded; None is a hidden one."""
    return np.array([[-np.inf if x is None else x for x in row] for row in rows], np.float32)


@pytest.mark.parametrize(("settings", "said"), SETTINGS_OF_RECORD, ids=str)
def test_the_record_is_what_hugging_face_says_today(settings, said):
    pytest.importorskip("transformers")
    assert [record.processed(settings, seed) for seed in range(record.SEEDS)] == said


def test_filters_keep_what_their_definitions_say():
    logits = np.log([[0.5, 0.25, 0.15, 0.1]])  # surprises 0.69, 1.39, 1.90, 2.30; the entropy is 1.21
    assert np.isfinite(keep_min_p(logits, 0.3)).tolist() == [[True, True, True, False]]
    assert np.isfinite(keep_typical(logits, 0.2)).tolist() == [[False, True, False, False]]
    assert np.isfinite(keep_typical(logits, 0.7)).tolist() == [[True, True, False, False]]
    assert keep_min_p(logits, 0) is logits
    assert keep_typical(logits, 1.0) is logits


def test_sums_of_many_probabilities_are_in_float64():
    logits = 5 * np.random.default_rng(0).standard_normal((1, 50_257)).astype(np.float32)
    for p in (0.99, 0.9999):
        expected = np.isfinite(keep_typical(logits.astype(np.float64), p))
        np.testing.assert_array_equal(np.isfinite(keep_typical(logits, p)), expected)


def test_ids_that_complete_an_ngram():
    assert completing([5, 6, 5, 7, 5], 2) == [6, 7]
    assert completing([5, 6], 3) == []
    assert completing([5, 5], 2) == [5]
    assert completing([1, 2], 0) == []


def test_the_draws_follow_the_probabilities_that_are_left():
    logits, _ = record.random(0)
    choice = Choice(temperature=0.8, min_p=0.05, typical_p=0.9)
    left = choice.by_probability((logits[:1] - logits[:1].max()) / np.float32(0.8))
    rng = [np.random.default_rng(0)]
    drawn = np.bincount([sample(logits[:1], choice, rng)[0] for _ in range(4000)], minlength=12) / 4000
    assert np.abs(drawn - softmax(left)[0]).max() < 0.03
    assert set(np.flatnonzero(drawn)) <= set(np.flatnonzero(np.isfinite(left[0])))


SETTINGS = [
    dict(repetition_penalty=1.5),
    dict(no_repeat_ngram_size=2),
    dict(logit_bias={2: 4.0}, no_repeat_ngram_size=3),
    dict(temperature=1.2, seed=3, min_p=0.02, typical_p=0.9, repetition_penalty=1.2),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_cache_ragged_rows_seeds_and_guesses_change_nothing(settings, tiny):
    choice = Choice(**settings)
    prompts = [tiny.ids[0].tolist(), tiny.ids[1, :3].tolist()]
    plain = generate(tiny.params, tiny.n_head, prompts, 9, choice, use_cache=False)  # beyond the context
    assert generate(tiny.params, tiny.n_head, prompts, 9, choice) == plain
    assert generate(tiny.params, tiny.n_head, prompts, 9, choice) == plain
    alone = generate(tiny.params, tiny.n_head, prompts[:1], 9, choice, use_cache=False, guesser=False)
    assert alone == plain[:1]
    from picogpt.speed.guess import DraftModel, Lookup

    for guesser in (Lookup(1), DraftModel(tiny.params, tiny.n_head)):
        assert generate(tiny.params, tiny.n_head, prompts[:1], 9, choice, guesser=guesser) == alone


def test_the_text_that_slid_out_of_the_context_still_counts(tiny):
    choice = Choice(no_repeat_ngram_size=1)
    [new] = generate(tiny.params, tiny.n_head, [[4]], 16, choice)
    assert sorted([4, *new]) == list(range(17))  # each of the 17 tokens once
    with pytest.raises(ValueError, match="no token is left to choose"):
        generate(tiny.params, tiny.n_head, [[4]], 17, choice)


@pytest.mark.parametrize("settings", [*SETTINGS, {}], ids=str)
def test_log_probabilities_are_the_models_own(settings, tiny):
    found, prompts = [], [tiny.ids[0, :4].tolist(), tiny.ids[1, :2].tolist()]
    taken = list(stream(tiny.params, tiny.n_head, prompts, 5, Choice(**settings), log_probs=found))
    for b, prompt in enumerate(prompts):
        row = [*prompt, *(step[b] for step in taken)]
        probs = np.log(softmax(gpt2([row], tiny.params, tiny.n_head)))[0]
        expected = [probs[t - 1, row[t]] for t in range(len(prompt), len(row))]
        np.testing.assert_allclose([step[b] for step in found], expected, rtol=0, atol=1e-9)


def test_greedy_text_with_penalties_is_hugging_faces(tiny):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from record import pytorch

    from picogpt.params.tree import flatten

    model = pytorch.hugging_face(dict(flatten(tiny.params)), **pytorch.TINY)
    settings = dict(repetition_penalty=1.4, no_repeat_ngram_size=2)
    prompt = tiny.ids[:1, :3]
    text = model.generate(
        torch.from_numpy(prompt), max_new_tokens=8, do_sample=False, pad_token_id=0, **settings
    )
    assert generate(tiny.params, tiny.n_head, prompt.tolist(), 8, Choice(**settings)) == [
        text[0, 3:].tolist()
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict(repetition_penalty=0.0), "repetition_penalty must be a positive number, not 0.0"),
        (dict(repetition_penalty=float("nan")), "repetition_penalty must be a positive number, not nan"),
        (dict(no_repeat_ngram_size=-1), "no_repeat_ngram_size must be a whole number from 0 on, not -1"),
        (dict(no_repeat_ngram_size=1.0), "no_repeat_ngram_size must be a whole number from 0 on, not 1.0"),
        (dict(min_p=-0.1), "min_p must be from 0 to 1, not -0.1"),
        (dict(min_p=1.5), "min_p must be from 0 to 1, not 1.5"),
        (dict(typical_p=0.0), "typical_p must be more than 0 and at most 1, not 0.0"),
        (dict(logit_bias={-1: 2.0}), "logit_bias must be numbers for ids, not 2.0 for -1"),
        (dict(logit_bias={1: float("inf")}), "logit_bias must be numbers for ids, not inf for 1"),
        (dict(logit_bias={1: float("nan")}), "logit_bias must be numbers for ids, not nan for 1"),
    ],
)
def test_settings_that_mean_nothing_are_an_error(settings, says):
    with pytest.raises(ValueError, match=says):
        Choice(**settings)


def test_a_choice_of_nothing_is_an_error():
    logits = np.zeros((2, 3), np.float32)
    forbidden = Choice(logit_bias=dict.fromkeys(range(3), -np.inf))
    with pytest.raises(ValueError, match="no token is left to choose: logit_bias or no_repeat_ngram_size"):
        forbidden.by_text(logits, [[0], [1]])
    with pytest.raises(ValueError, match="no token is left to choose"):
        Choice(no_repeat_ngram_size=1).by_text(logits, [[0], [0, 1, 2]])
    assert Choice(no_repeat_ngram_size=1).by_text(logits, [[0], [0, 1]]).argmax(axis=-1).tolist() == [1, 2]


def test_a_bias_for_no_token_is_an_error(tiny):
    with pytest.raises(ValueError, match=r"logit_bias is for id 17, but the model's ids are 0\.\.16"):
        generate(tiny.params, tiny.n_head, [[1]], 2, Choice(logit_bias={17: 1.0}))
