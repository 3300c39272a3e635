"""The detokenisers, against lm-evaluation-harness's."""

import json
from pathlib import Path

import pytest

from picogpt.text.detokenise import detokenise

RECORD = json.loads(
    (Path(__file__).parents[1] / "references" / "evaluation.json").read_text(encoding="utf-8")
)["wikitext"]  # fmt: skip


@pytest.mark.parametrize(("text", "theirs"), RECORD)
def test_wikitext_becomes_what_the_evaluation_harness_makes_of_it(text, theirs):
    assert detokenise(text, "wikitext") == theirs
    assert theirs != text


def test_the_penn_treebank_gets_back_its_contractions_and_numbers():
    text = " the company 's shares did n't rise $ N billion \n mr. smith says \n"
    assert detokenise(text, "ptb") == " the company's shares didn't rise $1 billion\nmr. smith says\n"


def test_without_rules_a_text_stays_as_it_is():
    assert detokenise(" = a @-@ b = \n", "none") == " = a @-@ b = \n"
