"""Beam search: as Hugging Face's, scores too; and what it promises."""

import itertools

import numpy as np
import pytest

from picogpt.choose.beams import beam_search, log_softmax
from picogpt.generate import Choice, generate
from picogpt.gpt2 import gpt2
from picogpt.params.tree import flatten

CASES = [
    dict(n_beams=3),
    dict(n_beams=4, length_penalty=0.0),
    dict(n_beams=3, ends=[5]),
    dict(n_beams=4, ends=[5, 11, 2], length_penalty=2.0),
    dict(n_beams=2, ends=[5, 11, 2, 7, 8], early_stopping=True, length_penalty=-1.0),
    dict(n_beams=3, ends=[5, 2], choice=Choice(repetition_penalty=1.5, no_repeat_ngram_size=2)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("row", [0, 1])
def test_beams_and_scores_are_hugging_faces(case, row, tiny):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from record import pytorch

    model = pytorch.hugging_face(dict(flatten(tiny.params)), **pytorch.TINY)
    prompt, choice = tiny.ids[row, :3].tolist(), case.get("choice", Choice())
    said = model.generate(
        torch.tensor([prompt]), max_new_tokens=7, do_sample=False, num_beams=case["n_beams"],
        num_return_sequences=case["n_beams"], length_penalty=case.get("length_penalty", 1.0),
        early_stopping=case.get("early_stopping", False), eos_token_id=case.get("ends"), pad_token_id=0,
        repetition_penalty=choice.repetition_penalty, no_repeat_ngram_size=choice.no_repeat_ngram_size,
        return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    found = beam_search(tiny.params, tiny.n_head, prompt, 7, **case)
    for (new, score), ids, theirs in zip(found, said.sequences, said.sequences_scores, strict=True):
        assert new == ids[3 : 3 + len(new)].tolist()
        assert {*ids[3 + len(new) :].tolist()} <= {0, *case.get("ends", [])[:1]}  # padding
        assert score == pytest.approx(float(theirs), abs=1e-5)


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
        (dict(n_new=10), "2 tokens of the prompt and 10 new ones do not fit into the 11 positions"),
        (dict(length_penalty=float("nan")), "length_penalty must be a number, not nan"),
        (dict(prompt=[]), "at least one id"),
    ],
)
def test_what_cannot_be_searched_is_an_error(settings, says, tiny):
    given = dict(prompt=[1, 2], n_new=3, n_beams=2) | settings
    with pytest.raises(ValueError, match=says):
        beam_search(tiny.params, tiny.n_head, **given)
