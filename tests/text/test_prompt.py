"""The prompt that a command is given, or reads from stdin, and its ids."""

import io
import sys

import pytest

from picogpt.text.chars import CharEncoder
from picogpt.text.prompt import prompt_ids, read_prompt


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        (b"Once\n", "Once"),
        (b"Once\r\n", "Once"),
        (b"Once\n\n", "Once\n"),
        (b"\xef\xbb\xbfOnce", "Once"),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("given", [None, "-"])
def test_stdin_is_read_less_one_line_end(content, prompt, given, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_prompt(given) == prompt


def test_bytes_that_are_not_utf_8_are_refused_wherever_they_come_from(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    with pytest.raises(ValueError, match="stdin is not UTF-8 text: byte 3 is 0xe9; convert it"):
        read_prompt("-")
    with pytest.raises(ValueError, match="the prompt is not UTF-8 text"):
        read_prompt(b"caf\xe9".decode("utf-8", "surrogateescape"))


def test_a_prompt_longer_than_the_context_keeps_its_newest_tokens_or_is_refused():
    encoder = CharEncoder("abcdef")
    assert prompt_ids("abc", encoder, 4, truncate=False) == [0, 1, 2]
    assert prompt_ids("abcdef", encoder, 4, truncate=True) == [2, 3, 4, 5]
    with pytest.raises(ValueError, match="has 6 tokens and this model's context 4: --truncate"):
        prompt_ids("abcdef", encoder, 4, truncate=False)
    assert prompt_ids("", encoder, 4, truncate=False) == [encoder.start]
