"""Weights that stay in their file: the same numbers, checked as others are, and moved while a text grows."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from picogpt import cli
from picogpt.checkpoints import in_place, safetensors, verified, weights
from picogpt.generate import generate, stream
from picogpt.params import checks, narrow
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, walk
from picogpt.system import machine
from picogpt.text.chars import CharEncoder

REFERENCES = Path(__file__).parents[1] / "references"
HPARAMS = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)
KINDS = ("ours", "tf_checkpoint", "hf_gpt2")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much of a file is in memory")


@pytest.fixture
def ours(tmp_path):
    params = init_params(HPARAMS, np.random.default_rng(0))
    weights.save(tmp_path / "ours", params, HPARAMS, CharEncoder("abcdefghijklmnopq"))
    return tmp_path / "ours"


@pytest.fixture(params=KINDS)
def folder(request, ours, tmp_path):
    if request.param == "ours":
        return ours
    return Path(shutil.copytree(REFERENCES / request.param, tmp_path / "model"))


def damage(folder):
    """Write a NaN over the last number of the weights."""
    path = sorted([*folder.glob("*.safetensors"), *folder.glob("*.data-*")])[-1]
    path.write_bytes(path.read_bytes()[:-4] + np.float32(np.nan).tobytes())


def test_mapped_weights_are_the_weights_and_stay_in_their_file(folder):
    params, hparams, _ = weights.load(folder, mapped=True)
    expected, known, _ = weights.load(folder)
    assert hparams == known
    assert list(flatten(params)) == list(flatten(expected))
    for path, w in walk(params):
        np.testing.assert_array_equal(w, flatten(expected)[path], err_msg=path)
        assert machine.owner(w) is not None and not w.flags.writeable
        assert machine.owner(flatten(expected)[path]) is None
    assert generate(params, 3, [[1, 2]], 5) == generate(expected, 3, [[1, 2]], 5)


@pytest.mark.parametrize("kind", ["ours", "hf_gpt2", "hf_sharded"])
def test_a_mapped_nan_is_reported_each_time(kind, ours, tmp_path, monkeypatch):
    monkeypatch.setattr(verified, "LARGE", 1)
    folder = ours if kind == "ours" else Path(shutil.copytree(REFERENCES / kind, tmp_path / kind))
    weights.load(folder, mapped=True)  # it is noted that this one has none
    damage(folder)
    for _ in range(2):
        with pytest.raises(ValueError, match="NaN or infinity in"):
            weights.load(folder, mapped=True)


def test_the_numbers_of_a_large_file_are_checked_once(ours, monkeypatch):
    n = len(flatten(weights.load(ours)[0]))
    seen, check = [], checks.check_finite
    monkeypatch.setattr(checks, "check_finite", lambda arrays, _: seen.extend(arrays) or check(arrays, _))
    for _ in range(2):
        weights.load(ours, mapped=True)
    assert len(seen) == 2 * n  # it is small
    monkeypatch.setattr(verified, "LARGE", 1)
    for _ in range(2):
        weights.load(ours, mapped=True)
    assert len(seen) == 3 * n
    path = ours / "model.safetensors"
    path.write_bytes(path.read_bytes())
    weights.load(ours, mapped=True)
    assert len(seen) == 4 * n


def test_what_cannot_stay_is_read(ours, tmp_path):
    """That is what is not in float32, and what does not lie where float32 numbers may."""
    params, hparams, encoder = weights.load(ours)
    weights.save(tmp_path / "narrow", narrow.narrowed(params, "bfloat16"), hparams, encoder)
    shutil.copytree(ours, tmp_path / "askew")
    content = (ours / "model.safetensors").read_bytes()
    n = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + n]), separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4 + 2)
    (tmp_path / "askew" / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + content[8 + n :]
    )
    for name, off in (("narrow", 2**-8), ("askew", 0)):
        read = weights.load(tmp_path / name, mapped=True)[0]
        for path, w in walk(read):
            assert machine.owner(w) is None and w.flags.aligned and w.dtype == np.float32
            np.testing.assert_allclose(w, flatten(params)[path], rtol=off, atol=0)


def test_what_can_stay_is_mapped_whole_and_in_float32(tmp_path):
    np.arange(24, dtype=np.float32).tofile(tmp_path / "numbers")
    mapped = np.asarray(np.memmap(tmp_path / "numbers", np.float32, mode="r"))
    matrix, none = mapped.reshape(4, 6), np.empty((0, 6), np.float32)
    assert in_place.can_stay(dict(a=matrix, b=mapped[6:12], option=none))  # of an option, an empty array
    for other in (matrix.copy(), matrix.T, mapped[::2], mapped.view(np.int32), mapped[1:].view(">f4")):
        assert not in_place.can_stay(dict(a=matrix, b=other))


def test_a_text_goes_on_while_its_weights_move(folder):
    expected = generate(weights.load(folder)[0], 3, [[1, 2]], 9)[0]
    params = weights.load(folder, mapped=True)[0]
    steps, threads = stream(params, 3, [[1, 2]], 9), set(in_place.threading.enumerate())
    steps = in_place.settle(steps, params)
    first = next(steps)
    assert machine.owner(params["wte"]) is not None  # the first token does not wait for it
    text = [i for [i] in [first, next(steps)]]
    for thread in set(in_place.threading.enumerate()) - threads:
        thread.join()
    assert all(machine.owner(w) is None and w.flags.writeable for _, w in walk(params))
    assert text + [i for [i] in steps] == expected


def test_the_command_line_moves_the_weights_of_a_long_text_alone(ours, monkeypatch, capsys):
    moved, move = [], in_place.move
    monkeypatch.setattr(in_place, "move", lambda *args: moved.append(move(*args)))
    monkeypatch.setattr(in_place, "PAYS", 6)
    texts = []
    for n in ("5", "6"):
        monkeypatch.setattr(sys, "argv", ["picogpt", "ab", "--model", str(ours), "--n", n])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        texts.append(capsys.readouterr().out)
    for thread in in_place.threading.enumerate():
        if thread.daemon and thread.name.endswith("(<lambda>)"):
            thread.join()
    assert len(moved) == 1
    assert texts[1].startswith(texts[0].rstrip("\n"))


def test_without_memory_for_it_nothing_moves(ours, monkeypatch):
    params = weights.load(ours, mapped=True)[0]
    before = flatten(params)

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(in_place.np, "empty", full)
    in_place.move(params)
    assert all(w is before[path] for path, w in walk(params))


@LINUX
def test_weights_that_have_moved_leave_the_memory_of_their_file(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal((1 << 10, 1 << 12), np.float32) for name in "abc"}  # 16 MB each
    safetensors.write(tmp_path / "weights", tensors)
    params, _ = safetensors.read_mapped(tmp_path / "weights")
    kept = dict(params)  # so that the map stays open

    def in_file():
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return sum(int(status[kind].split()[0]) for kind in ("RssFile", "RssShmem")) / 1000  # MB

    for w in params.values():
        w.sum()
    before = in_file()
    in_place.move(params)
    assert before - in_file() > 45
    for name, w in tensors.items():
        np.testing.assert_array_equal(params[name], w)
        np.testing.assert_array_equal(kept[name], w)  # it comes again
