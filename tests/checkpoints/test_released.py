"""The released models: which files are asked for, and where; what tells that they are right."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fault_server import PIECE, serve, wait_until

from picogpt.checkpoints import bundle, download, released, weights
from picogpt.params.shapes import SIZES, n_params
from picogpt.text import bpe

REPOSITORY = Path(__file__).parents[2]
OPENAI = REPOSITORY / "tests" / "data" / "gpt2-124M"
TENSORFLOW = REPOSITORY / "tests" / "references" / "tf_checkpoint"
GPT2_BPE = REPOSITORY / "models" / "gpt2-bpe"
INDEX, DATA = released.INDEX, released.DATA


def known(content):
    return len(content), hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """A mirror without files."""
    with serve({}) as server:
        monkeypatch.setenv("PICOGPT_URL", f"{server.url}/")
        monkeypatch.delenv("PICOGPT_OFFLINE", raising=False)
        yield server


@pytest.fixture(scope="module")
def small_files():
    """OpenAI's own files of 124M but for the weights, of which there are the first 9,216 bytes."""
    files = {name: (OPENAI / name).read_bytes() for name in ("checkpoint", "hparams.json", INDEX)}
    files["vocab.bpe"] = (GPT2_BPE / "vocab.bpe").read_bytes()
    files["encoder.json"] = json.dumps(bpe.load_encoder(GPT2_BPE).encoder).encode()
    files[DATA] = (OPENAI / "h0-attn-c_attn-b.bin").read_bytes()
    return files


@pytest.fixture
def medium(server, monkeypatch):
    """What the mirror has of 355M, {path: content}; it is a small one, as TensorFlow wrote it."""
    names = "checkpoint", "hparams.json", INDEX, DATA
    files = {name: (TENSORFLOW / name).read_bytes() for name in names}
    files |= {"encoder.json": b"{}", "vocab.bpe": b"#version: 0.2\n"}
    monkeypatch.setitem(SIZES, "355M", json.loads(files["hparams.json"]))
    monkeypatch.setitem(released.DATA_BYTES, "355M", len(files[DATA]))
    monkeypatch.setattr(released, "ENCODER", known(files["encoder.json"]))
    monkeypatch.setattr(released, "MERGES", known(files["vocab.bpe"]))
    server.files = {f"/355M/{name}": content for name, content in files.items()}
    return server.files


@pytest.fixture
def hugging_face(server, monkeypatch, small_files):
    """What the mirror has of Hugging Face's gpt2: the tokenizer as published, small weights."""
    files = {"config.json": b"{}", "model.safetensors": b"weights" * 20_000}
    name, commit, *_ = released.HF_MODELS["124M"]
    monkeypatch.setitem(released.HF_MODELS, "124M", (name, commit, *map(known, files.values())))
    files |= {"vocab.json": small_files["encoder.json"], "merges.txt": small_files["vocab.bpe"]}
    server.files = {f"/openai-community/gpt2/resolve/{commit}/{name}": files[name] for name in files}
    return files


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Which files, from where


def test_openais_files_have_the_published_checksums(server, tmp_path, small_files):
    server.files = {f"/124M/{name}": content for name, content in small_files.items()}
    with pytest.raises(ValueError, match=f"{DATA} has 9,216 bytes, not the published 497,759,232"):
        released.fetch_gpt2("124M", tmp_path)
    assert contents(tmp_path / "124M") == {name: small_files[name] for name in small_files if name != DATA}
    assert [path for path, _ in server.asked] == [f"/124M/{name}" for name in released.FILES]


def test_hugging_faces_files_come_from_its_commit(server, tmp_path, hugging_face):
    assert released.fetch_gpt2("124M", tmp_path, "hf") == tmp_path / "gpt2"
    assert contents(tmp_path / "gpt2") == hugging_face
    assert {path for path, _ in server.asked} == set(server.files)
    assert server.asked[-1][0].endswith("/model.safetensors")


@pytest.mark.parametrize("source", released.URLS)
def test_what_is_there_from_either_source_is_not_fetched(server, tmp_path, hugging_face, source):
    released.fetch_gpt2("124M", tmp_path, "hf")
    server.asked.clear()
    assert released.fetch_gpt2("124M", tmp_path, source, offline=True) == tmp_path / "gpt2"
    assert weights.find("124M", tmp_path, source) == tmp_path / "gpt2"
    assert server.asked == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("source", "host"), [("openai", "openaipublic.blob.core.windows.net"), ("hf", "huggingface.co")]
)
def test_without_a_mirror_the_source_is_asked(tmp_path, monkeypatch, size, source, host):
    asked = []
    monkeypatch.setattr(download, "download", lambda url, *what: asked.append((url, *what)))
    monkeypatch.setenv("PICOGPT_URL", "")
    folder = weights.find(size, tmp_path, source)
    assert folder == tmp_path / (size if source == "openai" else released.HF_MODELS[size][0])
    for url, path, n_bytes, sha256, check in asked:
        assert url.startswith(f"https://{host}/")
        assert path == folder / url.rsplit("/")[-1]
        assert n_bytes is None or n_bytes > 0
        assert check or re.fullmatch("[0-9a-f]{64}", sha256)


def test_published_sizes_are_those_of_the_arrays():
    data_bytes = released.DATA_BYTES | {"124M": released.FILES[DATA][0]}
    for size, hparams in SIZES.items():
        assert data_bytes[size] == 4 * n_params(hparams)
        in_safetensors = released.HF_MODELS[size][-1][0]
        masks = 4 * hparams["n_layer"] * hparams["n_ctx"] ** 2  # that Hugging Face stores with each block
        assert in_safetensors is None or 0 < in_safetensors - data_bytes[size] - masks < 50_000


@pytest.mark.parametrize(
    ("size", "source", "says"),
    [
        ("117M", "openai", "no GPT-2 of size 117M, but 124M, 355M, 774M, 1558M"),
        ("124M", "ftp", "ftp is no source of models; these are openai, hf"),
    ],
)
def test_what_nobody_has_is_not_asked_for(server, tmp_path, size, source, says):
    with pytest.raises(ValueError, match=says):
        released.fetch_gpt2(size, tmp_path, source)
    assert server.asked == []


# Of 355M, 774M and 1558M no sha256 is published


def test_the_index_tells_that_the_weights_are_right(server, tmp_path, medium):
    folder = released.fetch_gpt2("355M", tmp_path)
    assert contents(folder) == {Path(path).name: content for path, content in medium.items()}
    with np.load(TENSORFLOW / "expected.npz") as expected:
        assert {name: array.tolist() for name, array in bundle.read(folder).items()} == {
            name: array.tolist() for name, array in expected.items()
        }


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("checkpoint", lambda c: c.replace(b"model.ckpt", b"other.ckpt"), "it does not name model.ckpt"),
        ("hparams.json", lambda c: c.replace(b"12", b"13"), "it does not tell the hyper-parameters of 355M"),
        ("hparams.json", lambda c: b"[" * 100_000, ""),
        ("encoder.json", lambda c: b"[]", "its sha256 is"),
        ("vocab.bpe", lambda c: flipped(c, 3), "its sha256 is"),
        (INDEX, lambda c: flipped(c, 100), "it is not the index of 355M"),
        (INDEX, lambda c: (OPENAI / INDEX).read_bytes(), "it is not the index of 355M"),
        (DATA, lambda c: flipped(c, 0), "the crc32c of model/h0/attn/c_attn/b is not the one in"),
        (DATA, lambda c: flipped(c, -2), "the crc32c of model/wte is not the one in model.ckpt.index"),
    ],
)  # fmt: skip
def test_a_wrong_file_never_gets_its_name(server, tmp_path, medium, name, change, says):
    good = medium[f"/355M/{name}"]
    medium[f"/355M/{name}"] = change(good)
    with pytest.raises(ValueError, match=rf"{name} gave a wrong file \(.*{says}.*\): it is deleted"):
        released.fetch_gpt2("355M", tmp_path)
    before = list(released.FILES)[: list(released.FILES).index(name)]
    assert sorted(contents(tmp_path / "355M")) == sorted(before)
    medium[f"/355M/{name}"] = good
    server.asked.clear()
    released.fetch_gpt2("355M", tmp_path)
    assert [Path(path).name for path, _ in server.asked] == list(released.FILES)[len(before) :]


@pytest.mark.parametrize("index", [b"", (OPENAI / INDEX).read_bytes()])
def test_weights_are_not_deleted_for_a_wrong_index(server, tmp_path, medium, index):
    (tmp_path / "355M").mkdir()
    (tmp_path / "355M" / INDEX).write_bytes(index)
    with pytest.raises(OSError, match=rf"{INDEX} .*: delete it"):
        released.fetch_gpt2("355M", tmp_path)
    (tmp_path / "355M" / INDEX).unlink()
    server.asked.clear()
    released.fetch_gpt2("355M", tmp_path)
    assert server.asked == [(f"/355M/{INDEX}", None)]


# Offline


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_nothing_is_fetched_and_what_is_missing_named(server, tmp_path, monkeypatch, medium, value):
    says = (
        rf"355M lacks checkpoint, .*, {DATA}, and offline nothing is fetched: run .* from {server.url}/355M"
    )
    with pytest.raises(FileNotFoundError, match=says):
        weights.load("355M", tmp_path, offline=True)
    monkeypatch.setenv("PICOGPT_OFFLINE", value)
    with pytest.raises(FileNotFoundError, match=says):
        weights.load("355M", tmp_path)
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["", "0"])
def test_offline_may_be_switched_off(tmp_path, monkeypatch, medium, value):
    monkeypatch.setenv("PICOGPT_OFFLINE", value)
    assert weights.find("355M", tmp_path) == tmp_path / "355M"


# On the command line


@pytest.fixture
def picogpt(server, tmp_path):
    """Start the command on 124M, which is not there; its files go to tmp_path, `limit` is a size of them."""

    def run(*flags, limit=None):
        code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop()),) * 2)\n"
        code = (code if limit else "") + "from picogpt.__main__ import main; main()"
        words = [
            "Once",
            "--model",
            "124M",
            "--models_dir",
            str(tmp_path),
            *flags,
            *([str(limit)] if limit else []),
        ]
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    return run


@pytest.mark.parametrize(
    ("flags", "limit", "code", "says"),
    [
        (["--offline"], None, 1, r"\S+124M lacks checkpoint, .* and offline nothing is fetched: .*"),
        (["--source", "disk"], None, 2, r"--source must be openai or hf, not disk .*"),
        (
            ["--source", "hf"],
            None,
            1,
            r"http\S+/config.json cannot be fetched \(404 Not Found\): check the address",
        ),
        (
            [],
            200_000,
            1,
            r"\S+encoder.json.part cannot be written \(File too large\): make room, run this again",
        ),
    ],
    ids=["offline", "unknown source", "not found", "full disk"],
)
def test_an_error_is_one_line(server, picogpt, small_files, flags, limit, code, says):
    if limit:
        pytest.importorskip("resource")
    server.files = {f"/124M/{name}": content for name, content in small_files.items()}
    with picogpt(*flags, limit=limit) as process:
        _, said = process.communicate()
    assert process.returncode == code
    assert re.fullmatch(f"picogpt: {says}", said.splitlines()[-1])
    assert "Traceback" not in said


def test_ctrl_c_keeps_what_has_arrived_and_gives_130(server, tmp_path, picogpt, small_files):
    server.files = {f"/124M/{name}": content for name, content in small_files.items()}
    server.fault = "drips"
    part = tmp_path / "124M" / "encoder.json.part"
    with picogpt() as process:
        wait_until(lambda: part.exists() and part.stat().st_size == PIECE)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert part.read_bytes() == small_files["encoder.json"][:PIECE]
