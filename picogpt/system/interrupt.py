"""Ctrl-C, and the signal by which a scheduler ends a process (SIGTERM): one line at any moment, nothing torn.

    at_once   while a command starts or ends: there is nothing to lose
    raised    while it works: an exception, on which what is half written is removed
    asked     while it trains: a wish, which is granted after the update; the second one is an exception

A signal that is ignored, as Ctrl-C is by what a script has put into the background, stays so.
"""

import contextlib
import os
import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """An interrupt: by which signal, and what is to be said of it."""

    def __init__(self, number=signal.SIGINT, said="interrupted"):
        super().__init__(said)
        self.code = 128 + number  # of the process's end, as shells have it: 130 or 143


def at_once(number, frame=None):
    """End the process with one line."""
    os.write(2, b"picogpt: interrupted\n")
    os._exit(128 + number)


def raised(number, frame=None):
    """Raise the exception that ends what is being done."""
    raise Interrupted(number)


def handle(handler):
    """Have signals handled so; return how they were handled before. Only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in SIGNALS}
    changed = {number: was for number, was in before.items() if was is not signal.SIG_IGN and was is not None}
    for number in changed:
        signal.signal(number, handler)
    return changed


@contextlib.contextmanager
def handled(handler=raised):
    """Have signals handled so in the block."""
    before = handle(handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


class Wish:
    """Whether an interrupt has been asked for: false, or true once it has; then `number` is its signal."""

    number = 0

    def __bool__(self):
        return bool(self.number)


@contextlib.contextmanager
def asked():
    """Let the block look, when it can end, whether it should; what asks for that again ends it at once."""
    wish = Wish()

    def note(number, frame=None):
        wish.number = number
        handle(raised)

    with handled(note):
        yield wish
