"""A folder is one process's, and may be begun again until it is whole; what is somebody's stays theirs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import REPOSITORY

from picogpt.system import folders

HOLD = """
import sys
from picogpt.system import folders
folders.acquire(sys.argv[1], ["whole"])
print("held", flush=True)
input()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder `mine`."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "mine")]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def names(folder):
    return sorted(os.listdir(folder))


def test_the_second_is_told_who_holds_a_folder(holder, tmp_path):
    said = rf"mine is in use by process {holder.pid} on .*: wait for it, or use another --out"
    with pytest.raises(ValueError, match=said):
        folders.acquire(tmp_path / "mine", ["whole"])
    holder.kill()
    holder.wait()
    folders.acquire(tmp_path / "mine", ["whole"])  # a lock ends with its process
    folders.release(tmp_path / "mine")
    assert names(tmp_path / "mine") == []


def test_a_folder_is_held_under_any_name(holder, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("mine")
    monkeypatch.chdir(tmp_path / "mine")
    for name in (".", "../mine", "../link", str(tmp_path / "mine")):
        with pytest.raises(ValueError, match="is in use by process"):
            folders.acquire(name, ["whole"])


def test_what_a_process_has_begun_another_may_begin_again(holder, tmp_path):
    (tmp_path / "mine" / "settings.json").write_text("{}")
    holder.kill()
    holder.wait()
    assert names(tmp_path / "mine") == [folders.LOCK, "settings.json"]
    folders.check_free(tmp_path / "mine", ["whole"])
    (tmp_path / "mine" / "whole").touch()
    with pytest.raises(
        ValueError, match=r"mine holds other files \(settings.json, whole\): --out names another"
    ):
        folders.check_free(tmp_path / "mine", ["whole"])


@pytest.mark.parametrize(("there", "stays"), [([], False), (["half"], True), (["half", "whole"], False)])
def test_the_mark_goes_when_the_folder_is_whole_or_empty(tmp_path, there, stays):
    with folders.release_at_end(tmp_path / "a"):
        folders.acquire(tmp_path / "a", ["whole"])
        folders.acquire(tmp_path / "a", ["whole"])  # once more does nothing
        for name in there:
            (tmp_path / "a" / name).touch()
    assert folders.is_begun(tmp_path / "a") == stays
    assert names(tmp_path / "a") == sorted([*there, *[folders.LOCK] * stays])


def test_a_process_that_ends_lets_go_of_its_folders(tmp_path):
    code = HOLD.replace("input()", "raise ValueError")
    words = [sys.executable, "-c", code, str(tmp_path / "mine")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert names(tmp_path / "mine") == []


def test_the_mark_of_a_whole_folder_is_deleted_and_no_other(holder, tmp_path):
    for name in ("whole", "whole.lock"):
        (tmp_path / "mine" / name).touch()
    folders.unmark(tmp_path / "mine", ["whole"])
    assert folders.is_begun(tmp_path / "mine")  # it is held
    holder.kill()
    holder.wait()
    folders.unmark(tmp_path / "mine", ["other"])
    assert folders.is_begun(tmp_path / "mine")
    folders.unmark(tmp_path / "mine", ["whole"])
    assert names(tmp_path / "mine") == ["whole"]


@pytest.mark.parametrize("name", ["notes.txt", "settings.json", "log.jsonl", ".git", "model.ckpt.index"])
def test_a_folder_of_somebodys_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"holds other files \({name}\): --out names another folder"):
        folders.check_free(tmp_path, ["whole"])
    with pytest.raises(ValueError, match="is a file: --out names a folder"):
        folders.check_free(tmp_path / name, ["whole"])
    folders.check_free(tmp_path / "new", ["whole"])


@pytest.mark.parametrize(("n", "more"), [(3, ""), (4, " and 1 more")])
def test_three_of_the_files_of_a_folder_are_named(tmp_path, n, more):
    for name in "abcd"[:n]:
        (tmp_path / name).touch()
    with pytest.raises(ValueError) as error:
        folders.check_free(tmp_path, ["whole"], "models")
    assert str(error.value) == f"{tmp_path} holds other models (a, b, c{more}): --out names another folder"


def test_an_empty_folder_is_free_and_a_mark_alone_is_nothing(tmp_path):
    folders.check_free(tmp_path, ["whole"])
    (tmp_path / folders.LOCK).touch()
    folders.check_free(tmp_path, ["whole"])


def test_a_folder_is_let_go_of_when_a_block_fails_and_kept_when_not(tmp_path):
    with folders.release_on_error(tmp_path):
        folders.acquire(tmp_path, ["whole"])
    assert os.path.realpath(tmp_path) in folders.HELD
    with pytest.raises(KeyError), folders.release_on_error(tmp_path):
        raise KeyError
    assert os.path.realpath(tmp_path) not in folders.HELD


def test_clearing_deletes_what_was_made_and_through_no_link(tmp_path):
    folder, victim = tmp_path / "a", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("mine")
    made = ["log.jsonl", "log.jsonl.lock", "log.jsonl.0123456789abcdef.tmp"]
    for name in [*made, "notes.txt", "xlog.jsonl", "log.jsonl.tmp"]:
        (folder / name).touch()
    (folder / "settings.json").symlink_to(victim)
    folders.clear(folder, ["log.jsonl", "settings.json"])
    assert names(folder) == ["log.jsonl.tmp", "notes.txt", "xlog.jsonl"]
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("kind", ["link", "pipe", "hard link"])
def test_a_lock_that_is_none_is_refused(tmp_path, kind):
    folder, victim = tmp_path / "a", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("mine")
    lock = folder / folders.LOCK
    {"link": lambda: lock.symlink_to(victim), "pipe": lambda: os.mkfifo(lock)}.get(
        kind, lambda: os.link(victim, lock)
    )()
    with pytest.raises(OSError, match="is a link, a pipe or a device, through which nothing is written"):
        folders.acquire(folder, ["whole"])
    assert victim.read_text() == "mine"


def test_what_a_lock_tells_is_no_more_than_a_name(tmp_path):
    lock = Path(tmp_path, folders.LOCK)
    for content in (b"", b"\xff", b"x" * 1000):
        lock.write_bytes(content)
        assert folders.holder(lock) == "another process"


def test_who_holds_a_folder_is_told_in_full_and_nothing_else(tmp_path):
    lock = tmp_path / folders.LOCK
    lock.write_text(
        "process 1234567 on a.host.with.a.longer.name.than.ours.has.to.be " * 3
    )  # killed, long ago
    folders.acquire(tmp_path, ["whole"])
    try:
        assert lock.read_text() == f"process {os.getpid()} on {socket.gethostname()}"
        assert folders.holder(lock) == lock.read_text()
    finally:
        folders.release(tmp_path)
    for content, said in (
        (b"p" * 200, "p" * 200),
        (b"p" * 201, "another process"),
        (b"\xff", "another process"),
    ):
        lock.write_bytes(content)
        assert folders.holder(lock) == said


def test_the_mark_is_on_the_disk_before_anything_is_written_into_the_folder(tmp_path, monkeypatch):
    calls, fsync = [], os.fsync
    monkeypatch.setattr(folders.os, "fsync", lambda n: calls.append(os.fstat(n).st_size) or fsync(n))
    monkeypatch.setattr(folders, "sync_folder", calls.append)
    folders.acquire(tmp_path, ["whole"])
    folders.release(tmp_path)
    assert calls == [len(f"process {os.getpid()} on {socket.gethostname()}"), tmp_path]
