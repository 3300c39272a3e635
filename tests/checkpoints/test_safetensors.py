import json
import os
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import safetensors
from picogpt.params import narrow
from picogpt.system import files

RECORDED = Path(__file__).parents[1] / "references" / "safetensors"


def tensors():
    rng = np.random.default_rng(0)
    return {
        "wte": rng.normal(size=(17, 12)).astype(np.float32),
        "blocks.0.ln_1.g": rng.normal(size=12).astype(np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5, np.float32),
    }


def other_types():
    kinds = ["f8", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"]
    return {kind: np.arange(5).astype(kind) for kind in kinds} | {"?": np.array([True, False])}


def bfloat16():
    return {"ones": np.array([0x3F80, 0xBF80], np.uint16).view(safetensors.BF16)}


def assert_same(ours, theirs):
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        assert array.shape == theirs[name].shape, name
        assert array.tobytes() == theirs[name].tobytes(), name


def file_of(path, header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


@pytest.mark.parametrize("written", [tensors(), other_types(), bfloat16(), {}])
def test_what_is_written_is_read(tmp_path, written):
    path = tmp_path / "model.safetensors"
    safetensors.write(path, written, {"format": "picogpt", "note": "ü"})
    for read in (safetensors.read, safetensors.read_mapped):
        found, metadata = read(path)
        assert_same(found, written)
        assert list(found) == list(written)
        assert metadata == {"format": "picogpt", "note": "ü"}


def test_bfloat16_is_rounded_as_pytorch_rounds_it():
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(2**32, size=100_000, dtype=np.uint32)
    ties = np.arange(0, 2**31, 2**15, dtype=np.uint32)  # every second lies between two of bfloat16's
    array = np.concatenate([bits, ties]).view(np.float32)
    array = array[np.isfinite(array)]
    ours = narrow.to_bfloat16(array)
    theirs = torch.from_numpy(array).bfloat16()
    np.testing.assert_array_equal(ours.view(np.int16), theirs.view(torch.int16).numpy())
    np.testing.assert_array_equal(narrow.widen(ours), theirs.float().numpy())


def test_tensors_are_writable_views_of_one_array(tmp_path):
    safetensors.write(tmp_path / "a", tensors())
    found, metadata = safetensors.read(tmp_path / "a")
    assert len({id(array.base) for array in found.values()}) == 1
    found["wte"] += 1
    assert metadata == {}


def test_arrays_with_gaps_or_the_other_byte_order_are_written_right(tmp_path):
    square = np.arange(12, dtype=np.float32).reshape(3, 4)
    safetensors.write(tmp_path / "a", {"t": square.T, "big": square.astype(">f4")})
    assert_same(safetensors.read(tmp_path / "a")[0], {"t": square.T.copy(), "big": square})


def test_the_recorded_file_of_the_library_is_read():
    found, metadata = safetensors.read(RECORDED / "library.safetensors")
    assert_same(found, tensors() | other_types())
    assert metadata == {"format": "np"}


def test_the_library_reads_ours_and_we_read_the_librarys(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    arrays = tensors() | other_types()
    safetensors.write(tmp_path / "ours", arrays, {"format": "picogpt"})
    assert_same(library.load_file(tmp_path / "ours"), arrays)
    library.save_file(arrays, tmp_path / "theirs", metadata={"format": "np"})
    assert_same(safetensors.read(tmp_path / "theirs")[0], arrays)
    assert_same(library.load_file(RECORDED / "library.safetensors"), arrays)


@pytest.mark.parametrize("change", ["replaced", "cut"])
def test_a_file_that_changes_between_its_header_and_its_data_is_noticed(tmp_path, monkeypatch, change):
    path, read_header = tmp_path / "a", safetensors.read_header
    safetensors.write(path, tensors())

    def then_it_changes(*args):
        found = read_header(*args)
        if change == "cut":
            os.truncate(path, path.stat().st_size - 1)
        else:
            safetensors.write(path, {name: 2 * array for name, array in tensors().items()})
        return found

    monkeypatch.setattr(safetensors, "read_header", then_it_changes)
    with pytest.raises(ValueError, match="a was changed while it was read: run this again"):
        safetensors.read(path)


def test_a_file_is_read_in_parts_to_its_last_byte(tmp_path, monkeypatch):
    written = dict(w=np.arange(251, dtype=np.uint8))
    safetensors.write(tmp_path / "a", written)
    for part in (1, 50, 250, 251, 252):
        monkeypatch.setattr(safetensors, "PART", part)
        assert_same(safetensors.read(tmp_path / "a")[0], written)


@pytest.mark.parametrize("read", [safetensors.read, safetensors.read_mapped])
def test_bytes_that_no_tensor_has_are_reported(tmp_path, read):
    safetensors.write(tmp_path / "a", tensors())
    n = (tmp_path / "a").stat().st_size
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes() + b"1")
    with pytest.raises(ValueError, match=f"a has {n + 1:,} bytes, but its header describes {n:,}"):
        read(tmp_path / "a")


@pytest.mark.parametrize("name", ["a", "aa", "aaa", "a" * 7])
def test_the_data_begins_at_a_multiple_of_8_bytes(tmp_path, name):
    safetensors.write(tmp_path / "a", {name: np.ones(2)})
    assert int.from_bytes((tmp_path / "a").read_bytes()[:8], "little") % 8 == 0


def test_an_array_has_32_axes_at_most(tmp_path):
    for n in (32, 33):
        header = {"a": {"dtype": "F32", "shape": [1] * n, "data_offsets": [0, 4]}}
        path = file_of(tmp_path / "a", header, bytes(4))
        if n == 32:
            assert safetensors.read(path)[0]["a"].shape == (1,) * 32
        else:
            with pytest.raises(ValueError, match="tensor 'a' has 33 axes: 32 are the most"):
                safetensors.read(path)


@pytest.mark.parametrize(("limit", "value"), [("MOST_TENSORS", 3), ("LONGEST_HEADER", 64)])
def test_what_could_not_be_read_again_is_not_written(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(safetensors, limit, value)
    with pytest.raises(ValueError, match="a would have 4 tensors, more than could be read again"):
        safetensors.write(tmp_path / "a", tensors())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [safetensors.read, safetensors.read_mapped])
@pytest.mark.parametrize("n_left", [0, 5, 8, 100, -1])
def test_a_cut_file_is_reported(tmp_path, n_left, read):
    path = tmp_path / "cut.safetensors"
    safetensors.write(path, tensors())
    path.write_bytes(path.read_bytes()[:n_left])
    with pytest.raises(ValueError, match=r"cut\.safetensors .*download it again"):
        read(path)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"{]", "Expecting"),
        (b"\xff\xff", "decode"),
        (b"[1]", ""),
        ({"a": 1}, "not subscriptable"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "data_offsets"),
        ({"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}, "type F8_E4M3"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "gap or an overlap"),
        ({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, "shape"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, "shape"),
        ({k: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for k in "ab"}, "gap or an overlap"),
        ({"a": {"dtype": "F32", "shape": [], "data_offsets": [4, 8]}}, "gap or an overlap"),
        ({"__metadata__": {"n": 1}}, "its metadata are not texts"),
        ({"__metadata__": {"n": None}}, "its metadata are not texts"),
    ],
)
def test_a_damaged_header_is_reported(tmp_path, header, says):
    path = file_of(tmp_path / "bad.safetensors", header, bytes(8))
    with pytest.raises(ValueError, match=rf"header of .*bad\.safetensors is damaged.*{says}.*.*again"):
        safetensors.read(path)


def test_a_type_that_the_format_lacks_is_reported_and_nothing_is_left(tmp_path):
    with pytest.raises(ValueError, match="cannot hold 'z', an array of complex64"):
        safetensors.write(tmp_path / "a", {"z": np.zeros(2, np.complex64)})
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.atomic_write(tmp_path / "a") as file:
        file.write(b"new, but not all of")
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_mapping_a_missing_file_says_so_and_an_empty_one_is_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is missing"):
        files.map_file(tmp_path / "nothing")
    (tmp_path / "empty").touch()
    assert files.map_file(tmp_path / "empty").size == 0
