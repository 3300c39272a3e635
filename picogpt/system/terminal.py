"""What is shown on a terminal: text without the characters that would command it.

A model may write any character, also those by which a terminal moves its cursor, changes its title or beeps.
There they are written out, as \\x1b; a pipe or a file gets the text as it is.
"""

import contextlib
import logging
import os
import re
import sys

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all of Unicode's category Cc but tab and newline


def harmless(text):
    r"""Return a text with its control characters written out.

    >>> harmless("\x1b[2J" "one\ntwo" "\x07") == r"\x1b[2J" "one\ntwo" r"\x07"
    True
    """
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text):
    r"""Return a text on one line: what cannot be printed is written out.

    >>> one_line("one\ntwo" "\x1b[2J") == r"one\ntwo" r"\x1b[2J"
    True
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class Shown:
    """A stream to a terminal that writes control characters out."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        """Write a text; return how many characters it has."""
        self.stream.write(harmless(text))
        return len(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


class Formatter(logging.Formatter):
    """What is logged, as a terminal may show it; a note may quote anyone's file: it is one line."""

    def format(self, record):
        """Return the line of a record."""
        said = super().format(record)
        if record.levelno >= logging.WARNING and not record.exc_info:
            return one_line(said)
        return harmless(said) if sys.stderr.isatty() else said


@contextlib.contextmanager
def streams():
    """Have the block write UTF-8 to stdout and stderr, harmless to a terminal; if closed, nowhere."""
    before = sys.stdout, sys.stderr
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process: no output is wanted
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(encoding="utf-8", errors="replace")
    if sys.stdout.isatty():
        sys.stdout = Shown(sys.stdout)
    try:
        yield
    finally:
        if isinstance(sys.stdout, Shown):
            sys.stdout, _ = before


def discard(stream):
    """Let what a stream still holds, and cannot be rid of, go nowhere: else its end would be an error too."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # one that is no file, as in a test
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
