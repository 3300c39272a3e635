"""Guesses make calls fewer and never change the text."""

from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints.weights import shipped
from picogpt.generate import Choice, generate
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.speed.guess import MORE, N_GUESS, DraftModel, Lookup
from picogpt.text import bpe

HPARAMS = dict(n_vocab=17, n_ctx=64, n_embd=12, n_head=3, n_layer=2)


def model(seed, factor=20, **changed):
    """A random model; the larger the factor, the more its choices depend on the text."""
    return tree_map(lambda w: w * factor, init_params(HPARAMS | changed, np.random.default_rng(seed)))


@pytest.fixture
def calls(monkeypatch):
    """The number of tokens in each call of the model."""
    counted = []

    def counting(ids, *args, **more):
        if "n_last" not in more:  # not a smaller model that guesses
            counted.append(len(ids[0]))
        return gpt2(ids, *args, **more)

    monkeypatch.setattr("picogpt.generate.gpt2", counting)
    monkeypatch.setattr("picogpt.speed.guess.gpt2", counting)
    return counted


def test_a_text_that_comes_around_is_expected_to_go_on_so():
    assert Lookup(3).guess([5, 1, 2, 3, 4, 9, 8, 1, 2, 3]) == [4, 9, 8, 1, 2, 3, 4]
    assert Lookup().guess([7, 7, 7, 7, 7]) == [7] * N_GUESS
    assert Lookup().guess([1, 2, 1, 2, 1, 2]) == [1, 2, 1, 2, 1, 2, 1]


def test_after_guesses_that_did_not_pay_more_must_agree_until_some_pay_twice_over():
    lookup = Lookup()
    for n_guessed, n_right, needed in (
        (7, 2, 4), (1, 1, 4), (7, 1, 12), (1, 0, 36), (7, 3, 36), (7, 4, 4), (2, 1, 12),
    ):  # fmt: skip
        lookup.learn(n_guessed, n_right)
        assert (lookup.needed, lookup.n_guess) == (needed, MORE if n_right == n_guessed else N_GUESS)
    assert (lookup.guessed, lookup.right, lookup.calls) == (32, 12, 7)


def test_with_compiled_products_more_guesses_must_be_right_to_pay(monkeypatch):
    monkeypatch.setattr("picogpt.speed.compiled.in_use", lambda: True)
    lookup = Lookup()
    for n_guessed, n_right, needed in ((7, 3, 4), (7, 2, 12), (7, 5, 12), (7, 6, 4), (2, 2, 4), (2, 1, 12)):
        lookup.learn(n_guessed, n_right)
        assert (lookup.needed, lookup.n_guess) == (needed, N_GUESS)


def test_as_many_tokens_agree_as_are_needed():
    row = [1, 2, 3, 4, 9, 1, 2, 3, 4]
    lookup = Lookup()
    assert lookup.guess(row)[:2] == [9, 1]
    lookup.needed = 5
    assert lookup.guess(row) == []
    assert lookup.guess([7, *row[:-1], 7, 1, 2, 3, 4]) == []
    lookup = Lookup()
    lookup.needed = 5
    assert lookup.guess([7, 1, 2, 3, 4, 9, 7, 1, 2, 3, 4])[:2] == [9, 7]


@pytest.mark.parametrize("row", [[], [1], [1, 2, 3], [1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 2, 3]])
def test_without_a_match_nothing_is_guessed(row):
    assert Lookup(3).guess(row) == []


def test_the_newest_match_counts_and_a_row_cut_short_is_read_anew():
    lookup = Lookup(3)
    assert lookup.guess([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3])[0] == 5
    assert lookup.guess([1, 2, 3, 4, 1, 2, 3])[0] == 4


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("temperature", [0, 0.7])
@pytest.mark.parametrize("n_new", [1, 2, 40, 150])
def test_the_text_is_the_same(seed, temperature, n_new):
    choice = Choice(temperature=temperature, seed=1)
    settings = dict(n_head=3, prompts=[[3, 1, 4]], n_new=n_new, choice=choice)
    params = model(seed)
    plain = generate(params, **settings, guesser=False)
    assert generate(params, **settings, guesser=Lookup()) == plain
    draft = DraftModel(model(seed, 19, n_layer=1), 3)
    assert generate(params, **settings, guesser=draft) == plain


def test_a_text_that_loops_takes_far_fewer_calls(calls):
    lookup = Lookup()
    [ids] = generate(model(2, 2), 3, [[3, 1, 4]], 60, guesser=lookup)
    assert len(set(ids[-20:])) < 5  # so it loops indeed
    assert len(calls) < 30
    assert 20 < lookup.right <= lookup.guessed


def test_greedy_text_of_one_row_is_guessed_by_default(calls):
    generate(model(2, 2), 3, [[3, 1, 4]], 60)
    assert {1, 1 + N_GUESS, 1 + MORE} <= set(calls)
    calls.clear()
    generate(model(2, 2), 3, [[3, 1, 4], [5, 9]], 60)
    generate(model(2, 2), 3, [[3, 1, 4]], 60, Choice(temperature=0.1, seed=1))
    assert set(calls) == {1}


def steps_saved(text, begin):
    """Return which share of the time guesses save in `text`, where a call with guesses takes 2.5 steps."""
    lookup, i, time = Lookup(), begin, 0
    while i < len(text):
        guesses, n_right = lookup.guess(text[:i]), 0
        while (
            n_right < len(guesses) and text[i + n_right : i + n_right + 1] == guesses[n_right : n_right + 1]
        ):
            n_right += 1
        if guesses:
            lookup.learn(len(guesses), n_right)
        time += 2.5 if guesses else 1
        i += n_right + 1
    return (len(text) - begin - time) / (len(text) - begin)


@pytest.mark.parametrize("n_vocab", [2, 3, 5, 17, 100])
@pytest.mark.parametrize("n", [192, 3000])
def test_in_text_that_repeats_itself_by_chance_guesses_cost_next_to_nothing(n_vocab, n):
    for seed in range(5):
        text = np.random.default_rng(seed).integers(0, n_vocab, n).tolist()
        assert steps_saved(text, 64) > -0.03


def test_in_english_guesses_cost_next_to_nothing():
    path = Path(__file__).parents[1] / "data" / "tinyshakespeare.txt"
    ids = bpe.load_encoder(shipped("gpt2-bpe")).encode(path.read_text(encoding="utf-8")[:100_000])
    saved = [steps_saved(ids[i : i + 192], 64) for i in range(0, len(ids) - 192, 192)]
    assert min(saved) > -0.03
    assert np.mean(saved) > -0.005


def test_a_model_that_drafts_for_itself_is_always_right():
    params = model(4)
    draft = DraftModel(params, 3)
    generate(params, 3, [[3, 1, 4]], 33, guesser=draft)
    assert draft.right >= 3 * N_GUESS
    assert draft.guessed - draft.right <= MORE  # the text may end before its last guesses were asked for


def test_a_draft_is_the_smaller_models_greedy_text_whatever_it_drafted_before():
    params = model(3)
    draft, guessed = DraftModel(params, 3), []
    for row in ([3, 1, 4], [3, 1, 4, 9, 9, 2], [3, 1, 5], [3, 1, 5], [8, 8]):  # what it drafted did not come
        guessed.append(draft.guess(row))
        assert guessed[-1] == generate(params, 3, [row], N_GUESS, guesser=False)[0]
    assert len(set(map(tuple, guessed))) == 4
    n_ctx = HPARAMS["n_ctx"]
    assert len(draft.guess([5] * (n_ctx - N_GUESS))) == N_GUESS
    assert draft.guess([5] * (n_ctx - N_GUESS + 1)) == []


def test_a_draft_model_of_a_shorter_context_gives_up_and_the_text_goes_on():
    params, draft = model(4), DraftModel(model(4, n_ctx=20), 3)
    plain = generate(params, 3, [[3, 1, 4]], 50, guesser=False)
    assert generate(params, 3, [[3, 1, 4]], 50, guesser=draft) == plain
    assert 0 < draft.calls <= 10


def test_a_stop_among_the_guesses_is_obeyed():
    params = model(2, 2)
    [whole] = generate(params, 3, [[3, 1, 4]], 40, guesser=False)
    [cut] = generate(params, 3, [[3, 1, 4]], 40, finished=lambda new: len(new) == 33)
    assert cut == whole[:33]
