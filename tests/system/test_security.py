"""A folder that was received from anyone: reading it writes nothing, runs nothing and waits for nothing.

Each is what an attacker did, or could; SECURITY.md says what picogpt promises.
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints import weights
from picogpt.params.init import init_params
from picogpt.system import files
from picogpt.system.files import atomic_write, open_own, read_bytes, read_json
from picogpt.text.bpe import load_encoder

REPOSITORY = Path(__file__).parents[2]
BPE = REPOSITORY / "models" / "gpt2-bpe"
HPARAMS = dict(n_vocab=300, n_ctx=32, n_embd=512, n_head=2, n_layer=2)  # 25 MB, of which a note is made


def everything(folder):
    """Return all that is in a folder, and where its links lead."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
    return found


@pytest.fixture
def openais(tmp_path):
    """A folder of OpenAI's kind, large enough for a note that it has been verified."""
    weights.save(
        tmp_path / "ours", init_params(HPARAMS, np.random.default_rng(0)), HPARAMS, load_encoder(BPE, 300)
    )
    words = [
        REPOSITORY / "tools" / "convert.py",
        tmp_path / "ours",
        "--to=tf",
        "--out",
        tmp_path / "received",
    ]
    assert run_python(*words).code == 0
    return tmp_path / "received"


def test_a_received_model_does_not_write_to_the_users_files(openais, tmp_path):
    """Its checkpoint names files that are a command, and what was once written beside them is a link."""
    home, prefix = tmp_path / "home", "; touch pwned;"
    home.mkdir()
    (home / ".bashrc").write_text("alias ll='ls -l'\n")
    for path in openais.glob("model.ckpt.*"):
        path.rename(openais / path.name.replace("model.ckpt", prefix))
    (openais / "checkpoint").write_text(f'model_checkpoint_path: "{prefix}"\n')
    for ending in (".verified", ".verified.tmp", ".verified.lock", ".index.lock", ".index.tmp"):
        (openais / f"{prefix}{ending}").symlink_to(home / ".bashrc")
    before = everything(openais), everything(home)
    for _ in range(2):
        settings = dict(HOME=str(home), XDG_CACHE_HOME=str(tmp_path / "cache"))
        done = run_python("-m", "picogpt", "Hello", "--n=1", "--model", openais, **settings)
        assert (done.code, done.err) == (0, "")
        assert (everything(openais), everything(home)) == before
    assert len(everything(tmp_path / "cache")) == 4  # picogpt, verified, and two notes


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "hard link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["a", "a.tmp", "a.lock"])
def test_what_is_written_goes_through_no_link(tmp_path, name, kind):
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_text("mine")
    folder.mkdir()
    path = folder / name
    if kind == "hard link":
        os.link(victim, path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(victim if kind == "link" else tmp_path / "new")
    refused = name == "a.lock" or (name == "a" and kind in ("folder", "pipe"))
    try:
        with atomic_write(folder / "a") as file:
            file.write(b"new")
        assert not refused
        assert (folder / "a").read_bytes() == b"new" and not (folder / "a").is_symlink()
    except OSError as error:
        assert refused
        assert str(folder / "a") in str(error)
        assert sorted(os.listdir(folder)) in (["a"], ["a.lock"])
    assert victim.read_text() == "mine"
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs the devices of Unix")
@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/new", "linked"])
def test_no_device_is_replaced_by_a_file_not_even_by_root(tmp_path, name, monkeypatch):
    """As root, `--out /dev/null` would make it a file, and every program after that write to it."""
    monkeypatch.setattr(files, "create", lambda path: pytest.fail(f"{path} is made"))
    monkeypatch.setattr(files, "try_lock", lambda path: pytest.fail(f"{path} is made"))
    (tmp_path / "linked").symlink_to("/dev/null")
    path = tmp_path / name
    said = re.escape(f"{path} is a pipe or a device, which a file would replace: name a file")
    with pytest.raises(OSError, match=said), atomic_write(path):
        pass
    with pytest.raises(OSError, match=said):
        files.check_out(path)


def test_the_name_of_a_temporary_file_cannot_be_foreseen(tmp_path):
    names = set()
    for _ in range(20):
        with atomic_write(tmp_path / "a"):
            names |= {path.name for path in tmp_path.glob("*.tmp")}
    assert len(names) == 20
    assert all(len(name) == len("a.0123456789abcdef.tmp") for name in names)


def test_a_file_of_ours_is_opened_through_no_link(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="log is a link, a pipe or a device"):
        open_own(tmp_path / "log", "a")
    with open_own(tmp_path / "new", "a", encoding="utf-8") as file:
        file.write("one")
    with open_own(tmp_path / "new", "a", encoding="utf-8") as file:
        file.write(" two")
    assert (tmp_path / "new").read_text() == "one two"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": 1, "b": {"c": 2, "c": 3}}', "'c' twice"),
        (b" " * 101 + b"1", "more than 100 bytes"),
        (b'{"a": "\xff"}', "decode"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_is_none_is_one_kind_of_error(tmp_path, content, says):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_json(tmp_path / "a", most=100 if says.startswith("more") else 10**7)


@pytest.mark.parametrize("kind", ["pipe", "folder", "/dev/zero", "/dev/null", "/dev/tty"])
def test_only_regular_files_are_read(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(kind)
    with pytest.raises((ValueError, OSError)):
        read_bytes(path)
