"""A wish for the end: what counts as one, as its echo, and as the demand to end at once."""

import signal

import pytest

from picogpt.system import interrupt
from picogpt.system.interrupt import Interrupted, Wish


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now[0])
    return now


def test_the_second_wish_ends_at_once_unless_it_is_an_echo(clock):
    wish = Wish("go on with: x", patience=1.0)
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
    wish = Wish("", patience=0.0)
    wish.note(signal.SIGINT)
    with pytest.raises(Interrupted):
        wish.note(signal.SIGINT)


def test_what_is_done_anyway_was_not_stopped():
    wish = Wish("go on", 0.0)
    wish.end(0, 3, 9)
    wish.end(signal.SIGINT, 9, 9)
    with pytest.raises(Interrupted, match=r"^stopped at step 8 of 9; go on$") as error:
        wish.end(signal.SIGTERM, 8, 9)
    assert error.value.code == 143
    wish.broken = True
    with pytest.raises(Interrupted, match="stopped at step 9 of 9"):
        wish.end(signal.SIGINT, 9, 9)


def test_a_block_that_may_be_broken_is_by_the_first_wish_alone():
    wish, done = Wish("", 0.0), []
    with interrupt.handled(wish.note):
        with wish.breaks():
            signal.raise_signal(signal.SIGINT)
            done.append("not reached")
        assert (wish.broken, done) == (True, [])
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_signal_that_is_ignored_stays_so(number):
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
