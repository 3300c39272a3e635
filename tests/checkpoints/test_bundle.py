import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import bundle, verified
from picogpt.checkpoints.bundle import masked_crc32c

TESTS = Path(__file__).parents[1]
OPENAI = TESTS / "data" / "gpt2-124M"
TENSORFLOW = TESTS / "references" / "tf_checkpoint"
SHARDED = TESTS / "references" / "tf_bundle"
INDEX, DATA = "model.ckpt.index", "model.ckpt.data-00000-of-00001"


def assert_same_bits(ours, theirs):
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert (array.dtype, array.shape) == (theirs[name].dtype, theirs[name].shape), name
        assert array.tobytes() == theirs[name].tobytes(), name


def expected(folder):
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def checkpoint(tmp_path):
    return Path(shutil.copytree(TENSORFLOW, tmp_path / "checkpoint"))


@pytest.mark.parametrize("folder", [TENSORFLOW, SHARDED])
def test_checkpoints_that_tensorflow_wrote_are_read_bit_for_bit(folder):
    assert_same_bits(bundle.read(folder), expected(folder))
    assert_same_bits(bundle.read(folder / "model.ckpt"), expected(folder))


@pytest.mark.parametrize("folder", [TENSORFLOW, SHARDED])
def test_tensorflow_reads_the_same_here_and_now(folder):
    train = pytest.importorskip("tensorflow").train
    reader = train.load_checkpoint(str(folder / "model.ckpt"))
    live = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    assert_same_bits(bundle.read(folder), {name: np.asarray(array) for name, array in live.items()})
    assert_same_bits(bundle.read(folder), expected(folder))


def test_all_types_of_numbers_in_three_shards_are_read_as_save_v2_writes_them(tmp_path):
    pytest.importorskip("tensorflow")
    from record import tensorflow_checkpoint

    rng = np.random.default_rng(0)
    codes = list(bundle.DTYPES.values())
    shards = [
        {f"{i}/{np.dtype(code).name}": rng.integers(0, 2, (3, i + 1)).astype(code) for code in codes[i::3]}
        for i in range(3)
    ]
    tensorflow_checkpoint.write_bundle(tmp_path / "model.ckpt", *shards)
    assert len(list(tmp_path.glob("*.data-*-of-00003"))) == 3
    assert_same_bits(bundle.read(tmp_path), shards[0] | shards[1] | shards[2])


def test_a_sharded_checkpoint_of_the_v1_saver_is_read(tmp_path):
    tf = pytest.importorskip("tensorflow")
    tf1, arrays = tf.compat.v1, {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.ones(5)}
    with tf1.Graph().as_default(), tf1.Session() as session:
        for name, array in arrays.items():
            tf1.get_variable(name, initializer=array, use_resource=False)
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(sharded=True, save_relative_paths=True)
        saver.save(session, str(tmp_path / "model"), global_step=7)  # model-7, as "checkpoint" says
    assert_same_bits(bundle.read(tmp_path), arrays)


def test_openais_index_is_read_as_published():
    layout = json.loads((OPENAI / "layout_124M.json").read_text())
    n_files, entries = bundle.read_index(OPENAI / INDEX)
    found = [[name, list(shape), *rest] for name, (_, _, shape, *rest) in entries.items()]
    assert n_files == 1
    assert {entry[:2] for entry in entries.values()} == {(0, 1)}  # the first data file, float32
    assert found == [variable[:5] for variable in layout["variables"]]
    assert sum(size for *_, size, _ in entries.values()) == 497_759_232


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (np.frombuffer(bytes(32), "<f4").reshape(4, 2), 0x8A9136AA),
    ],
)
def test_the_checksum_is_the_published_one_masked_as_tensorflow_does(data, crc):
    unrotated = (masked_crc32c(data) - 0xA282EAD8) & 0xFFFFFFFF
    assert (unrotated << 15 | unrotated >> 17) & 0xFFFFFFFF == crc


def test_openais_bytes_have_the_crc_of_openais_index():
    _, entries = bundle.read_index(OPENAI / INDEX)
    raw = (OPENAI / "h0-attn-c_attn-b.bin").read_bytes()
    *_, offset, size, crc = entries["model/h0/attn/c_attn/b"]
    assert (offset, size) == (0, len(raw))
    assert masked_crc32c(raw) == crc


def test_an_interrupted_download_of_openais_is_reported(tmp_path):
    for name in (INDEX, "checkpoint"):
        shutil.copy(OPENAI / name, tmp_path)
    shutil.copy(OPENAI / "h0-attn-c_attn-b.bin", tmp_path / DATA)
    with pytest.raises(ValueError, match=rf"{DATA} is cut short, 9,216 bytes .*again"):
        bundle.read(tmp_path)


def test_the_arrays_are_mapped_and_cannot_be_changed(checkpoint):
    with pytest.raises(ValueError, match="read-only"):
        bundle.read(checkpoint)["model/wte"][0] = 1


def test_every_flipped_byte_of_the_index_is_reported_or_without_effect(checkpoint):
    path = checkpoint / INDEX
    good, entries = path.read_bytes(), bundle.read_index(path)
    n_reported = 0
    with open(path, "r+b", buffering=0) as file:
        for at, byte in enumerate(good):
            file.seek(at)
            file.write(bytes([byte ^ 0x41]))
            try:
                assert bundle.read_index(path) == entries
            except ValueError as error:
                n_reported += 1
                assert "\n" not in str(error)
                assert "again" in str(error)
            file.seek(at)
            file.write(bytes([byte]))
    assert n_reported > len(good) - 60  # the rest: the empty meta index and the padding of the footer


@pytest.mark.parametrize("n_left", [0, 1, 47, 500, -1])
def test_a_cut_index_is_reported(checkpoint, n_left):
    (checkpoint / INDEX).write_bytes((checkpoint / INDEX).read_bytes()[:n_left])
    with pytest.raises(ValueError, match=rf"{INDEX} cannot be used .*again"):
        bundle.read(checkpoint)


@pytest.mark.parametrize("n_left", [0, 1, 5000, -1])
def test_cut_data_is_reported(checkpoint, n_left):
    (checkpoint / DATA).write_bytes((checkpoint / DATA).read_bytes()[:n_left])
    with pytest.raises(ValueError, match=rf"{DATA} is cut short, .*again"):
        bundle.read(checkpoint)


@pytest.mark.parametrize("at", [0, 7000, -1])
def test_a_flipped_byte_of_the_data_is_reported(checkpoint, at):
    data = bytearray((checkpoint / DATA).read_bytes())
    data[at] ^= 1
    (checkpoint / DATA).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{DATA} is damaged \(the crc32c of model/.* is wrong\)"):
        bundle.read(checkpoint)


def note_of(folder):
    return verified.note_of("crc32c", [folder / INDEX, folder / DATA])


@pytest.fixture
def counted(monkeypatch):
    """Have checkpoints of any size noted as verified; return the list of the sizes whose crc32c was taken."""
    taken, crc = [], bundle.masked_crc32c
    monkeypatch.setattr(verified, "LARGE", 1)
    monkeypatch.setattr(bundle, "masked_crc32c", lambda data: taken.append(len(data)) or crc(data))
    return taken


@pytest.mark.parametrize("source", [TENSORFLOW, SHARDED])
def test_a_checkpoint_is_verified_once(source, counted, tmp_path):
    folder = Path(shutil.copytree(source, tmp_path / "checkpoint"))
    before = sorted(folder.iterdir())
    bundle.read(folder)
    first = sum(counted)
    assert sorted(folder.iterdir()) == before  # the note is in the user's cache
    counted.clear()
    assert_same_bits(bundle.read(folder), expected(folder))
    n_data = sum(array.nbytes for array in expected(folder).values())
    assert first - sum(counted) == n_data > 0  # the second time, the index alone


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_a_file_that_has_changed_is_verified_again(name, counted, checkpoint):
    bundle.read(checkpoint)
    first = sum(counted)
    stat = (checkpoint / name).stat()
    os.utime(checkpoint / name, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    counted.clear()
    bundle.read(checkpoint)
    assert sum(counted) == first
    damaged = bytearray((checkpoint / DATA).read_bytes())
    damaged[7000] ^= 1
    (checkpoint / DATA).write_bytes(damaged)
    for _ in range(2):  # a failure is not remembered
        with pytest.raises(ValueError, match="is damaged"):
            bundle.read(checkpoint)


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000])
def test_a_note_that_is_none_is_ignored(note, counted, checkpoint):
    bundle.read(checkpoint)
    first = sum(counted)
    path = note_of(checkpoint)
    good = path.read_bytes()
    path.write_bytes(note)
    counted.clear()
    bundle.read(checkpoint)
    assert sum(counted) == first
    assert path.read_bytes() == good


def test_where_nothing_can_be_written_it_is_verified_each_time(counted, checkpoint, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(verified, "atomic_write", refuse)
    for _ in range(2):
        counted.clear()
        assert_same_bits(bundle.read(checkpoint), expected(checkpoint))
        assert sum(counted) > 15_000
    assert not note_of(checkpoint).exists()


def test_a_small_checkpoint_needs_no_note(checkpoint):
    bundle.read(checkpoint)
    assert not note_of(checkpoint).exists()


@pytest.mark.parametrize("home", ["a file", "a link to nowhere", ""])
def test_without_a_cache_it_is_verified_each_time(home, counted, checkpoint, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.touch() if home == "a file" else cache.symlink_to(tmp_path / "none" / "none")
    monkeypatch.setenv("XDG_CACHE_HOME", home and str(cache))
    monkeypatch.setenv("HOME", str(cache))
    for _ in range(2):
        counted.clear()
        assert_same_bits(bundle.read(checkpoint), expected(checkpoint))
        assert sum(counted) > 15_000


def test_a_file_whose_date_was_put_back_is_verified_again(counted, checkpoint):
    bundle.read(checkpoint)
    stat, path = (checkpoint / DATA).stat(), checkpoint / DATA
    damaged = bytearray(path.read_bytes())
    damaged[7000] ^= 1
    path.write_bytes(damaged)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ValueError, match="is damaged"):
        bundle.read(checkpoint)


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_a_missing_file_is_reported(checkpoint, name):
    (checkpoint / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        bundle.read(checkpoint)


def with_trailer(block, compression=0):
    trailed = block + bytes([compression])
    return trailed + masked_crc32c(trailed).to_bytes(4, "little")


def index_of(header, value, compression=0):
    """The bytes of an index with one array, "a": single-digit varints throughout."""
    block = bytes([0, 0, len(header)]) + header + bytes([0, 1, len(value)]) + b"a" + value
    table = with_trailer(block + bytes(4), compression)
    blocks = bytes([0, 1, 2]) + b"b" + bytes([0, len(table) - 5]) + bytes(4)
    return (
        table + with_trailer(blocks) + bytes([0, 0, len(table), len(blocks)]).ljust(40, b"\0") + bundle.MAGIC
    )


def field(number, value):
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (index_of(field(1, 1), field(1, 1), compression=1), "compressed"),
        (index_of(field(1, 1), field(1, 7)), "of TensorFlow's type 7"),
        (index_of(field(1, 1), field(1, 1) + field(7, b"x")), "in slices"),
        (index_of(b"", field(1, 1)), "cannot be used"),
        (index_of(field(1, 1), b"\x0b"), "cannot be used"),
    ],
)
def test_what_this_reader_does_not_know_is_reported(tmp_path, index, says):
    (tmp_path / INDEX).write_bytes(index)
    (tmp_path / DATA).write_bytes(bytes(8))
    with pytest.raises(ValueError, match=says):
        bundle.read(tmp_path)


def test_blocks_that_overlap_are_refused(tmp_path):
    """Entries of the table of blocks may name one block: so a small file could be a very long table."""
    block = bytes([0, 0, 2]) + field(1, 1)
    table = with_trailer(block + bytes(4))
    place = bytes([0, len(table) - 5])
    for n in (1, 30):
        blocks = b"".join(bytes([0, 1, 2]) + bytes([97 + i]) + place for i in range(n)) + bytes(4)
        footer = bytes([0, 0, len(table), len(blocks) & 127 | 128 * (len(blocks) > 127)])
        footer += bytes([len(blocks) >> 7]) if len(blocks) > 127 else b""
        (tmp_path / INDEX).write_bytes(table + with_trailer(blocks) + footer.ljust(40, b"\0") + bundle.MAGIC)
        if n == 1:
            assert bundle.read_index(tmp_path / INDEX) == (1, {})
    with pytest.raises(ValueError, match="its blocks overlap"):
        bundle.read_index(tmp_path / INDEX)


def test_the_index_made_by_hand_above_is_a_good_one(tmp_path):
    crc = masked_crc32c(bytes(4)).to_bytes(4, "little")
    value = field(1, 1) + field(2, field(2, field(1, 1))) + field(5, 4) + bytes([6 << 3 | 5]) + crc
    (tmp_path / INDEX).write_bytes(index_of(field(1, 1), value))
    (tmp_path / DATA).write_bytes(bytes(4))
    assert bundle.read(tmp_path)["a"].tolist() == [0.0]


@pytest.mark.parametrize(
    "note",
    [None, r'model_checkpoint_path: "C:\Users\me\models\124M\model.ckpt"', 'model_checkpoint_path: "gone-7"'],
)
def test_the_only_checkpoint_of_a_folder_is_taken(tmp_path, note):
    for path in TENSORFLOW.glob("model.ckpt.*"):
        shutil.copy(path, tmp_path / path.name.replace("model.ckpt", "model-50"))
    if note:
        (tmp_path / "checkpoint").write_text(note)
    assert bundle.find_prefix(tmp_path) == tmp_path / "model-50"
    read, expected = bundle.read(tmp_path), bundle.read(TENSORFLOW)
    assert all(np.array_equal(array, expected[name]) for name, array in read.items())
    for path in TENSORFLOW.glob("model.ckpt.*"):
        shutil.copy(path, tmp_path)
    wanted = "gone-7" if note and "gone" in note else "model.ckpt"
    assert bundle.find_prefix(tmp_path) == tmp_path / wanted  # of two, the one that is named
