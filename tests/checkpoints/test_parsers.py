"""What reads a file or a command line, given anything at all: a clear error or a right result, and soon.

The examples are drawn by hypothesis, the same on each run (conftest.py).
"""

import contextlib
import io
import json
import logging
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from thorough import few_or

from picogpt.checkpoints import bundle, safetensors, weights
from picogpt.checkpoints.bundle import masked_crc32c
from picogpt.system import command, machine
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

TESTS = Path(__file__).parents[1]
OPENAI = TESTS / "data" / "gpt2-124M" / "model.ckpt.index"
TENSORFLOW = TESTS / "references" / "tf_checkpoint"
ENCODER = load_encoder(TESTS.parent / "models" / "gpt2-bpe")
many = hypothesis.settings(max_examples=few_or(60, 300))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("parsers") / "file"


def outcome(read, *given):
    """Return "read", or "refused" for an error that is one sentence and says what to do."""
    try:
        read(*given)
    except ValueError as error:
        assert "again" in str(error)
        return "refused"
    return "read"


# OpenAI's own index


def test_every_flipped_byte_of_openais_index_is_refused_or_without_effect(path, tally):
    good, right = OPENAI.read_bytes(), bundle.read_index(OPENAI)
    before = machine.peak_memory()
    for at, byte in [*enumerate(good)][:: few_or(7, 1)]:
        path.write_bytes(good[:at] + bytes([byte ^ 0xFF]) + good[at + 1 :])
        try:
            assert bundle.read_index(path) == right
            tally("bytes of OpenAI's index flipped", "without effect")
        except ValueError as error:
            assert str(error).endswith("delete it and download or write it again")
            tally("bytes of OpenAI's index flipped", "refused")
    assert before is None or machine.peak_memory() - before < 30_000_000  # bytes


def seal(block):
    trailed = block + b"\0"
    return trailed + masked_crc32c(trailed).to_bytes(4, "little")


def sealed(table, at, byte):
    """The table with one byte changed in its first block, whose crc32c is then put right."""
    footer = table[-48:]
    _, at_handle = bundle.varint(footer, bundle.varint(footer, 0)[1])
    [(_, handle), *_] = bundle.read_block(table, footer[at_handle:])
    offset, size_at = bundle.varint(handle, 0)
    size, _ = bundle.varint(handle, size_at)
    block = bytearray(table[offset : offset + size])
    block[at % size] = byte
    return table[:offset] + seal(bytes(block)) + table[offset + size + 5 :]


def test_a_changed_index_whose_checksums_are_right_gives_no_other_weights(path, tally):
    folder = Path(shutil.copytree(TENSORFLOW, path.with_name("checkpoint")))
    index = folder / "model.ckpt.index"
    good, right = index.read_bytes(), bundle.read(folder)
    rng = np.random.default_rng(0)
    for at in range(0, len(good) - 200, few_or(5, 1)):
        index.write_bytes(sealed(good, at, int(rng.integers(256))))
        try:
            found = weights.from_checkpoint_names(bundle.read(folder))
            weights.check_shapes(found, weights.read_hparams(folder), folder, (np.float32,))
        except (ValueError, FileNotFoundError):
            tally("bytes of an index changed, its crc32c put right", "refused")
        else:
            tally("bytes of an index changed, its crc32c put right", "without effect")
            for name, array in weights.from_checkpoint_names(right).items():
                np.testing.assert_array_equal(found[name], array)


def index_of(block):
    """An index of one block, with right checksums and right places."""

    def number(n):
        return (bytes([n & 127 | 128]) + number(n >> 7)) if n > 127 else bytes([n])

    table = seal(block)
    handle = number(0) + number(len(block))
    blocks = bytes([0, 1, len(handle)]) + b"b" + handle + bytes(4)
    footer = bytes(2) + number(len(table)) + number(len(blocks))
    return table + seal(blocks) + footer.ljust(40, b"\0") + bundle.MAGIC


numbers = st.integers(0, 127).map(lambda n: bytes([n]))
fields = st.lists(st.tuples(st.integers(0, 8), st.sampled_from([0, 1, 2, 3, 5]), st.binary(max_size=8)))


@st.composite
def messages(draw):
    """Bytes like those of a protocol buffer."""
    return b"".join(
        bytes([number << 3 | wire]) + (bytes([len(value)]) + value if wire == 2 else value)
        for number, wire, value in draw(fields)
    )


@st.composite
def blocks(draw):
    """Bytes like those of a block: names and messages."""
    pairs = draw(
        st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=5), messages() | st.binary()), max_size=4)
    )
    pairs = [(0, b"", b"\x08\x01"), *pairs] if draw(st.booleans()) else pairs
    body = b"".join(bytes([n, len(k), min(len(v), 127)]) + k + v[:127] for n, k, v in pairs)
    return body + draw(st.sampled_from([bytes(4), b"\xff" * 4, b""]))


@many
@given(block=blocks())
def test_any_block_is_read_or_refused(path, tally, block):
    folder = path.with_name("any")
    folder.mkdir(exist_ok=True)
    (folder / "model.ckpt.index").write_bytes(index_of(block))
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(bytes(64))
    try:
        bundle.read(folder)
        tally("indexes drawn at random", "read")
    except (ValueError, FileNotFoundError):
        tally("indexes drawn at random", "refused")


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (b"\xff" * 100_000 + bytes(4), "more than 64 bits"),
        (bytes([0, 0, 2, 8, 1]) + 2 * (bytes([0, 1, 2]) + b"a\x08\x01") + bytes(4), "twice"),
        (bytes([0, 0, 2, 8, 1]) + bytes([0, 1, 102]) + b"a\x12\x64" + b"\x12\x00" * 50 + bytes(4), "50 axes"),
        (bytes([0, 0, 2, 8, 1]) + bytes([0, 0xE9, 0x07, 0]) + b"n" * 1001 + bytes(4), "name of 1,001 bytes"),
        (bytes([0, 0, 3, 10, 1, 65]) + bytes(4), "bytes where there should be a number"),
        (bytes([0, 0, 2, 8, 1, 0, 1, 3]) + b"a" + bytes([0x22, 1, 65]) + bytes(4), "bytes where there"),
        (bytes([0, 0, 2, 8, 1, 0, 1, 2]) + b"a" + bytes([0x0F, 0]) + bytes(4), "entries are damaged"),
        (
            bytes([0, 0, 2, 8, 1, 0, 1, 16]) + b"a" + bytes([8, 1, 18, 12, 18, 0, 18, 8, 8])
            + b"\xff" * 5 + b"\x7f\x00" + bytes(4),
            "cannot be used",
        ),
    ],
)  # fmt: skip
def test_a_lie_in_an_index_is_named(path, block, says):
    path.write_bytes(index_of(block))
    with pytest.raises(ValueError, match=says):
        bundle.read_index(path)


def test_an_index_that_cannot_be_one_is_not_even_read(path):
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # a hole
    with pytest.raises(ValueError, match="1,099,511,627,776 bytes are too many for an index"):
        bundle.read_index(path)
    path.write_bytes(b"<!DOCTYPE html><html><body>Not found</body></html>")
    with pytest.raises(ValueError, match="not an index"):
        bundle.read_index(path)


# safetensors

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5)
sizes = st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, -1, 2**40, 2**70]), max_size=4)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BF16", "BOOL", "I8"]) | scalars,
        "shape": sizes | scalars,
        "data_offsets": st.tuples(st.integers(0, 16), st.integers(0, 16)) | sizes,
    }
)
headers = st.dictionaries(st.sampled_from(["wte", "a", "__metadata__", "é"]), entries | scalars, max_size=3)


@many
@given(header=headers | st.recursive(scalars, st.lists, max_leaves=5) | st.binary(max_size=50))
def test_any_header_is_read_or_refused(path, tally, header):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    for read in (safetensors.read, safetensors.read_mapped):
        tally("safetensors headers drawn at random", outcome(read, path))


def entry(shape, begin, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, "a gap or an overlap"),
        ({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, "a gap or an overlap"),
        ({"a": entry([1], 4, 8)}, "a gap or an overlap"),
        ({"a": entry([2**40, 2**40], 0, 4)}, "a gap or an overlap"),
        ({"a": entry([0, 2**70], 0, 0)}, r"shape \(0, 1180591620717411303424\)"),
        ({"a": entry([0, 2**62, 8], 0, 0)}, "array is too big"),
        ({"a": entry([1] * 70, 0, 4)}, "70 axes: 32 are the most"),
        ({"a": entry([-1], 0, 4)}, "shape"),
        ({"__metadata__": {"a": 1}}, "its metadata are not texts"),
        ({"__metadata__": 3}, "has no attribute"),
        (b"\x80\x05cos\nsystem\n(S'touch pwned'\ntR.", "decode"),
        (b"PK\x03\x04 a zip of pickles", "Expecting value"),
    ],
)
def test_a_header_that_lies_is_named(path, header, says):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    for read in (safetensors.read, safetensors.read_mapped):
        with pytest.raises(ValueError, match=rf"header of .*file is damaged \(.*{says}.*again"):
            read(path)


def zero_sized(names):
    """The header of tensors without numbers."""
    one = '":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return "{" + ",".join(f'"{name}{one}' for name in names) + "}"


DIGITS = "9" * 4000


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (zero_sized("a").replace("[0]", f"[{','.join([DIGITS] * 3000)}]"), "3,000 axes"),
        (zero_sized("a").replace("[0]", f"[0,{DIGITS}]"), "has shape"),
        (zero_sized(range(270_000)), "more than 131,072 tensors"),
        (zero_sized("ab" * 500), "gives 'a' twice"),
        ('{"__metadata__":{"a":"b","a":"c"}}', "gives 'a' twice"),
        ('{"a":[' + "[]," * 5_000_000 + "1]}", "more than 131,072 tensors"),
        ('{"__metadata__":{' + '"a":"",' * 1_000_000 + '"b":""}}', "more than 131,072 tensors"),
        ('{"a":' * 3_000_000, "more than 131,072 tensors"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
    ids=["axes", "digits", "tensors", "twice", "metadata twice", "lists", "metadata", "braces", "deep"],
)
def test_a_header_that_would_take_long_is_refused_before_it_is_computed_with(path, header, says):
    """What would take memory is measured: time is not, but each of these took seconds or minutes."""
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=says) as error:
            safetensors.read(path)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(header) + 1_000_000
        assert len(command.sentence(error.value)) < 1100
    finally:
        tracemalloc.stop()


def test_a_file_that_could_not_be_read_again_is_not_written(path):
    path = path.with_name("many")
    with pytest.raises(ValueError, match="more than could be read again"):
        safetensors.write(path, dict.fromkeys(map(str, range(131_073)), np.empty(0, np.float32)))
    assert not path.exists()


@pytest.mark.parametrize("n_header", [1 << 30, 2**63, 2**64 - 1])
def test_a_header_that_is_longer_than_the_file_or_than_any_is_not_read(path, n_header):
    with open(path, "wb") as file:
        file.write(n_header.to_bytes(8, "little"))
        file.truncate(1 << 31)  # a hole
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="not a safetensors file"):
            safetensors.read(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# Tokenizers


@many
@given(text=st.text())
def test_any_text_goes_to_ids_and_back(tally, text):
    assert ENCODER.decode(ENCODER.encode(text)) == text
    assert "".join(ENCODER.stream(ENCODER.encode(text))) == text
    chars = CharEncoder.from_text(text)
    assert chars.decode(chars.encode(text)) == text
    tally("texts drawn at random", "encoded and decoded")


@given(ids=st.lists(st.integers(0, 50256)))
def test_any_ids_are_some_text(tally, ids):
    assert "".join(ENCODER.stream(ids)) == ENCODER.decode(ids)
    tally("lists of ids drawn at random", "decoded")


@pytest.mark.parametrize("text", ["\ufeffBOM", "a\r\nb\r\n", "a\0b", "👩‍👩‍👧 é e\u0301", " " * 1000, ""])
def test_odd_texts_go_there_and_back(text):
    assert ENCODER.decode(ENCODER.encode(text)) == text


def test_a_megabyte_without_a_space_is_one_word_among_others():
    for text in ("é" * 500_000, " " * 1_000_000):
        assert ENCODER.decode(ENCODER.encode(text)) == text


# The command line


def told(prompt: str | None = None, *, n: int = 40, temperature: float | None = None, loud: bool = False):
    """Note the arguments, as cli.continue_text takes them."""
    told.given = dict(prompt=prompt, n=n, temperature=temperature, loud=loud)


def run(argv):
    """Return the exit code and what is written to stderr."""
    root, err = logging.getLogger(), io.TextIOWrapper(io.BytesIO())
    handlers = root.handlers
    try:
        out = io.TextIOWrapper(io.BytesIO())
        with (
            contextlib.redirect_stderr(err),
            contextlib.redirect_stdout(out),
            pytest.raises(SystemExit) as end,
        ):
            command.run(told, argv)
    finally:
        root.handlers = handlers
    err.flush()
    return end.value.code, err.buffer.getvalue().decode()


words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=10)
flags = st.sampled_from(
    ["--", "-", "--n", "--n=3", "--temperature", "--loud", "-h", "--prompt", "--x", "-1", "nan"]
)


@given(prompt=words | flags, n=st.integers(-(10**30), 10**30), temperature=st.floats())
def test_any_value_arrives_as_it_was_given(tally, prompt, n, temperature):
    argv = [f"--prompt={prompt}", "--n", str(n), f"--temperature={temperature!r}"]
    assert run(argv) == (0, "")
    assert repr(told.given) == repr(dict(prompt=prompt, n=n, temperature=temperature, loud=False))
    tally("values of flags drawn at random", "arrived")


@many
@given(argv=st.lists(words | flags, max_size=5))
def test_any_command_line_runs_or_is_wrong_usage_in_one_line(tally, argv):
    code, said = run(argv)
    assert code in (0, 2)
    assert said.count("\n") == (code == 2)
    tally("command lines drawn at random", "run" if code == 0 else "refused with code 2")


def test_an_error_is_one_line_that_can_be_read_whatever_it_quotes():
    said = command.sentence(ValueError("in a\nb\x1b[31m\u2028" + "z" * 10_000 + ": remove it"))
    assert said.startswith(r"in a\nb\x1b[31m\u2028zzz")
    assert said.endswith("zzz: remove it")
    assert len(said) < 1100


def test_a_note_and_a_usage_error_are_one_line_whatever_they_quote(call_command):
    """A file's names are anyone's, and a note is read by programs too; a terminal or not is no matter."""

    def noting(*, text: str = ""):
        logging.getLogger("picogpt").warning("%s left out", "a\nb\x1b[31m\r\u2028")

    done = call_command(noting)
    assert (done.code, done.err) == (0, "picogpt: a\\nb\\x1b[31m\\r\\u2028 left out\n")
    done = call_command(noting, "--a\n\x1b" + "9" * 10_000)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("picogpt: there is no flag --a\\n\\x1b999") and len(done.err) < 1200
