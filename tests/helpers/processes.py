"""Python in a process of its own, as a user starts it, and what came of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str


def run_python(*words, folder=None, stdin=b"", timeout=300, **environment):
    """Run Python in `folder` with the words of a command line; `import picogpt` finds the one tested here."""
    done = subprocess.run(
        [sys.executable, *(word if isinstance(word, bytes) else str(word) for word in words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        input=stdin,
        capture_output=True,
        timeout=timeout,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
