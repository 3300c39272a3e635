"""A program at a pseudo-terminal, and the sessions of docs/chat.md."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SIGN = "> "
# Make the pseudo-terminal that of the new session, so that Ctrl-C in it is a signal; then become the program.
# A preexec_fn would do it before, but fork this process, in which JAX may have threads.
TAKE = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Terminal:
    """A program in a pseudo-terminal, as a person sits before it."""

    def __init__(self, *words, folder):
        import pty

        self.screen, program = pty.openpty()
        environment = os.environ | dict(PYTHONPATH=str(REPOSITORY), TERM="dumb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, "-m", *words], cwd=folder, env=environment, start_new_session=True,
            stdin=program, stdout=program, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(program)

    def read(self, end, seconds=200):
        """Return what is shown until it ends so."""
        return self.read_until(lambda shown: shown.endswith(end), repr(end), seconds)

    def read_until(self, is_enough, what, seconds=200):
        """Return what is shown until it is enough."""
        shown, until = "", time.monotonic() + seconds
        while not is_enough(shown):
            ready, _, _ = select.select([self.screen], [], [], max(0, until - time.monotonic()))
            if not ready or time.monotonic() > until:
                raise AssertionError(f"{shown!r} does not end with {what}")
            try:
                shown += os.read(self.screen, 10_000).decode().replace("\r\n", "\n")
            except OSError:  # its other end is closed
                break
        return shown

    def type(self, text):
        """Type a line."""
        os.write(self.screen, text.encode() + b"\n")

    def press(self, key):
        """Press a key with Control."""
        os.write(self.screen, bytes([ord(key) - ord("A") + 1]))

    def end(self):
        """Press Ctrl-D; return the exit code and what went to stderr."""
        self.press("D")
        said = self.process.stderr.read().decode()
        code = self.process.wait(60)
        self.close()
        return code, said

    def close(self):
        """End the program, if it has not ended, and close what it wrote to."""
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if self.screen is not None:
            os.close(self.screen)
            self.screen = None


def sessions():
    """Return (command, [(typed, shown)]) of each session in docs/chat.md."""
    text = (REPOSITORY / "docs" / "chat.md").read_text(encoding="utf-8")
    for block in re.findall(r"```console\n\$ python -m (.*?)```", text, re.DOTALL):
        command, *parts = re.split(r"^> ", block, flags=re.MULTILINE)
        yield command.strip(), [part.partition("\n")[::2] for part in parts]


def words_of(command):
    """Return the words of a command of docs/chat.md, as a shell has them."""
    return [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
