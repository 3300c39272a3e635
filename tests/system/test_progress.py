"""How far a long work has come is said in lines where there is no terminal: now and then, and at the end."""

import io
import sys

import pytest

from picogpt.system import progress


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
