"""What a download survives. The table of it is docs/faults.md."""

import email.utils
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fault_server import PIECE, serve, wait_until

from picogpt.checkpoints.download import CHUNK, download
from picogpt.system.files import n_bytes

REPOSITORY = Path(__file__).parents[2]
CONTENT = np.random.default_rng(0).bytes(300_001)
SIZE = len(CONTENT)
KNOWN = dict(size=SIZE, sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server():
    with serve({"/file": CONTENT}) as server:
        yield server


@pytest.fixture
def path(tmp_path):
    """Where the file is to go, in a folder that does not exist yet."""
    return tmp_path / "models" / "file"


def fetch(server, path, **given):
    """Download the file, and check that it is there, whole, and alone."""
    download(f"{server.url}/file", path, **dict(pause=0.001) | given)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def ranges(server):
    """Return which Range each of the requests had."""
    return [span for _, span in server.asked]


def part_of(path):
    return path.with_name("file.part")


def leave(path, part):
    """Leave a part, as an earlier download does."""
    path.parent.mkdir(exist_ok=True)
    part_of(path).write_bytes(part)


# Faults that one call gets over

SURVIVED = [
    None,
    "ignores Range",
    "answers from a later byte",
    "answers from an earlier byte",
    "tells no length",
    "never ends",
    "cuts",
    "resets",
    "sends chunks and cuts",
    "sends chunks and ends early",
    "compresses",
    "stalls",
]


@pytest.mark.parametrize("part", [0, 1, 150_000, SIZE, SIZE + 5])
@pytest.mark.parametrize("fault", SURVIVED)
def test_the_file_arrives_whole(server, path, fault, part):
    server.fault = fault
    leave(path, (CONTENT + b"extra")[:part])
    fetch(server, path, **KNOWN, timeout=(10, 0.1 if fault == "stalls" else 10))


@pytest.mark.parametrize("part", [0, 150_000, SIZE, SIZE + 5])
@pytest.mark.parametrize("fault", [None, "ignores Range", "answers from a later byte", "cuts"])
def test_a_file_of_unknown_size_arrives_whole(server, path, fault, part):
    server.fault = fault
    leave(path, (CONTENT + b"extra")[:part])
    fetch(server, path)


def test_each_connection_that_drops_brings_it_further(server, path):
    server.fault = "cuts"
    fetch(server, path, **KNOWN, n_tries=1)
    assert ranges(server) == [None] + [f"bytes={n}-" for n in range(CHUNK, SIZE, CHUNK)]


def test_a_server_that_cannot_resume_and_cuts_takes_nothing_away(server, path):
    server.fault = "ignores Range and cuts"
    leave(path, CONTENT[:150_000])
    with pytest.raises(OSError, match="it will go on after the 150,000 bytes that are there"):
        fetch(server, path, **KNOWN)
    assert part_of(path).read_bytes() == CONTENT[:150_000]


def test_a_server_that_always_makes_one_begin_anew_is_given_up(server, path, monkeypatch):
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        assert len(pauses) < 20, "it asks for ever"

    monkeypatch.setattr("picogpt.checkpoints.download.time.sleep", sleep)
    server.fault = "answers from a later byte and cuts"
    with pytest.raises(OSError, match="file cannot be fetched"):
        fetch(server, path, **KNOWN)
    assert ranges(server) == [None, "bytes=65536-"] * 2 + [None]  # the first brought something, none after it


def test_pauses_double_and_begin_anew_after_what_was_brought(server, path, monkeypatch, caplog):
    pauses = []
    monkeypatch.setattr("picogpt.checkpoints.download.time.sleep", pauses.append)
    server.refusals = [(503, {}), (503, {}), (503, {})]
    fetch(server, path, **KNOWN, n_tries=4)
    assert pauses == [0.002, 0.004, 0.008]
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # the first; short ones are no news
    server.refusals, server.fault = [(503, {}), *((503, {"Retry-After": wish}) for wish in "56")], None
    caplog.clear()
    path.unlink()
    fetch(server, path, **KNOWN, n_tries=4)
    assert [record.args[2] for record in caplog.records] == [0.002, 6]  # a pause of 5 s is no news yet


@pytest.mark.parametrize("n_tries", [1, 2, 3])
def test_so_many_tries_in_a_row_bring_nothing(server, path, n_tries):
    server.refusals = [(503, {})] * 9
    with pytest.raises(OSError, match="cannot be fetched"):
        fetch(server, path, **KNOWN, n_tries=n_tries)
    assert len(server.asked) == n_tries


def test_a_redirection_is_followed_from_the_same_byte(server, path):
    server.files["/elsewhere"] = server.files.pop("/file")
    server.refusals = [(302, {"Location": "/elsewhere"})]
    leave(path, CONTENT[:150_000])
    fetch(server, path, **KNOWN)
    assert server.asked == [("/file", "bytes=150000-"), ("/elsewhere", "bytes=150000-")]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, path, status):
    server.refusals = [(status, {}), (status, {})]
    fetch(server, path, **KNOWN)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "86400"}, 60),
        ({"Retry-After": email.utils.formatdate(time.time() + 1e6, usegmt=True)}, 60),
        ({"Retry-After": email.utils.formatdate(0, usegmt=True)}, 0.002),
        ({"Retry-After": "soon"}, 0.002),
        ({}, 0.002),
    ],
)
def test_a_busy_server_is_left_alone_as_long_as_it_wants_up_to_a_minute(
    server, path, wish, seconds, monkeypatch
):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    server.refusals = [(429, wish)]
    fetch(server, path, **KNOWN)
    assert slept == [seconds]


def test_the_pauses_double(server, path, monkeypatch, caplog):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    server.refusals = [(503, {})] * 3
    fetch(server, path, pause=0.5)
    assert slept == [1, 2, 4]
    assert caplog.messages[0].endswith("/file cannot be fetched (503 Service Unavailable): next try in 1.0 s")


# Faults that end in a sentence; the next call goes on

REFUSED = {
    "web page": "file is a web page: log in to the network",
    "redirects to a file": r"file cannot be fetched \(InvalidSchema\): check the address",
    "flips a bit": r"file gave a wrong file \(its sha256 is \w+, not the published \w+\): it is deleted, run",
    "answers from a wrong byte and hides it": r"file gave a wrong file \(its sha256 is .*\): it is deleted",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_not_the_file_is_refused_at_once(server, path, fault):
    server.fault = fault
    leave(path, CONTENT[:150_000])
    with pytest.raises(ValueError, match=REFUSED[fault]):
        fetch(server, path, **KNOWN)
    assert ranges(server) == ["bytes=150000-"]
    assert not path.exists()
    if "deleted" in REFUSED[fault]:
        assert list(path.parent.iterdir()) == []
    else:
        assert part_of(path).read_bytes() == CONTENT[:150_000]
    server.fault = None
    fetch(server, path, **KNOWN)


@pytest.mark.parametrize("part", [0, 150_000])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_length_is_refused_before_it_comes(server, path, part, change):
    server.files["/file"] = (CONTENT + b"!")[: SIZE + change]
    leave(path, CONTENT[:part])
    with pytest.raises(ValueError, match=r"file has 300,00[02] bytes, not the published 300,001: check the"):
        fetch(server, path, **KNOWN)
    assert part_of(path).read_bytes() == CONTENT[:part]
    server.files["/file"] = CONTENT
    fetch(server, path, **KNOWN)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_file_that_the_server_does_not_give_is_reported_at_once(server, path, status):
    server.refusals = [(status, {})] * 9
    with pytest.raises(ValueError, match=rf"/file cannot be fetched \({status} [A-Z].*\): check the address"):
        fetch(server, path, **KNOWN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/file", "file:///etc/hostname", "/etc/hostname", "http://"])
def test_only_http_and_https_are_asked(path, url):
    with pytest.raises(ValueError, match=r"cannot be fetched \(\w+\): check the address"):
        download(url, path)


def test_a_length_that_nobody_tells_is_reported(server, path):
    server.fault = "tells no length"
    with pytest.raises(ValueError, match="/file tells no length"):
        fetch(server, path)
    assert not path.exists()


def test_a_check_decides_where_no_sha256_is_known(server, path):
    def check(part):
        if part.read_bytes() != CONTENT:
            raise ValueError("it is another one")

    server.files["/file"] = b"another file"
    with pytest.raises(ValueError, match=r"/file gave a wrong file \(it is another one\): it is deleted"):
        fetch(server, path, check=check)
    assert list(path.parent.iterdir()) == []
    server.files["/file"] = CONTENT
    fetch(server, path, check=check)


@pytest.mark.parametrize(("fault", "refusals"), [("hangs up", []), (None, [(503, {})] * 9)])
def test_a_connection_that_brings_nothing_is_given_up_and_the_part_kept(server, path, fault, refusals):
    server.fault, server.refusals = fault, refusals
    leave(path, CONTENT[:150_000])
    with pytest.raises(
        OSError, match=r"file cannot be fetched \(.*\): check the network .* after the 150,000"
    ):
        fetch(server, path, **KNOWN)
    assert ranges(server) == ["bytes=150000-"] * 4
    assert part_of(path).read_bytes() == CONTENT[:150_000]
    server.fault, server.refusals = None, []
    fetch(server, path, **KNOWN)


def test_no_server_is_reported(path):
    with pytest.raises(OSError, match=r"cannot be fetched \(ConnectionError\): check the network"):
        download("http://127.0.0.1:1/file", path, pause=0.001)


# What is there already


def test_a_whole_part_of_known_size_needs_no_server(path):
    leave(path, CONTENT)
    download("http://127.0.0.1:1/file", path, **KNOWN)
    assert path.read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_asked_for(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    fetch(server, path, **KNOWN)
    assert server.asked == []


def test_a_half_file_of_another_program_is_gone_on_with(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT[:1000])
    fetch(server, path, **KNOWN)
    assert ranges(server) == ["bytes=1000-"]


def test_a_part_of_something_else_is_found_by_its_sha256(server, path):
    leave(path, b"something else")
    with pytest.raises(ValueError, match="deleted, run this again"):
        fetch(server, path, **KNOWN)
    fetch(server, path, **KNOWN)


# Processes that are killed, that wait, that find no room


@pytest.fixture
def start(server, path, tmp_path):
    """Start a process that downloads the file; `lines` may limit it first. Its stderr is the file `.said`."""
    processes = []

    def begin(lines=""):
        call = f"download({server.url + '/file'!r}, {str(path)!r}, **{KNOWN!r}, pause=0.001)"
        said = tmp_path / f"stderr{len(processes)}"
        with open(said, "w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", f"from picogpt.checkpoints.download import download\n{lines}\n{call}"],
                cwd=REPOSITORY,
                stderr=stderr,
            )
        process.said = said
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def has_more(process, path, n):
    """Return whether more than n bytes have arrived, or nothing more will."""
    return n_bytes(part_of(path)) > n or process.poll() is not None


def is_waiting(process):
    return "another process is writing" in process.said.read_text()


def test_a_killed_download_goes_on_where_it_was(server, path, start):
    server.fault = "drips"
    process = start()
    wait_until(lambda: n_bytes(part_of(path)) == PIECE)
    process.kill()
    process.wait()
    assert sorted(file.name for file in path.parent.iterdir()) == ["file.lock", "file.part"]
    server.fault = None
    fetch(server, path, **KNOWN)
    assert ranges(server) == [None, f"bytes={PIECE}-"]


def test_a_download_that_is_killed_again_and_again_gets_there(server, path, start):
    rng = np.random.default_rng(0)
    server.fault = "drips"  # a process gets one piece of five
    n = 0
    while not path.exists():
        n, before = n + 1, n_bytes(part_of(path))
        process = start()
        wait_until(lambda n=n, process=process: len(server.asked) == n or process.poll() is not None)
        if n % 4:  # it gets its piece, on a busy machine too; the others may get it or not
            wait_until(lambda process=process, had=before: has_more(process, path, had))
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        if part_of(path).exists():
            assert CONTENT.startswith(part_of(path).read_bytes())
    assert n >= 5
    fetch(server, path, **KNOWN)


def test_of_four_first_downloads_one_fetches_and_three_wait(server, path, start):
    server.fault = "drips"
    processes = [start() for _ in range(4)]
    wait_until(lambda: sum(is_waiting(process) for process in processes) == 3)
    server.go_on.set()
    assert [process.wait() for process in processes] == [0] * 4
    assert ranges(server) == [None]
    fetch(server, path, **KNOWN)


def test_one_that_waits_goes_on_when_the_one_that_fetches_is_killed(server, path, start):
    server.fault = "drips"
    processes = [start() for _ in range(3)]
    wait_until(lambda: sum(is_waiting(process) for process in processes) == 2)
    wait_until(lambda: n_bytes(part_of(path)) == PIECE)
    [fetching] = [process for process in processes if not is_waiting(process)]
    fetching.kill()
    wait_until(lambda: len(server.asked) == 2)
    server.go_on.set()
    assert sorted(process.wait() for process in processes) == [-signal.SIGKILL, 0, 0]
    assert ranges(server) == [None, f"bytes={PIECE}-"]
    fetch(server, path, **KNOWN)


def test_a_lock_that_was_left_behind_locks_nothing(server, path):
    path.parent.mkdir()
    path.with_name("file.lock").touch()
    fetch(server, path, **KNOWN)


def test_a_file_system_without_locks_is_no_obstacle(server, path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    fetch(server, path, **KNOWN)


def test_a_full_disk_is_reported_and_what_fitted_gone_on_with(server, path, start):
    pytest.importorskip("resource")
    process = start("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))")
    assert process.wait() == 1
    said = process.said.read_text().splitlines()[-1]
    assert said == f"OSError: {part_of(path)} cannot be written (File too large): make room, run this again"
    assert part_of(path).read_bytes() == CONTENT[:200_000]
    fetch(server, path, **KNOWN)
    assert ranges(server) == [None, "bytes=200000-"]


def test_a_disk_that_is_full_from_the_start_is_reported(server, path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match=r"file.part cannot be written \(File too large\): make room, run"):
            fetch(server, path, **KNOWN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    fetch(server, path, **KNOWN)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["file", "file.part", "file.lock"])
@pytest.mark.parametrize("leads_to", ["a file", "nothing", "/dev/full"])
def test_what_arrives_is_written_through_no_link(server, path, name, leads_to):
    victim = path.parent.parent / "victim"
    victim.write_text("mine")
    path.parent.mkdir(exist_ok=True)
    target = {"a file": victim, "nothing": victim.with_name("new")}.get(leads_to, leads_to)
    path.with_name(name).symlink_to(target)
    if name == "file.lock":
        with pytest.raises(OSError, match=r"file.lock is a link, a pipe or a device, .*: delete it"):
            fetch(server, path, **KNOWN)
    else:
        fetch(server, path, **KNOWN)
        assert path.read_bytes() == CONTENT and not path.is_symlink()
    assert victim.read_text() == "mine"
    assert not victim.with_name("new").exists()


def test_a_part_that_is_another_file_too_is_not_written_to(server, path):
    victim = path.parent.parent / "victim"
    victim.write_text("mine")
    path.parent.mkdir(exist_ok=True)
    os.link(victim, part_of(path))
    with pytest.raises(OSError, match=r"file.part is a link, a pipe or a device, .*: delete it"):
        fetch(server, path, **KNOWN)
    assert victim.read_text() == "mine"
