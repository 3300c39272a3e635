"""Sessions through a pseudo-terminal: what is typed, what is shown, Ctrl-C and Ctrl-D, the docs."""

import signal

import numpy as np
import pytest
from processes import run_python
from terminal import SIGN, Terminal, sessions, words_of

import picogpt
from picogpt.chat import session
from picogpt.chat.talk import CHOICE, Chat
from picogpt.explain.prompts import FIRST

pytest.importorskip("pty", reason="a pseudo-terminal is of POSIX systems")
SESSIONS = list(sessions())
ITS = dict(repetition_penalty=1.2)  # of tales: its generation_config.json


@pytest.fixture
def sit(tmp_path):
    terminals = []

    def sit(*words):
        terminals.append(Terminal(*words, folder=tmp_path))
        terminals[-1].first = terminals[-1].read(SIGN)
        return terminals[-1]

    yield sit
    for terminal in terminals:
        terminal.close()


def test_lines_are_continued_and_the_text_grows(sit):
    model = picogpt.load("tales")
    terminal = sit("picogpt", "-i", "--model", "tales", "--n", "6")
    terminal.type(FIRST)
    first = model.generate(FIRST, n=6, **ITS)
    assert terminal.read("\n" + SIGN) == f"{FIRST}\n{first}\n{SIGN}"
    terminal.type(" and")
    second = model.generate(FIRST + first + " and", n=6, **ITS)
    assert terminal.read("\n" + SIGN) == f" and\n{second}\n{SIGN}"
    terminal.type("/reset")
    assert terminal.read("\n" + SIGN) == f"/reset\n{SIGN}"
    terminal.type(FIRST)
    assert first in terminal.read("\n" + SIGN)
    assert terminal.end() == (0, "")


def test_a_story_ends_where_the_model_ends_it_and_no_control_token_is_written(sit):
    terminal = sit("picogpt", "-i", "--model", "tales")
    terminal.type("Once upon a time")
    story = terminal.read("\n" + SIGN)
    assert "<|endoftext|>" not in story and story.count("Once upon a time") == 1
    talk = sit("picogpt.chat", "--temperature", "0")
    talk.type("Write a story with these words: bird, nest, sad.")
    story = talk.read("\n" + SIGN)
    assert "nest" in story.split("sad.", 1)[1] and "<|endoftext|>" not in story
    assert story.count("Once upon a time") == 1


def test_ctrl_c_ends_an_answer_and_the_session_goes_on(sit):
    terminal = sit("picogpt", "-i", "--model", "tales", "--n", "100000", "--temperature", "1", "--seed", "1")
    terminal.type(FIRST)
    terminal.read_until(lambda shown: len(shown) > len(FIRST) + 10, "an answer")  # what is typed is shown too
    terminal.press("C")
    terminal.read("\n" + SIGN)
    terminal.press("C")  # at the prompt it clears the line
    terminal.read("\n" + SIGN)
    terminal.type("/set n 2")
    assert "n 2  temperature 1.0" in terminal.read("\n" + SIGN)
    code, said = terminal.end()
    assert code == 0
    assert "Traceback" not in said


def test_a_scheduler_that_ends_the_process_ends_the_session(sit):
    terminal = sit("picogpt", "-i", "--model", "tales")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(60) == 143
    assert "Traceback" not in terminal.process.stderr.read().decode()


def test_commands_do_what_they_say_and_say_what_they_cannot(tmp_path):
    lines = ["/top", FIRST, "/top", "/set temperature .7", "/set temperature hot", "/set hue 3"]
    lines += ["/explain page.html", "/nonsense", "//top is text", "/help"]
    command, stdin = ["-m", "picogpt", "-i", "--model", "tales", "--n", "3"], "\n".join(lines).encode()
    done = run_python(*command, folder=tmp_path, stdin=stdin)
    assert done.code == 0
    model = picogpt.load("tales")
    best = model.logits("")[-1].argmax()
    assert f"{model.encoder.decode([best])!r}" in done.out.splitlines()[0]
    assert "n 3  temperature 0.7" in done.out
    assert "page.html is written" in done.out
    assert session.HELP in done.out
    assert (tmp_path / "page.html").stat().st_size > 100_000
    assert done.err.splitlines() == [
        "picogpt: temperature cannot be 'hot'",
        f"picogpt: hue is no setting; there are n, {', '.join(CHOICE)}",
        "picogpt: there is no command /nonsense; /help lists them",
    ]


def test_the_five_likeliest_are_the_models(capsys):
    model = picogpt.load("tales")
    chat = Chat(model)
    chat.turns.append([FIRST, ""])
    lines = list(session.top(chat))
    logits = model.logits(FIRST)[-1].astype(float)
    sums = np.sort(np.exp(logits - logits.max()))[::-1]
    assert [line.split("%")[0].strip() for line in lines] == [
        f"{100 * p:.2f}" for p in (sums / sums.sum())[:5]
    ]


def test_a_line_that_is_longer_than_the_context_is_refused_and_the_session_goes_on(tmp_path):
    stdin = ("word " * 400 + "\n/top\n").encode()
    done = run_python("-m", "picogpt", "-i", "--model", "tales", folder=tmp_path, stdin=stdin)
    assert done.code == 0
    assert "say less at once" in done.err
    assert len(done.out.strip().splitlines()) == 5


def test_chat_without_a_template_says_the_remedy(tmp_path):
    done = run_python("-m", "picogpt.chat", "--model", "tales", folder=tmp_path)
    assert done.code == 1
    assert done.err == (
        "picogpt: tales has no chat template of its own: give one with --template, such as"
        r" 'User: {user}\nBot:'" + "\n"
    )


@pytest.mark.parametrize(("command", "turns"), SESSIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_the_sessions_in_the_docs_are_what_a_terminal_shows(sit, command, turns):
    terminal = sit(*words_of(command))
    for typed, shown in turns[:-1]:
        terminal.type(typed)
        assert terminal.read("\n" + SIGN) == f"{typed}\n{shown}{SIGN}"
    assert turns[-1] == ("^D\n", "") or turns[-1][0].strip() == "^D"
    assert terminal.end()[0] == 0
