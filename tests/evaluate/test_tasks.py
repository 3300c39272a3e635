"""Questions in files of JSON lines, and how answers are counted."""

import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.evaluate import tasks
from picogpt.text.chars import CharEncoder

ENCODER = CharEncoder(" abcdefgh")
ROW = functools.partial(tasks.row, encoder=ENCODER, window=8, start=[])


def read(tmp_path, task, *lines, row=ROW):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return tasks.read_questions(path, task, row)


def scored(*log_probs, likeliest=True):
    return np.array(log_probs), np.full(len(log_probs), likeliest)


def test_a_row_ends_with_the_ending_and_keeps_the_newest_of_the_context():
    assert ROW("ab", " c") == ([1, 2, 0, 3], 2)
    assert tasks.row("ab", " c", ENCODER, window=8, start=[8]) == ([8, 1, 2, 0, 3], 2)
    assert tasks.row("", "c", ENCODER, window=8, start=[8]) == ([8, 3], 1)
    ids, n = tasks.row("abcdefgh", " cd", ENCODER, window=4, start=[8])
    assert (ENCODER.decode(ids), n) == ("gh cd", 3)  # the model reads 4 of them, the last it only answers


def test_no_template_of_the_tokenizer_comes_between():
    encoder = SimpleNamespace(
        encode=lambda text, template=True: [9, *ENCODER.encode(text)] if template else ENCODER.encode(text)
    )
    assert tasks.row("ab", " c", encoder, window=8, start=[]) == ([1, 2, 0, 3], 2)


def test_lambada_asks_for_what_follows_the_last_space(tmp_path):
    [(rows, endings, label)] = read(tmp_path, "lambada", {"text": "a b cd", "more": 1}, "")
    assert (rows, endings, label) == ([([1, 0, 2, 0, 3, 4], 3)], [" cd"], 0)


def test_a_word_is_right_if_all_its_tokens_are_the_likeliest():
    answers = [[scored(-1.0, -2.0)], [(np.array([-0.5, -0.5]), np.array([True, False]))]]
    measures = tasks.lambada([None, None], answers)
    assert measures == dict(accuracy=0.5, perplexity=pytest.approx(np.exp((3.0 + 1.0) / 2)))


def test_hellaswag_s_format_is_read(tmp_path):
    line = {"ind": 4, "ctx_a": "x", "ctx": "ab", "endings": ["c", "de", "f", "g"], "label": 3}
    for label in (3, "3"):
        [(rows, endings, right)] = read(tmp_path, "choice", line | {"label": label})
        assert rows[:2] == [([1, 2, 0, 3], 2), ([1, 2, 0, 4, 5], 3)]
        assert (endings, right) == (["c", "de", "f", "g"], 3)


def test_a_choice_is_measured_by_sum_by_token_and_by_character():
    endings = ["a", "bcdefgh", "abcd"]
    by_sum, by_token, by_character = scored(-3.0), scored(-1.2, -1.2, -1.2, -1.2), scored(-1.5, -1.7)
    answers = [[by_sum, by_character, by_token]]  # sums -3, -3.2, -4.8
    for label, right in enumerate([(1, 0, 0), (0, 0, 1), (0, 1, 0)]):
        measures = tasks.choice([(None, endings, label)], answers)
        assert tuple(measures.values()) == right
    assert list(measures) == ["acc", "acc_per_token", "acc_per_character"]


def test_the_space_before_an_ending_is_no_character_of_it():
    answers = [[scored(-1.0), scored(-2.5)]]  # for a character -1 and -0.83; with the space -0.5 and -0.625
    assert tasks.choice([(None, ["a", "abc"], 1)], answers)["acc_per_character"] == 1


def test_measures_are_shares_of_all_questions():
    questions = [(None, ["a", "b"], label) for label in (0, 0, 0, 1)]
    answers = [[scored(-1.0), scored(-2.0)]] * 4
    assert tasks.choice(questions, answers) == dict(acc=0.75, acc_per_token=0.75, acc_per_character=0.75)
    likelier = [[scored(-1.0)], [scored(-1.0, likeliest=False)], [scored(-1.0)], [scored(-1.0)]]
    assert tasks.lambada([None] * 4, likelier)["accuracy"] == 0.75


def test_an_ending_may_be_as_long_as_the_window():
    ids, n = ROW("ab", " bcdefgh")
    assert (ENCODER.decode(ids), n) == ("b bcdefgh", 8)  # the model reads "b bcdefg"
    with pytest.raises(ValueError, match=r"' bcdefgha'\.\.\. has 9 tokens, more than a window of 8"):
        ROW("ab", " bcdefgha")


def test_a_context_that_just_fits_is_read_from_its_beginning():
    assert tasks.row("abcd", " cd", ENCODER, window=7, start=[8]) == ([8, 1, 2, 3, 4, 0, 3, 4], 3)
    assert tasks.row("abcd", " cd", ENCODER, window=6, start=[8]) == ([1, 2, 3, 4, 0, 3, 4], 3)


LINE = {"ctx": "ab", "endings": ["c", "d"], "label": 0}


@pytest.mark.parametrize(
    ("task", "line", "says"),
    [
        ("lambada", "{", "is not JSON: Expecting property name"),
        ("lambada", "[1]", "cannot be used: it needs a text under 'text'"),
        ("lambada", {"txt": "a b"}, "has no 'text'"),
        ("lambada", {"text": 3}, "cannot be used: it needs a text under 'text'"),
        ("lambada", {"text": "ab"}, "cannot be used: its text needs a last word after a space"),
        ("lambada", {"text": "ab "}, "cannot be used: its text needs a last word after a space"),
        ("lambada", {"text": "a xyz"}, "cannot be used: the model does not know 'x'"),
        ("lambada", {"text": "a bcdefghab"}, "cannot be used: ' bcdefghab'... has 10 tokens, more than a"),
        ("choice", {"ctx": "ab", "label": 0}, "has no 'endings'"),
        ("choice", LINE | {"endings": "cd"}, "its endings must be several texts"),
        ("choice", LINE | {"endings": ["c"]}, "its endings must be several texts"),
        ("choice", LINE | {"endings": ["c", ""]}, "its endings must be several texts"),
        ("choice", LINE | {"endings": ["c", 1]}, "its endings must be several texts"),
        ("choice", LINE | {"ctx": None}, "it needs a text under 'ctx'"),
        ("choice", LINE | {"ctx": ""}, "' c' has nothing before it"),
        ("choice", LINE | {"label": 2}, "its label is 2, but the endings are 0 to 1"),
        ("choice", LINE | {"label": ""}, "its label is '', but the endings are 0 to 1"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, task, line, says):
    good = {"lambada": {"text": "a b"}, "choice": LINE}[task]
    with pytest.raises(ValueError, match=r"questions\.jsonl, line 3 ") as error:
        read(tmp_path, task, good, "", line, good)
    assert says in str(error.value)


@pytest.mark.parametrize("task", ["lambada", "choice"])
def test_a_file_without_questions_is_reported(tmp_path, task):
    with pytest.raises(ValueError, match=r"questions\.jsonl has no questions"):
        read(tmp_path, task, "", " ")
