"""Files that are there whole or not at all: under SIGKILL, on a full disk, with many writers at once."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import safetensors
from picogpt.system import files
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


def test_the_bytes_reach_the_disk_before_the_name_and_the_folder_after_it(tmp_path, monkeypatch):
    calls, replace, path = [], os.replace, tmp_path / "a"

    def fsync(descriptor):
        found = os.fstat(descriptor)
        calls.append("folder" if stat.S_ISDIR(found.st_mode) else ("file", found.st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *args: calls.append("replace") or replace(*args))
    with atomic_write(path) as file:
        file.write(b"all of it")
    assert calls == [("file", 9, False), "replace", *(["folder"] if os.name == "posix" else [])]


@pytest.mark.parametrize("made_again", [False, True])
def test_a_lock_that_its_holder_has_deleted_meanwhile_is_none(tmp_path, monkeypatch, made_again):
    """Another process deletes it, and a third one makes it again, between our opening and our locking."""
    fcntl = pytest.importorskip("fcntl")
    lock, flock = tmp_path / "a.lock", fcntl.flock

    def too_late(file, how):
        lock.unlink()
        if made_again:
            lock.touch()
        flock(file, how)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", too_late)
        assert files.try_lock(lock) is None
    with files.try_lock(lock) as file:
        assert file.is_locked
        assert files.try_lock(lock) is None  # it is held
    with files.try_lock(lock) as file:
        assert file.is_locked


def test_one_who_waits_for_a_lock_gets_it_when_the_holder_lets_go(tmp_path, monkeypatch, caplog):
    pytest.importorskip("fcntl")
    held, waited = files.try_lock(tmp_path / "a.lock"), []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            held.close()

    monkeypatch.setattr(files.time, "sleep", sleep)
    with files.locked(tmp_path / "a") as is_locked:
        assert (is_locked, waited) == (True, [0.1, 0.1])
        assert files.try_lock(tmp_path / "a.lock") is None
    assert caplog.messages == [f"another process is writing {tmp_path / 'a'}: waiting for it"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_just_so_many_bytes_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "a", 5) == files.read_bytes(tmp_path / "a") == b"12345"
    with pytest.raises(ValueError, match="it has more than 4 bytes"):
        files.read_bytes(tmp_path / "a", 4)


def test_limits_are_what_their_users_need(tmp_path):
    (tmp_path / "a").write_bytes(b" " * (files.SMALL - 2) + b"{}")
    assert files.read_json(tmp_path / "a") == {}
    (tmp_path / "a").write_bytes(b" " * (files.SMALL - 1) + b"{}")
    with pytest.raises(ValueError, match="it has more than 1,048,576 bytes"):
        files.read_json(tmp_path / "a")
    assert files.LARGE == 2**26


def test_lines_end_with_newlines_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"one\r\ntwo\rthree\r\r\n")
    assert files.read_text(tmp_path / "a") == "one\ntwo\nthree\n\n"


def test_a_name_that_json_gives_twice_is_named_at_any_depth():
    assert files.parse_json('{"a": {"b": 1}, "b": 2}') == {"a": {"b": 1}, "b": 2}
    with pytest.raises(ValueError, match="it gives 'b' twice"):
        files.parse_json('{"a": [{"b": 1, "c": 3, "b": 1}]}')


def test_where_a_file_may_be_written_is_known_before(tmp_path):
    files.check_out(tmp_path / "a")
    with pytest.raises(ValueError, match="is a folder: --report names the file"):
        files.check_out(tmp_path, "--report")
    with pytest.raises(FileNotFoundError, match="none is missing: make the folder that --out names"):
        files.check_out(tmp_path / "none" / "a")


def test_sizes_are_those_of_files(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert [files.n_bytes(tmp_path / name) for name in ("a", "b", ".")] == [3, 0, 0]
    assert [files.is_there(tmp_path / "a", size) for size in (None, 2, 3, 4)] == [True, False, True, False]
    assert not files.is_there(tmp_path / "b") and not files.is_there(tmp_path / "b", 0)


def test_an_error_of_the_system_names_the_file(tmp_path):
    said = r"none/a cannot be written \(No such file or directory\): make room"
    with pytest.raises(OSError, match=said), atomic_write(tmp_path / "none" / "a"):
        pass


def test_names_are_compared_in_json_of_settings_and_not_of_large_vocabularies(tmp_path):
    for more, refused in ((0, True), (1, False)):
        content = b'{"a": 1, "a": 2'
        (tmp_path / "a.json").write_bytes(content.ljust(files.UNIQUE + more - 1) + b"}")
        if refused:
            with pytest.raises(ValueError, match="it gives 'a' twice"):
                files.read_json(tmp_path / "a.json")
        else:
            assert files.read_json(tmp_path / "a.json") == {"a": 2}


@pytest.mark.skipif(os.name != "posix", reason="the locks of Unix")
@pytest.mark.parametrize("locks", [True, False])
def test_what_others_have_left_is_swept_away_only_where_there_are_locks(locks, tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    if not locks:
        monkeypatch.setattr(fcntl, "flock", refuse)
    other = tmp_path / f"a.{'0' * 16}.tmp"
    other.write_bytes(b"half")
    with files.atomic_write(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert other.exists() == (not locks)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="the devices of Unix")
@pytest.mark.parametrize("name", ["null", "stdout", "not-there"])
def test_among_the_devices_no_file_is_made(name):
    with pytest.raises(OSError, match="is a pipe or a device, which a file would replace: name a file"):
        files.check_replaceable(Path("/dev", name))
