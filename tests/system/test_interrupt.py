"""Ctrl-C is one line and 130 in every command, from the first import on; of trainings see test_endings.py."""

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import REPOSITORY, run_python

from picogpt.system import interrupt
from picogpt.system.interrupt import Interrupted, StopRequest

# What every command imports, or one of its kind does: here it is what gets the signal.
INTERRUPTED = """
import os, signal, time
os.kill(os.getpid(), signal.{name})
time.sleep(9)
"""
COMMANDS = {
    "picogpt": "fire",
    "picogpt.train": "fire",
    "picogpt.finetune": "fire",
    "picogpt.finetune.classify": "numpy",
    "picogpt.evaluate": "numpy",
    "picogpt.explain": "numpy",
    "picogpt.sizing": "fire",
    "picogpt.projects.adder": "numpy",
    "picogpt.projects.words": "regex",
    "tools/convert.py": "numpy",
    "tools/plot.py": "numpy",
    "tools/verify": "numpy",
    "tools/book": "numpy",
    "tools/data/corpus.py": "fire",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_a_command_imports_is_one_line(command, tmp_path):
    (tmp_path / f"{COMMANDS[command]}.py").write_text(INTERRUPTED.format(name="SIGINT"))
    words = [REPOSITORY / command] if command.startswith("tools") else ["-m", command]
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    assert run_python(*words, PYTHONPATH=path) == (130, "", "picogpt: interrupted\n")


def test_a_scheduler_is_answered_with_143(tmp_path):
    (tmp_path / "fire.py").write_text(INTERRUPTED.format(name="SIGTERM"))
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    assert run_python("-m", "picogpt", PYTHONPATH=path) == (143, "", "picogpt: interrupted\n")


def test_a_program_that_imports_picogpt_keeps_its_own_ways():
    code = "import signal; before = signal.getsignal(2)\nimport picogpt\nassert signal.getsignal(2) is before"
    assert run_python("-c", code) == (0, "", "")


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background of a script
    try:
        with interrupt.handled():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGTERM) is interrupt.raised
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    with pytest.raises(interrupt.Interrupted, match="interrupted") as error, interrupt.handled():
        os.kill(os.getpid(), signal.SIGTERM)
    assert error.value.code == 143
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


def test_a_request_passed_on_twice_is_one():
    with interrupt.asked("go on with: this", patience=5) as request:
        assert not request
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert request.number == signal.SIGINT
        request.end(request.number, 9, 9)  # the training is at its end anyway
        with pytest.raises(interrupt.Interrupted, match="stopped at step 3 of 9; go on with: this"):
            request.end(request.number, 3, 9)


def test_a_text_is_ended_with_130_and_a_newline(tmp_path):
    """The terminal's line is whole when the shell's prompt comes back."""
    words = [
        sys.executable,
        "-m",
        "picogpt",
        "Once",
        "--n=100000",
        "--model",
        REPOSITORY / "models" / "tales",
    ]
    streams = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([*map(str, words)], env=environment, bufsize=0, **streams) as process:
        assert process.stdout.read(5)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - began < 60
    assert process.returncode == 143
    assert out.endswith(b"\n") and err.endswith(b"picogpt: interrupted\n")


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now[0])
    return now


def test_the_second_wish_ends_at_once_unless_it_is_an_echo(clock):
    wish = StopRequest("go on with: x", patience=1.0)
    assert not wish
    wish.note(signal.SIGTERM)
    assert wish and wish.number == signal.SIGTERM
    clock[0] += 0.9
    wish.note(signal.SIGINT)
    assert wish.number == signal.SIGTERM  # the first one counts
    clock[0] += 0.1
    with pytest.raises(Interrupted, match=r"^interrupted; go on with: x$") as error:
        wish.note(signal.SIGINT)
    assert error.value.code == 130
    assert (Interrupted().code, Interrupted(signal.SIGTERM).code) == (130, 143)


def test_without_patience_the_second_ends_at_once(clock):
    wish = StopRequest("", patience=0.0)
    wish.note(signal.SIGINT)
    with pytest.raises(Interrupted):
        wish.note(signal.SIGINT)


def test_what_is_done_anyway_was_not_stopped():
    wish = StopRequest("go on", 0.0)
    wish.end(0, 3, 9)
    wish.end(signal.SIGINT, 9, 9)
    with pytest.raises(Interrupted, match=r"^stopped at step 8 of 9; go on$") as error:
        wish.end(signal.SIGTERM, 8, 9)
    assert error.value.code == 143
    wish.broken = True
    with pytest.raises(Interrupted, match="stopped at step 9 of 9"):
        wish.end(signal.SIGINT, 9, 9)


def test_a_block_that_may_be_broken_is_by_the_first_wish_alone():
    wish, done = StopRequest("", 0.0), []
    with interrupt.handled(wish.note):
        with wish.breaks():
            signal.raise_signal(signal.SIGINT)
            done.append("not reached")
        assert (wish.broken, done) == (True, [])
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_signal_that_is_ignored_stays_so_and_the_other_counts(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interrupt.asked("") as wish:
            signal.raise_signal(number)
            assert not wish
            other = next(other for other in interrupt.SIGNALS if other != number)
            signal.raise_signal(other)
            assert wish.number == other
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
