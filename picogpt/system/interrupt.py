"""Ctrl-C, and the signal by which a scheduler ends a process (SIGTERM): one line at any moment, nothing torn.

    at_once   while a command starts or ends: the process ends, as there is nothing to lose
    raised    while it works: an exception, on which half-written files are removed
    asked     while it trains: a request to stop after the update; a second one is an exception

A signal that is ignored stays ignored, as Ctrl-C is by a command that a script starts in the background.
"""

import contextlib
import os
import signal
import sys
import threading
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """An interrupt: its signal, and the message for it."""

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
    """Install a handler of both signals; return the earlier ones. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in SIGNALS}
    changed = {number: was for number, was in before.items() if was is not signal.SIG_IGN and was is not None}
    for number in changed:
        signal.signal(number, handler)
    return changed


@contextlib.contextmanager
def handled(handler=raised):
    """Install a handler of both signals for the length of the block."""
    before = handle(handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


@contextlib.contextmanager
def noticed(pause=0.05):
    """Let a signal end a wait for keys in the block even if it came just before that.

    Python runs a handler when it next comes to a step of Python. The C code of `input` is woken by a signal
    while it waits; one that comes between the prompt and the wait would be noticed at the next key alone. So
    a thread sends each signal again, every `pause` seconds, until its handler has ended the block.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_kill"):
        yield  # as on Windows
        return
    (reader, writer), is_over, ending = os.pipe(), threading.Event(), threading.Lock()
    os.set_blocking(writer, False)

    def send_again():
        for number in os.read(reader, 1):  # nothing, when `writer` is closed
            while not is_over.wait(pause):
                with ending:
                    if not is_over.is_set():
                        signal.pthread_kill(threading.main_thread().ident, number)

    thread = threading.Thread(target=send_again, daemon=True)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # C code writes there what signal came
    thread.start()
    try:
        yield
    finally:
        with ending:
            is_over.set()
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)


def quietly(main, *args):
    """Call a program's `main`; an interrupt ends both with one line."""
    try:
        with handled():
            main(*args)
    except KeyboardInterrupt as error:
        print(f"picogpt: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(getattr(error, "code", 130))


class StopRequest:
    """Whether an interrupt has asked the training to stop: true once it has; then `number` is its signal."""

    def __init__(self, remedy="", patience=0.0):
        self.number, self.when, self.remedy, self.patience = 0, 0.0, remedy, patience
        self.broken = False

    def __bool__(self):
        return bool(self.number)

    def note(self, number, frame=None):
        """Note the first signal; a second one, `patience` seconds later or more, raises `Interrupted`."""
        if not self.number:
            self.number, self.when = number, time.monotonic()
        elif time.monotonic() - self.when >= self.patience:
            raise Interrupted(number, f"interrupted; {self.remedy}")

    @contextlib.contextmanager
    def breaks(self):
        """Let the first signal end the block at once; `broken` is true then."""

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
    """Ends the block of `StopRequest.breaks`."""


@contextlib.contextmanager
def asked(remedy, patience=0.0):
    """Give the block a `StopRequest` to look at where it can stop; a second signal ends it at once.

    A signal within `patience` seconds of the first is an echo of it, as mpiexec sends. `remedy`
    is what the message says to do.
    """
    request = StopRequest(remedy, patience)
    with handled(request.note):
        yield request
