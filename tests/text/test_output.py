"""Texts as they are written: to a pipe and to a terminal, in one piece and in lines of JSON."""

import io
import json
import logging
from contextlib import redirect_stdout

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


END = "<|endoftext|>"
TOKENS = ["a", "b", "\n", END, "\u00e9"]


class Encoder:
    """A tokenizer of these few tokens."""

    def stream(self, ids):
        return (TOKENS[i] for i in ids)

    def decode(self, ids):
        return "".join(self.stream(ids))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[io.StringIO, Terminal], ids=["pipe", "terminal"])
def stdout(request):
    """Where the text goes."""
    return request.param()


def steps_of(*texts, broken=False):
    """Yield each next id of texts that grow together, None after their ends; an interrupt at last."""
    longest = max(map(len, texts))
    rows = [[TOKENS.index(token) for token in text] + [None] * (longest - len(text)) for text in texts]
    yield from map(list, zip(*rows, strict=True))
    if broken:
        raise KeyboardInterrupt


@pytest.mark.parametrize("plain", [False, True])
def test_a_terminal_is_shown_the_prompt_and_where_a_document_ends(plain, stdout):
    piece, prompt = END if plain or not stdout.isatty() else "\n\n", "ab" if stdout.isatty() else ""
    with redirect_stdout(stdout):
        output.write_one("ab", steps_of(["a", END, "b"]), Encoder(), [], 3, plain)
        output.write_all("ab", steps_of(["a", END, "b"]), Encoder(), [], 3, 1, plain)
    assert stdout.getvalue() == f"{prompt}a{piece}b\n" * 2


def test_what_there_is_of_a_text_ends_with_its_line(stdout):
    with pytest.raises(KeyboardInterrupt), redirect_stdout(stdout):
        output.write_one("", steps_of("ba", broken=True), Encoder(), ["\n"], 9, False)
    assert stdout.getvalue() == "ba\n"


def test_on_a_terminal_notes_wait_for_the_end_of_the_text(monkeypatch):
    log, both, root = logging.getLogger("picogpt.output"), Terminal(), logging.getLogger()
    handler = logging.StreamHandler(both)
    monkeypatch.setattr(root, "handlers", [handler])

    def steps():
        yield from steps_of("a")
        log.warning("the context is full")
        yield from steps_of("b")

    with redirect_stdout(both):
        output.write_one("", steps(), Encoder(), [], 2, False)
    assert both.getvalue() == "ab\nthe context is full\n"
    assert root.handlers == [handler]


def test_several_texts_are_numbered_and_written_even_if_they_are_cut_short(stdout, capsys):
    with pytest.raises(KeyboardInterrupt), redirect_stdout(stdout):
        output.write_all("b", steps_of("aab", "b\n", broken=True), Encoder(), ["ab"], 9, 2, False)
    prompt = "b" if stdout.isatty() else ""
    assert stdout.getvalue() == f"{prompt}a\n{prompt}b\n\n"
    heads = [line for line in capsys.readouterr().err.split("\n") if line.startswith("---")]
    assert heads == ["--- sample 1 of 2", "--- sample 2 of 2"]


def test_lines_of_json_hold_what_there_is_of_each_text(stdout):
    numbers = [[-0.5, -1.0], [-1.5, -2.0], [-2.5, -3.0]]  # the last belongs to a step that did not come
    with pytest.raises(KeyboardInterrupt), redirect_stdout(stdout):
        output.write_json(steps_of("a\u00e9", "b", broken=True), numbers, Encoder(), [], [], 2)
    assert "\u00e9" in stdout.getvalue()  # as it is
    lines = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert [(line["text"], line["log_probs"]) for line in lines] == [("a\u00e9", [-0.5, -1.5]), ("b", [-1.0])]


@pytest.mark.parametrize("n", [1, 2])
def test_several_beams_have_their_scores_beside_them(n, stdout, capsys):
    beams = [([0, 1, 2], -0.25), ([1, 0], -0.5)][:n]  # 2 is the end
    with redirect_stdout(stdout):
        output.write_beams("b", beams, Encoder(), [], [2], 3, False, False)
    prompt = "b" if stdout.isatty() else ""
    assert stdout.getvalue() == "".join(f"{prompt}{text}\n" for text in ("ab", "ba")[:n])
    heads = ["--- beam 1 of 2, score -0.2500", "--- beam 2 of 2, score -0.5000"] if n > 1 else []
    assert capsys.readouterr().err.splitlines() == heads
    with redirect_stdout(stdout):
        output.write_beams("b", beams, Encoder(), [], [2], 3, False, True)
    line = json.loads(stdout.getvalue().splitlines()[n])
    assert line == dict(ids=[0, 1, 2], text="ab", score=-0.25, ended="end")
