"""A bar on a terminal, whatever its width; elsewhere lines now and then, and never one endless line."""

import io
import logging
import os
import sys
import types

import pytest

from picogpt.system import progress

KNOWN, UNKNOWN = dict(dynamic_ncols=True), dict(ncols=80)


@pytest.mark.parametrize(("columns", "how"), [(120, KNOWN), (0, UNKNOWN), (None, UNKNOWN)])
def test_a_bar_has_a_width_also_where_the_terminal_tells_none(columns, how, monkeypatch):
    def size(_):
        if columns is None:
            raise OSError
        return os.terminal_size((columns, 24))

    given = {}
    monkeypatch.setattr(progress.os, "get_terminal_size", size)
    monkeypatch.setattr("sys.stderr", types.SimpleNamespace(fileno=lambda: 2))
    monkeypatch.setattr("tqdm.tqdm", lambda *args, **how: given.update(how))
    progress.bar(range(3))
    assert given == dict(disable=None) | how


def shown(monkeypatch, caplog, seconds, **how):
    """Show a work of 100 units, each of so many seconds, where there is no terminal; return the lines."""
    now, err = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr", err)
    caplog.set_level(logging.INFO)
    with progress.shown(100, 0, "step", **how) as bar:
        for n in range(1, 101):
            now[0] += seconds
            bar.show(n, f"loss {n}")
    assert "\r" not in err.getvalue()
    return [message for message in caplog.messages if "step/s" in message]


def test_in_a_file_there_is_a_line_every_half_minute_and_at_the_end(monkeypatch, caplog):
    lines = shown(monkeypatch, caplog, 1.0)
    assert len(lines) == 4
    assert lines[0] == "loss 30; 30 of 100 step, 1 step/s"
    assert lines[-1] == "loss 100; 100 of 100 step, 1 step/s"


@pytest.mark.parametrize(("how", "n"), [({}, 1), (dict(at_end=False), 0), (dict(hidden=True), 0)])
def test_what_is_soon_done_has_one_line_or_none(how, n, monkeypatch, caplog):
    assert len(shown(monkeypatch, caplog, 0.01, **how)) == n


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass as the test says, and no terminal."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return now


def test_a_line_comes_every_half_minute_and_at_the_end(clock, caplog):
    caplog.set_level("INFO", "picogpt.progress")
    with progress.shown(2000, 100, "tok") as bar:
        for seconds, done in ((29, 200), (1, 400), (29, 500), (1, 700), (10, 800)):
            clock[0] += seconds
            bar.show(done, f"step {done}")
    assert caplog.messages == [
        "step 400; 400 of 2,000 tok, 10 tok/s",
        "step 700; 700 of 2,000 tok, 10 tok/s",
        "step 800; 800 of 2,000 tok, 10 tok/s",
    ]


@pytest.mark.parametrize(("seconds", "n"), [(29, 0), (30, 2)])
def test_what_takes_no_half_minute_may_say_nothing(clock, caplog, seconds, n):
    caplog.set_level("INFO", "picogpt.progress")
    with progress.shown(10, 0, "B", "file", at_end=False) as bar:
        clock[0] += seconds
        bar.show(10)
    assert len(caplog.messages) == n
    assert all(message.startswith("file; 10 of 10 B") for message in caplog.messages)


def test_what_is_hidden_or_was_done_before_says_nothing(clock, caplog):
    caplog.set_level("INFO", "picogpt.progress")
    with progress.shown(10, 0, "B", hidden=True) as bar:
        clock[0] += 100
        bar.show(5)
    with progress.shown(10, 10, "B"):
        pass
    assert caplog.messages == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("hidden", "shows"), [(False, ["13", "25"]), (True, [])])
def test_on_a_terminal_a_bar_goes_to_what_is_done(hidden, shows, monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    caplog.set_level("INFO", "picogpt.progress")
    with progress.shown(50, 10, "B", hidden=hidden) as bar:
        bar.shown.mininterval = 0
        for done in (13, 25):
            bar.show(done, "a note")
            assert bar.shown.n == (10 if hidden else done)
    drawn = terminal.getvalue()
    assert all(f"{n}.0/50.0" in drawn for n in shows) and bool(drawn) == (not hidden)
    assert ("a note" in drawn) == (not hidden) and caplog.messages == []
