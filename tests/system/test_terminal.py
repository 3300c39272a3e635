"""What is shown on a terminal commands it in nothing; what goes to a pipe or a file is as it was written."""

import io
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from processes import REPOSITORY, run_python

from picogpt.checkpoints import weights
from picogpt.params.init import init_params
from picogpt.system import terminal
from picogpt.system.terminal import harmless
from picogpt.text.chars import CharEncoder

pty = pytest.importorskip("pty", reason="these tests need a terminal as Unix has them")
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\x7f\x00"  # a title, a cleared screen, red


def test_every_control_character_but_tab_and_newline_is_written_out():
    for char in map(chr, range(0x3000)):
        is_control = unicodedata.category(char) == "Cc" and char not in "\t\n"
        assert harmless(char) == (f"\\x{ord(char):02x}" if is_control else char)
    assert harmless("tabs\tand\nlines, é, 👩‍👩‍👧") == "tabs\tand\nlines, é, 👩‍👩‍👧"


@pytest.fixture
def evil(tmp_path):
    """A model that writes what would command a terminal."""
    alphabet = "".join(sorted(set(EVIL)))
    hparams = dict(n_vocab=len(alphabet), n_ctx=32, n_embd=8, n_head=1, n_layer=1)
    params = init_params(hparams, np.random.default_rng(0))
    params["wpe"][:] = 9 * np.eye(32, 8, dtype=np.float32)[np.arange(32) % 8]
    weights.save(tmp_path / "evil", params, hparams, CharEncoder(alphabet))
    return tmp_path / "evil"


def shown(*words):
    """Return what a command writes to a terminal."""
    master, slave = pty.openpty()
    streams = dict(stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    streams |= dict(env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    process = subprocess.Popen([sys.executable, "-m", *map(str, words)], **streams)
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 4096):
            written += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(master)
    assert process.wait() == 0, written
    return written.decode()


@pytest.mark.parametrize("flags", [["--seed=1"], ["--n_samples=2", "--seed=1"]])
def test_a_model_cannot_command_the_terminal(evil, flags):
    words = ["picogpt", "", "--n=30", "--model", evil, *flags]
    to_pipe = run_python("-m", *words)
    assert to_pipe.code == 0
    assert set(to_pipe.out) & set(EVIL) > {"\x1b"}  # as it is
    to_terminal = shown(*words).replace("\r\n", "\n")
    if len(flags) == 1:
        assert to_terminal == harmless(to_pipe.out)
    else:  # the bar of progress moves its own cursor
        assert "\\x1b" in to_terminal and "\x07" not in to_terminal and "\x9b" not in to_terminal


def test_an_error_cannot_command_the_terminal_either(evil):
    words = ["-m", "picogpt", "a", "--model", evil]
    done = run_python(*words)
    assert done.code == 1
    assert done.err.isprintable() or done.err.rstrip("\n").isprintable()


def test_what_is_shown_counts_as_it_was_given_and_the_stream_comes_back(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

        def reconfigure(self, **how):
            pass

    screen = Screen()
    assert (terminal.Shown(screen).write("a\x1bb"), screen.getvalue()) == (3, "a\\x1bb")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", Screen())
    with terminal.streams():
        assert sys.stdout is not screen
        print("\x07", end="")
    assert sys.stdout is screen and screen.getvalue() == "a\\x1bb\\x07"


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_stream_that_cannot_be_rid_of_what_it_holds_is_no_error(error):
    class Broken:
        def flush(self):
            raise BrokenPipeError

        def fileno(self):
            raise error

    terminal.discard(Broken())
