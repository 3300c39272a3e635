"""Files that are there whole or not at all: under SIGKILL, on a full disk, with many writers at once."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import safetensors
from picogpt.system.files import atomic_write

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
BEGINNING = """
import sys
import numpy as np
from picogpt.checkpoints import safetensors

def save(n):  # 3 MB, all of one number
    safetensors.write(sys.argv[1], {"w": np.full(750_000, n, np.float32)}, {"n": str(n)})

"""
KILLED = """
import os
for n in range(50):
    input()
    if not os.fork():
        print("saving", os.getpid(), flush=True)
        save(n)
        os._exit(0)
    print(os.wait()[1], flush=True)
"""


def start(code, path):
    """Start a process that knows `save`, above."""
    words = [sys.executable, "-c", BEGINNING + code, str(path)]
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def saved(path):
    """Return the number of which all of the file is; a mixture fails."""
    tensors, metadata = safetensors.read(path)
    [n] = set(tensors["w"].tolist())
    assert metadata == {"n": str(int(n))}
    return n


def test_a_save_that_is_killed_leaves_the_old_or_the_new_never_neither(tmp_path, tally):
    path, rng = tmp_path / "model.safetensors", np.random.default_rng(0)
    safetensors.write(path, {"w": np.full(750_000, -1, np.float32)}, {"n": "-1"})
    last, n_left = -1, 0
    words = [sys.executable, "-c", BEGINNING + KILLED, str(path)]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    with subprocess.Popen(words, env=ENVIRONMENT, **pipes) as process:
        for n in range(50):
            process.stdin.write("\n")
            pid = int(process.stdout.readline().split()[1])
            time.sleep(rng.uniform(0, 0.008))
            with contextlib.suppress(ProcessLookupError):  # it was quicker
                os.kill(pid, signal.SIGKILL)
            killed = int(process.stdout.readline()) == signal.SIGKILL
            found = saved(path)
            assert found in (last, n) if killed else found == n
            tally("saves killed by SIGKILL", "new" if found == n else "old")
            n_left += bool(list(tmp_path.glob("model.safetensors.*.tmp")))
            last = found
    assert n_left > 0  # some died amid a save
    safetensors.write(path, {})
    assert list(tmp_path.iterdir()) == [path]  # and the next one has swept up after them


def test_a_save_on_a_full_disk_leaves_the_old_and_says_what_to_do(tmp_path, tally):
    pytest.importorskip("resource")
    path = tmp_path / "model.safetensors"
    safetensors.write(path, {"w": np.full(750_000, -1, np.float32)}, {"n": "-1"})
    size = path.stat().st_size
    code = f"""
import os, resource
for n in range(50):
    resource.setrlimit(resource.RLIMIT_FSIZE, (({size} + 1) * n // 50, resource.RLIM_INFINITY))
    try:
        save(n)
    except OSError as error:
        print(error, os.listdir(os.path.dirname(sys.argv[1])), (n,), flush=True)
"""
    with start(code, path) as process:
        said = process.stdout.read().splitlines()
    sentence = f"{path} cannot be written (File too large): make room, or write elsewhere"
    assert said == [f"{sentence} {['model.safetensors']} {(n,)}" for n in range(50)]
    assert saved(path) == -1
    tally("saves on a full disk", "old", 50)


def test_of_many_writers_at_once_each_file_is_one_writers(tmp_path, tally):
    path = tmp_path / "model.safetensors"
    code = "for i in range(8):\n    save(int(sys.argv[2]))"
    words = [sys.executable, "-c", BEGINNING + code, str(path)]
    writers = [subprocess.Popen([*words, str(n)], env=ENVIRONMENT, stderr=subprocess.PIPE) for n in range(4)]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            try:
                assert saved(path) in range(4)
                tally("reads while four processes write", "whole")
            except ValueError as error:  # another file had got that name between the header and the data
                assert str(error) == f"{path} was changed while it was read: run this again"
                tally("reads while four processes write", "to be repeated")
        time.sleep(0.02)
    for writer in writers:
        _, said = writer.communicate()
        assert (writer.returncode, b"Traceback" in said) == (0, False)
    assert saved(path) in range(4)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path):
    for name in ("a.0123456789abcdef.tmp", "a.lock", "a.tmp", "b.0123456789abcdef.tmp"):
        (tmp_path / name).write_bytes(b"much, much longer than what comes")
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.tmp", "b.0123456789abcdef.tmp"}
    assert (tmp_path / "a").read_bytes() == b"new"


def test_an_error_of_the_system_names_the_file(tmp_path):
    said = r"none/a cannot be written \(No such file or directory\): make room"
    with pytest.raises(OSError, match=said), atomic_write(tmp_path / "none" / "a"):
        pass
