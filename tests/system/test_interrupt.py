"""Ctrl-C is one line and 130 in every command, from the first import on; of trainings see test_endings.py."""

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import REPOSITORY, run_python
from terminal import SIGN, Terminal

from picogpt.system import interrupt
from picogpt.system.interrupt import Interrupted, StopRequest

# What every command imports, or one of its kind does: here it is what gets the signal.
INTERRUPTED = """
import os, signal, time
os.kill(os.getpid(), signal.{name})
time.sleep(9)
"""
# Waits for a line, but first, between the prompt and that, for a signal: readline has a hook just there.
WAITS = """
import ctypes, readline
from picogpt.system import interrupt
hook = ctypes.c_void_p.in_dll(ctypes.CDLL(readline.__file__), "rl_pre_input_hook")
hook.value = ctypes.cast(ctypes.CDLL(None).pause, ctypes.c_void_p).value

def wait():
    with interrupt.noticed():
        input("> ")

interrupt.quietly(wait)
"""
COMMANDS = {
    "picogpt": "fire",
    "picogpt.train": "numpy",
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
    "tools/data/corpus.py": "regex",
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


@pytest.mark.skipif(sys.platform != "linux", reason="the hook is reached as Linux's readline has it")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_just_before_the_wait_for_a_key_ends_it(number, code, tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    terminal = Terminal("waits", folder=tmp_path)
    try:
        terminal.read(SIGN)
        terminal.process.send_signal(number)
        assert terminal.process.wait(20) == code
        assert terminal.process.stderr.read() == b"picogpt: interrupted\n"
    finally:
        terminal.close()


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
    request = StopRequest("go on with: x", patience=1.0)
    assert not request
    request.note(signal.SIGTERM)
    assert request and request.number == signal.SIGTERM
    clock[0] += 0.9
    request.note(signal.SIGINT)
    assert request.number == signal.SIGTERM  # the first one counts
    clock[0] += 0.1
    with pytest.raises(Interrupted, match=r"^interrupted; go on with: x$") as error:
        request.note(signal.SIGINT)
    assert error.value.code == 130
    assert (Interrupted().code, Interrupted(signal.SIGTERM).code) == (130, 143)


def test_without_patience_the_second_ends_at_once(clock):
    request = StopRequest("", patience=0.0)
    request.note(signal.SIGINT)
    with pytest.raises(Interrupted):
        request.note(signal.SIGINT)


def test_what_is_done_anyway_was_not_stopped():
    request = StopRequest("go on", 0.0)
    request.end(0, 3, 9)
    request.end(signal.SIGINT, 9, 9)
    with pytest.raises(Interrupted, match=r"^stopped at step 8 of 9; go on$") as error:
        request.end(signal.SIGTERM, 8, 9)
    assert error.value.code == 143
    request.broken = True
    with pytest.raises(Interrupted, match="stopped at step 9 of 9"):
        request.end(signal.SIGINT, 9, 9)


def test_a_block_that_may_be_broken_is_by_the_first_wish_alone():
    request, done = StopRequest("", 0.0), []
    with interrupt.handled(request.note):
        with request.breaks():
            signal.raise_signal(signal.SIGINT)
            done.append("not reached")
        assert (request.broken, done) == (True, [])
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_signal_that_is_ignored_stays_so_and_the_other_counts(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interrupt.asked("") as request:
            signal.raise_signal(number)
            assert not request
            other = next(other for other in interrupt.SIGNALS if other != number)
            signal.raise_signal(other)
            assert request.number == other
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_who_was_told_of_signals_before_a_wait_for_keys_is_told_after_it():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        with interrupt.noticed():
            pass
    finally:
        after = signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
    assert after == writer
