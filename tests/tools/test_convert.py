import json
import os
import shutil
from pathlib import Path

import convert as tool
import numpy as np
import pytest
from dying import dying_move
from processes import run_python

from picogpt.checkpoints import safetensors, weights
from picogpt.params.tree import flatten
from picogpt.system import files
from picogpt.text import chars

REPOSITORY = Path(__file__).parents[2]
TENSORFLOW = REPOSITORY / "tests" / "references" / "tf_checkpoint"
TOOL = REPOSITORY / "tools" / "convert.py"
ON_A_FULL_DISK = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def checkpoint(tmp_path):
    folder = Path(shutil.copytree(TENSORFLOW, tmp_path / "checkpoint"))
    chars.CharEncoder("abcdefghijklmnopq").save(folder)
    return folder


def convert(*args):
    """Run the tool; return its exit code and what it says on stderr."""
    code, out, said = run_python(TOOL, *args)
    assert out == ""
    return code, said


def assert_is_the_checkpoint(folder):
    converted, hparams, encoder = weights.load(folder)
    read, read_hparams, _ = weights.load(TENSORFLOW)
    assert hparams == read_hparams
    assert encoder.encode("q") == [16]
    for path, array in flatten(converted).items():
        np.testing.assert_array_equal(array, flatten(read)[path])


def test_a_checkpoint_becomes_one_file_beside_it(checkpoint):
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    code, said = convert(checkpoint)
    assert (code, said) == (0, f"{checkpoint / 'model.safetensors'}: 28 tensors\n")
    after = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    assert after.pop("model.safetensors")
    assert after == before
    for path in checkpoint.glob("model.ckpt*"):
        path.unlink()
    assert_is_the_checkpoint(checkpoint)


def test_another_folder_gets_all_that_a_model_needs(checkpoint, tmp_path):
    assert convert(checkpoint, "--out", tmp_path / "new" / "one")[0] == 0
    names = sorted(path.name for path in (tmp_path / "new" / "one").iterdir())
    assert names == ["chars.json", "hparams.json", "model.safetensors"]
    assert_is_the_checkpoint(tmp_path / "new" / "one")


def test_half_the_space_and_what_the_model_says_of_its_use_go_along(checkpoint, tmp_path):
    (checkpoint / "generation_config.json").write_text('{"max_new_tokens": 5}', encoding="utf-8")
    for flags, name in (([], "whole"), (["--dtype", "bfloat16"], "half"), (["--dtype", "int8"], "quarter")):
        assert convert(checkpoint, "--out", tmp_path / name, *flags)[0] == 0
        assert (tmp_path / name / "generation_config.json").read_text() == '{"max_new_tokens": 5}'
    names = ("whole", "half", "quarter")
    files = [safetensors.read(tmp_path / name / "model.safetensors")[0] for name in names]
    for path, array in files[0].items():
        is_matrix = path == "wte" or path.endswith(".w")
        assert [file[path].dtype.itemsize for file in files] == ([4, 2, 1] if is_matrix else [4, 4, 4])
        if is_matrix:
            assert files[2][f"{path}.scale"].shape == (array.shape[int(path != "wte")],)
    pairs = ("hf", "int8"), ("tf", "bfloat16"), ("llmc", "int8"), ("gguf", "int8"), ("picogpt", "f16")
    for to, dtype in pairs:
        code, said = convert(checkpoint, "--out", tmp_path / "other", "--to", to, "--dtype", dtype)
        assert code == 2 and f"with --to {to}, not {dtype}" in said
    assert not (tmp_path / "other").exists()


def test_tensorflow_gives_the_same_file(checkpoint, tmp_path):
    pytest.importorskip("tensorflow")
    assert convert(checkpoint)[0] == 0
    assert convert(checkpoint, "--out", tmp_path / "tf", "--reader", "tf")[0] == 0
    assert (checkpoint / "model.safetensors").read_bytes() == (
        tmp_path / "tf" / "model.safetensors"
    ).read_bytes()


def damage(folder, name, change):
    (folder / name).write_bytes(change((folder / name).read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("hparams.json", lambda b: json.dumps(json.loads(b) | {"n_head": 5}).encode(), "equal heads"),
        ("model.ckpt.index", lambda b: b[:100], "model.ckpt.index cannot be used"),
        ("model.ckpt.data-00000-of-00001", lambda b: b[:100], "is cut short"),
        ("model.ckpt.data-00000-of-00001", lambda b: b[:-1] + b"!", "is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_one_line_and_leaves_nothing(checkpoint, name, change, says):
    damage(checkpoint, name, change)
    code, said = convert(checkpoint)
    assert code == 1
    assert said.startswith("convert: ")
    assert says in said
    assert said.count("\n") == 1
    assert not list(checkpoint.glob("model.safetensors*"))


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (
            ["nowhere"],
            1,
            "convert: nowhere is neither a folder nor a size of GPT-2;"
            " the sizes are 124M, 355M, 774M, 1558M, or gpt2, gpt2-medium, gpt2-large, gpt2-xl;"
            " and the bundled models are tales and talk",  # what is in folders here follows
        ),
        (
            [TENSORFLOW, "--reader", "torch"],
            2,
            "convert: --reader must be bundle or tf, not torch (--help shows all flags)\n",
        ),
        (
            [TENSORFLOW, "--to", "onnx"],
            2,
            "convert: --to must be picogpt or hf or tf or llmc or gguf, not onnx (--help shows all flags)\n",
        ),
        (
            [TENSORFLOW, "--to", "hf"],
            2,
            "convert: --out is missing: the folder that the new files go to (--help shows all flags)\n",
        ),
        (
            [TENSORFLOW, "--to", "hf", "--out", TENSORFLOW],
            1,
            f"convert: {TENSORFLOW} has a model already (hparams.json): --out names another folder\n",
        ),
        (
            [TENSORFLOW, "--to", "hf", "--out", __file__],
            1,
            f"convert: {__file__} is a file: --out names the folder that the new files go to\n",
        ),
        (
            [TENSORFLOW, "--out", "out", "--tokenizer", "nowhere"],
            1,
            "convert: nowhere is missing: --tokenizer names a tokenizer's folder, or a text\n",
        ),
        (
            [TENSORFLOW, "--out", "out", "--tokenizer", REPOSITORY / "docs"],
            1,
            f"convert: {REPOSITORY / 'docs'} has no tokenizer: give --tokenizer a folder that has one\n",
        ),
    ],
)
def test_a_wrong_call_is_one_line(args, code, says):
    found, said = convert(*args)
    assert (found, said[: len(says)], said.count("\n")) == (code, says, 1)


def test_without_tensorflow_its_reader_says_how_to_get_it(checkpoint):
    blocked = "import runpy, sys; sys.modules['tensorflow'] = None; sys.argv = sys.argv[1:];"
    blocked += f"sys.path.insert(0, {str(TOOL.parent)!r});"  # as when it is run by name
    code = f"{blocked} runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    done = run_python("-c", code, TOOL, checkpoint, "--reader", "tf")
    assert done.code == 1
    assert done.err == 'convert: --reader tf needs TensorFlow: pip install -e ".[tf]"\n'


@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX's")
@pytest.mark.parametrize("kind", ["picogpt", "hf", "tf", "llmc"])
def test_after_a_full_disk_the_same_call_succeeds(kind, tmp_path):
    words = [TOOL, "tales", "--to", kind, "--out", tmp_path / "out"]
    full = run_python("-c", ON_A_FULL_DISK, *words)
    assert (full.code, full.err.count("\n")) == (1, 1)
    assert "make room" in full.err
    assert run_python(*words).code == 0


KINDS = {"picogpt": "hparams.json", "hf": "config.json", "tf": "hparams.json", "llmc": "model.bin"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversion_that_ends_before_or_after_any_write_is_repeated(
    kind, checkpoint, tmp_path, monkeypatch, call_command
):
    """What makes a folder whole is written last: until then the same call begins again."""
    words = [checkpoint, f"--to={kind}", f"--out={tmp_path / 'out'}"]
    assert call_command(tool.convert, *words).code == 0
    right = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for k in range(20):
        for before in (True, False):
            shutil.rmtree(tmp_path / "out")
            dying = dying_move(k, before)
            monkeypatch.setattr(files, "move_into_place", dying)
            code = call_command(tool.convert, *words).code
            monkeypatch.undo()
            if code and not (tmp_path / "out" / KINDS[kind]).exists():
                assert call_command(tool.convert, *words).code == 0
            found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
            assert found == right
        if dying.n_moves < k + 1:  # there are no more files to die at
            break
    assert k >= 1
