"""Ctrl-C, and the signal by which a scheduler ends a process (SIGTERM): one line at any moment, nothing torn.

    at_once   while a command starts or ends: there is nothing to lose
    raised    while it works: an exception, on which what is half written is removed
    asked     while it trains: a request, which is granted after the update; the second one is an exception

A signal that is ignored, as Ctrl-C is by what a script has put into the background, stays so.
"""

import contextlib
import os
import signal
import sys
import threading
import time

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


def quietly(main, *args):
    """Call a program's `main`; an interrupt ends both with one line."""
    try:
        with handled():
            main(*args)
    except KeyboardInterrupt as error:
        print(f"picogpt: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(getattr(error, "code", 130))


class StopRequest:
    """Whether an interrupt has asked for the end: true once it has; then `number` is its signal."""

    def __init__(self, remedy="", patience=0.0):
        self.number, self.when, self.remedy, self.patience = 0, 0.0, remedy, patience
        self.broken = False

    def __bool__(self):
        return bool(self.number)

    def note(self, number, frame=None):
        """Take a signal for a request; the second, if it is no echo of the first, raises `Interrupted`."""
        if not self.number:
            self.number, self.when = number, time.monotonic()
        elif time.monotonic() - self.when >= self.patience:
            raise Interrupted(number, f"interrupted; {self.remedy}")

    @contextlib.contextmanager
    def breaks(self):
        """Let the first request end the block, which `broken` tells."""

        def end(number, frame=None):
            is_first = not self
            self.note(number)
            if is_first:
                self.broken = True
                raise Broken

        with contextlib.suppress(Broken), handled(end):
            yield

    def end(self, number, step, n_steps):
        """Raise `Interrupted`, which says where the training has stopped, if a signal has asked for it."""
        if number and (step < n_steps or self.broken):
            raise Interrupted(number, f"stopped at step {step} of {n_steps}; {self.remedy}")


class Broken(BaseException):
    """What ends a block that a request may break."""


@contextlib.contextmanager
def asked(remedy, patience=0.0):
    """Let the block look, when it can end, whether it should; what asks for that again ends it at once.

    What comes within `patience` seconds of the first is the same, passed on twice. `remedy` is said.
    """
    request = StopRequest(remedy, patience)
    with handled(request.note):
        yield request
