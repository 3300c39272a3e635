"""Beam search: as Hugging Face's, scores too; and what it promises."""

import itertools
import json

import numpy as np
import pytest
from record import choices as record

from picogpt.choose.beams import beam_search, log_softmax
from picogpt.generate import Choice, generate
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map

SAID = json.loads(record.RECORD.read_text(encoding="utf-8"))["beams"]
CASES = list(zip(record.BEAMS, SAID, strict=True))


@pytest.mark.parametrize(("case", "said"), CASES, ids=str)
@pytest.mark.parametrize("row", [0, 1])
def test_beams_and_scores_are_hugging_faces(case, said, row, tiny):
    settings = dict(case)
    if preferences := settings.pop("preferences", None):
        settings["choice"] = Choice(**preferences)
    found = beam_search(tiny.params, tiny.n_head, tiny.ids[row, :3].tolist(), 7, **settings)
    assert [new for new, _ in found] == [new for new, _ in said[row]]
    scores = [[score for _, score in beams] for beams in (found, said[row])]
    np.testing.assert_allclose(*scores, atol=1e-5)


@pytest.mark.parametrize(("case", "said"), CASES, ids=str)
def test_the_record_is_what_hugging_face_says_today(case, said, tiny):
    pytest.importorskip("transformers")
    for row, expected in zip(tiny.ids, said, strict=True):
        found = record.beams(dict(flatten(tiny.params)), row[:3].tolist(), case)
        assert [new for new, _ in found] == [new for new, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)


def test_one_beam_is_the_greedy_text(tiny):
    prompt = tiny.ids[0, :3].tolist()
    [(new, score)] = beam_search(tiny.params, tiny.n_head, prompt, 6, 1)
    assert [new] == generate(tiny.params, tiny.n_head, [prompt], 6)
    probs = log_softmax(gpt2([prompt + new], tiny.params, tiny.n_head)[0])
    assert score == pytest.approx(sum(probs[2 + t, i] for t, i in enumerate(new)) / 6, abs=1e-9)


def test_as_many_beams_as_tokens_find_the_best_of_all_pairs(tiny):
    prompt = tiny.ids[1, :4].tolist()
    found = beam_search(tiny.params, tiny.n_head, prompt, 2, 17, length_penalty=0.0)
    scores = {}
    for pair in itertools.product(range(17), repeat=2):
        probs = log_softmax(gpt2([[*prompt, *pair]], tiny.params, tiny.n_head)[0])
        scores[pair] = probs[3, pair[0]] + probs[4, pair[1]]
    best = sorted(scores, key=scores.get, reverse=True)[:17]
    assert [tuple(new) for new, _ in found] == best
    np.testing.assert_allclose([score for _, score in found], [scores[pair] for pair in best], atol=1e-9)


def test_a_beam_that_ends_has_the_end_in_it_and_no_more(tiny):
    for new, _ in beam_search(tiny.params, tiny.n_head, [3], 8, 4, ends=[2, 5]):
        assert not {2, 5} & {*new[:-1]}
        assert len(new) == 8 or new[-1] in (2, 5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict(n_beams=0), "beams must be a whole number from 1 to the 17 tokens, not 0"),
        (dict(n_beams=18), "beams must be a whole number from 1 to the 17 tokens, not 18"),
        (dict(n_new=0), "at least 1 for beams"),
        (dict(n_beams=2.0), "beams must be a whole number"),
        (dict(n_new=2.0), "at least 1 for beams"),
        (dict(length_penalty=float("inf")), "length_penalty must be a number, not inf"),
        (dict(n_new=10), "2 tokens of the prompt and 10 new ones do not fit into the 11 positions"),
        (dict(length_penalty=float("nan")), "length_penalty must be a number, not nan"),
        (dict(prompt=[]), "at least one id"),
    ],
)
def test_what_cannot_be_searched_is_an_error(settings, says, tiny):
    given = dict(prompt=[1, 2], n_new=3, n_beams=2) | settings
    with pytest.raises(ValueError, match=says):
        beam_search(tiny.params, tiny.n_head, **given)


def test_what_fills_the_context_is_searched(tiny):
    [(new, _)] = beam_search(tiny.params, tiny.n_head, [1, 2], 9, 1)
    assert [new] == generate(tiny.params, tiny.n_head, [[1, 2]], 9)


def test_what_beams_remember_besides_keys_and_values_follows_them():
    hparams = dict(n_vocab=9, n_ctx=12, n_embd=8, n_head=2, n_layer=2, time_mixing=True)
    params = tree_map(lambda w: 9 * w, init_params(hparams, np.random.default_rng(0), np.float64))
    found = beam_search(params, 2, [3, 1], 5, 4)
    assert len({tuple(new[:2]) for new, _ in found}) > 1  # so they come from several beams
    for new, score in found:
        probs = log_softmax(gpt2([[3, 1, *new]], params, 2)[0])
        assert score == pytest.approx(sum(probs[1 + t, i] for t, i in enumerate(new)) / 5, abs=1e-9)


def test_scores_are_summed_in_float64(tiny32):
    assert log_softmax(np.float32([[1, 2, 4]])).dtype == np.float64
    [(new, score)] = beam_search(tiny32.params, tiny32.n_head, [3, 1], 8, 1)
    logits = np.concatenate([gpt2([[3, 1, *new[:t]]], tiny32.params, tiny32.n_head)[:, -1] for t in range(8)])
    probs = logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64), axis=1)[:, None]
    assert score == pytest.approx(sum(probs[t, i] for t, i in enumerate(new)) / 8, abs=1e-6)
