"""What a line of JSON says of a text that was made."""

import json

import pytest

from picogpt.text import output
from picogpt.text.chars import CharEncoder


@pytest.mark.parametrize(
    ("ids", "text", "ended"),
    [
        ([0, 1, 2], "abc", "length"),
        ([0, 1, 3], "ab", "end"),
        ([0, 4, 4, 2], "a", "stop"),
        ([0, 4, 4, 3], "a", "stop"),  # what comes first
    ],
)
def test_a_line_says_why_a_text_ended(ids, text, ended):
    line = output.as_json(ids, CharEncoder("abcd\n"), ["\n\n"], [3], log_probs=[-0.5] * len(ids))
    assert json.loads(line) == dict(ids=ids, text=text, log_probs=[-0.5] * len(ids), ended=ended)
    assert "\n" not in line
