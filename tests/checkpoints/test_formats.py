"""tools/convert.py and other programs: it opens what they have saved, and they open what it writes."""

import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import convert as tool
import numpy as np
import pytest
from formats import llmc, state_dict

from picogpt.checkpoints import bundle, safetensors, weights
from picogpt.gpt2 import gpt2
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.text import bpe, chars, hf_bpe

REPOSITORY = Path(__file__).parents[2]

TENSORFLOW = REPOSITORY / "tests" / "references" / "tf_checkpoint"
HUGGING_FACE = REPOSITORY / "tests" / "references" / "hf_gpt2"
TINY = {"n_vocab": 17, "n_ctx": 11, "n_embd": 12, "n_head": 3, "n_layer": 2}
IDS = [[3, 1, 4, 1, 5, 9, 2], [6, 16, 0, 7, 15, 10, 8]]
LETTERS = chars.CharEncoder("abcdefghijklmnopq")


def save_random(folder, encoder=None, **options):
    """Save a model with random weights, as picogpt does; return its folder and parameters."""
    rng = np.random.default_rng(0)
    hparams = TINY | options
    if encoder:
        hparams["n_vocab"] = encoder.n_vocab
    params = tree_map(lambda shape: rng.normal(0, 0.5, shape).astype(np.float32), param_shapes(**hparams))
    weights.save(folder, params, hparams, encoder)
    return folder, params


def assert_same(folder, params, hparams):
    """Assert that `folder` loads as these parameters, views of one array."""
    loaded, found, _ = weights.load(folder)
    assert found == hparams
    assert list(flatten(loaded)) == list(flatten(params))
    for path, w in walk(loaded):
        np.testing.assert_array_equal(w, flatten(params)[path], err_msg=path)


# From PyTorch


@pytest.fixture
def save_gpt(tmp_path):
    """Return a function that saves a GPT with PyTorch, and returns the file and the model's logits."""
    torch = pytest.importorskip("torch")
    from record import gpt

    def save(form, prefix="", **choices):
        model = gpt.gpt(**TINY | choices)
        args = dict(n_layer=2, n_head=3, n_embd=12, block_size=11, vocab_size=17, dropout=0.0)
        state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
        if form == "nanoGPT":
            adam = torch.optim.AdamW(model.parameters()).state_dict()
            more = dict(iter_num=5, best_val_loss=torch.tensor(1.5), config=dict(out_dir="out", compile=True))
            state = dict(model=state, optimizer=adam, model_args=args, **more)
        torch.save(state, tmp_path / "ckpt.pt")
        with torch.no_grad():
            return tmp_path / "ckpt.pt", model(torch.tensor(IDS)).numpy()

    return save


def assert_logits(folder, logits, options):
    params, hparams, _ = weights.load(folder)
    assert hparams == TINY | options
    n_vocab = hparams["n_vocab"]
    np.testing.assert_allclose(gpt2(IDS, params, 3), logits[..., :n_vocab], atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpts_checkpoint_gives_nanogpts_logits(bias, save_gpt, tmp_path):
    file, logits = save_gpt("nanoGPT", "_orig_mod.", bias=bias, gelu="erf")
    tool.convert(str(file), out=str(tmp_path / "new"))
    assert_logits(tmp_path / "new", logits, dict(gelu="erf") | ({} if bias else dict(bias=False)))


def test_an_older_nanogpts_gelu_can_be_told(save_gpt, tmp_path):
    file, logits = save_gpt("nanoGPT")
    tool.convert(str(file), out=str(tmp_path / "new"), gelu="tanh")
    assert_logits(tmp_path / "new", logits, {})


def test_mingpts_state_dict_gives_mingpts_logits(save_gpt, tmp_path):
    file, logits = save_gpt("minGPT", tied=False, masks=True)
    tool.convert(str(file), out=str(tmp_path / "new"), n_head=3)
    assert_logits(tmp_path / "new", logits, dict(tied=False))


def test_a_model_whose_heads_nobody_knows_is_reported(save_gpt, tmp_path):
    file, _ = save_gpt("minGPT")
    with pytest.raises(
        ValueError, match=r"ckpt\.pt does not tell how many heads the model has: give --n_head"
    ):
        tool.convert(str(file), out=str(tmp_path / "new"))
    with pytest.raises(ValueError, match="n_embd 12 does not split into n_head 5 equal heads"):
        tool.convert(str(file), out=str(tmp_path / "new"), n_head=5)
    assert not (tmp_path / "new").exists()


def test_a_padded_vocabulary_becomes_gpt_2s_with_the_same_logits_and_its_tokenizer(save_gpt, tmp_path):
    file, logits = save_gpt("nanoGPT", n_vocab=50304, gelu="erf")
    tool.convert(str(file), out=str(tmp_path / "new"))
    assert_logits(tmp_path / "new", logits, dict(n_vocab=50257, gelu="erf"))
    assert weights.load(tmp_path / "new")[2].encode("Not all heroes") == [3673, 477, 10281]


def test_a_model_of_characters_takes_them_from_its_text(save_gpt, tmp_path):
    file, _ = save_gpt("nanoGPT")
    (tmp_path / "input.txt").write_text("qponmlkjihgfedcba", encoding="utf-8")
    tool.convert(str(file), out=str(tmp_path / "new"), tokenizer=str(tmp_path / "input.txt"))
    assert weights.load(tmp_path / "new")[2].encode("abq") == [0, 1, 16]
    (tmp_path / "input.txt").write_text("ab", encoding="utf-8")
    with pytest.raises(ValueError, match=r"input\.txt has 2 characters, but the model n_vocab 17"):
        tool.convert(str(file), out=str(tmp_path / "other"), tokenizer=str(tmp_path / "input.txt"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_hugging_faces_pytorch_model_is_opened(dtype, tmp_path):
    torch = pytest.importorskip("torch")
    folder = Path(shutil.copytree(HUGGING_FACE, tmp_path / "old"))
    tensors, _ = safetensors.read(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state = {name: torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in tensors.items()}
    torch.save(state, folder / "pytorch_model.bin")
    tool.convert(str(folder), out=str(tmp_path / "new"))
    expected = tree_map(
        lambda w: torch.from_numpy(w).to(getattr(torch, dtype)).float().numpy(), weights.load(HUGGING_FACE)[0]
    )
    assert_same(tmp_path / "new", expected, TINY)


def test_weights_in_several_pytorch_files_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    tensors, _ = safetensors.read(HUGGING_FACE / "model.safetensors")
    folder, names = tmp_path / "theirs", ("pytorch_model-1.bin", "pytorch_model-2.bin")
    folder.mkdir()
    shutil.copy(HUGGING_FACE / "config.json", folder)
    places = {name: names[n % 2] for n, name in enumerate(tensors)}
    for file in names:
        part = {name: torch.from_numpy(w) for name, w in tensors.items() if places[name] == file}
        torch.save(part, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    tool.convert(str(folder), out=str(tmp_path / "new"))
    assert_same(tmp_path / "new", weights.load(HUGGING_FACE)[0], TINY)
    (folder / names[1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"pytorch_model-2.bin is missing: download it again"):
        tool.convert(str(folder), out=str(tmp_path / "newer"))
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"wte.weight": "../x.bin"}}')
    with pytest.raises(ValueError, match=r"it names '../x.bin', which is no .bin file beside it"):
        tool.convert(str(folder), out=str(tmp_path / "newer"))


def test_a_numpy_number_in_a_checkpoint_is_named_with_the_way_out(tmp_path):
    torch = pytest.importorskip("torch")
    saved = {"model": {}, "model_args": {}, "best_val_loss": np.float64(1.5)}
    torch.save(saved, tmp_path / "ckpt.pt")
    says = (
        r"it holds more than tensors, numpy\S*scalar for one\. .*: torch\.save\(model\.state_dict\(\), FILE\)"
    )
    with pytest.raises(ValueError, match=says):
        tool.convert(str(tmp_path / "ckpt.pt"), out=str(tmp_path / "new"))


@pytest.mark.parametrize("length", [255, 256])
def test_a_token_that_llm_c_has_no_room_for_is_named_and_nothing_is_left_behind(tmp_path, length):
    tokens = ["-" * 2**n for n in range(1, 8)] + ["-" * length]
    halves = [("-" * 2**n, "-" * 2**n) for n in range(7)] + [("-" * 128, "-" * (length - 128))]
    merges = halves if length == 256 else [*halves[:7], *rest_of_255()]
    encoder = bpe.Encoder(merges)
    assert tokens[-1] in encoder.encoder
    folder, _ = save_random(tmp_path / "model", encoder)
    if length == 255:
        tool.convert(str(folder), to="llmc", out=str(tmp_path / "new"))
        return
    with pytest.raises(ValueError, match=r"has 256 bytes, and llm.c's tokenizer has room for 1 to 255"):
        tool.convert(str(folder), to="llmc", out=str(tmp_path / "new"))
    assert list((tmp_path / "new").iterdir()) == []


def rest_of_255():
    """Return the merges that make 255 dashes of 128, 64, 32 .. 1."""
    sizes = [2**n for n in range(7, -1, -1)]
    sums = [sum(sizes[: n + 1]) for n in range(8)]
    return [("-" * total, "-" * size) for total, size in zip(sums, sizes[1:], strict=False)]


class Hostile:
    """What a pickle can make of whoever loads it."""

    def __reduce__(self):
        return os.mkdir, ("harmed",)


def hostile(path):
    path.write_bytes(pickle.dumps({"wte.weight": Hostile()}, 2))


def hostile_inside(path):
    import torch

    torch.save({"model": {"wte.weight": Hostile()}, "model_args": {}}, path)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (hostile, "is no file of weights that PyTorch can read safely"),
        (hostile_inside, "is no file of weights that PyTorch can read safely"),
        (lambda path: path.write_bytes(b""), "is no file of weights"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut short"), "is no file of weights"),
        (lambda path: path.write_text("<html>"), "is no file of weights"),
    ],
)
def test_a_file_that_would_run_or_is_damaged_is_reported(write, says, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=says) as error:
        tool.convert("model.pt", out="new")
    assert "\n" not in str(error.value) and "weights_only" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("saved", [[1, 2], {"a": 1}, {"wte.weight": 3}, {"model": {}, "model_args": {}}, 5])
def test_what_is_not_a_gpt_is_reported(saved, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model.pt is not the state dict of a GPT-2 \("):
        tool.convert(str(tmp_path / "model.pt"), out=str(tmp_path / "new"))


@pytest.mark.parametrize(
    "under", [["model_state_dict"], ["state_dict"], ["module"], ["model"], ["state_dict", "model"]]
)
def test_a_state_dict_under_a_name_is_found(under, save_gpt):
    torch = pytest.importorskip("torch")
    path, logits = save_gpt("minGPT", prefix="model.")
    saved = torch.load(path)
    for name in reversed(under):
        saved = {name: saved, "epoch": 3}
    torch.save(saved, path)
    arrays, hparams = state_dict.read(path, n_head=3)
    params = weights.lay_out(arrays, hparams, path)
    assert np.abs(gpt2(IDS, params, 3) - logits).max() < 1e-4


def test_a_flag_that_contradicts_the_file_is_an_error(save_gpt):
    path, _ = save_gpt("nanoGPT")
    assert state_dict.read(path, n_head=3)[1]["n_head"] == 3
    with pytest.raises(ValueError, match=f"{path} is of n_head 3, and not --n_head 2: leave out the flag"):
        state_dict.read(path, n_head=2)


def test_a_packed_archive_is_not_unpacked(save_gpt, tmp_path):
    path, _ = save_gpt("minGPT")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(10**7 if name.endswith("data/0") else 0))
    with pytest.raises(
        ValueError, match=r"b.pt is no file of weights .* in it is packed, as PyTorch packs noth"
    ):
        state_dict.load(tmp_path / "b.pt")


def test_what_numpy_cannot_have_is_an_error_without_a_warning(save_gpt, recwarn):
    torch = pytest.importorskip("torch")
    path, _ = save_gpt("minGPT")
    state = torch.load(path)
    wte = state["transformer.wte.weight"]
    for other in (wte.to_sparse(), wte.to("meta"), torch.quantize_per_tensor(wte, 0.1, 0, torch.qint8)):
        torch.save(state | {"transformer.wte.weight": other}, path)
        recwarn.clear()
        with pytest.raises(
            ValueError, match=f"{path} has a tensor that NumPy cannot have .*: save it as float32"
        ):
            state_dict.read(path, n_head=3)
        assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []


def test_of_a_whole_file_and_one_in_parts_pytorchs_whole_one_is_read(save_gpt, tmp_path):
    path, _ = save_gpt("minGPT")
    path.rename(tmp_path / "pytorch_model.bin")
    index = {"weight_map": {"transformer.wte.weight": "pytorch_model-1.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert state_dict.read_folder(tmp_path)["wte"].shape == (17, 12)


def test_pytorch_is_asked_for_plain_data_alone(tmp_path, monkeypatch):
    asked = []
    torch = SimpleNamespace(load=lambda path, *args, **how: asked.append((args, how)) or {})
    monkeypatch.setitem(sys.modules, "torch", torch)
    (tmp_path / "model.pt").write_bytes(b"x")
    assert state_dict.load(tmp_path / "model.pt") == {}
    assert asked == [(("cpu",), dict(weights_only=True, mmap=False))]


def test_without_pytorch_its_files_say_what_they_need(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"model\.pt needs PyTorch to be read: pip install torch"):
        tool.convert(str(tmp_path / "model.pt"), out=str(tmp_path / "new"))


# llm.c, read and written by the layout that it publishes


def read_as_llmc(path):
    """Return the header and {name in llm.c: array} as train_gpt2.c reads them, without our code."""
    content = path.read_bytes()
    magic, version, T, V, L, H, C, Vp = struct.unpack("<8i", content[:32])
    assert content[32:1024] == bytes(992)
    sizes = dict(
        wte=(Vp, C), wpe=(T, C), ln1w=(L, C), ln1b=(L, C), qkvw=(L, 3 * C, C), qkvb=(L, 3 * C),
        attprojw=(L, C, C), attprojb=(L, C), ln2w=(L, C), ln2b=(L, C), fcw=(L, 4 * C, C), fcb=(L, 4 * C),
        fcprojw=(L, C, 4 * C), fcprojb=(L, C), lnfw=(C,), lnfb=(C,),
    )  # fmt: skip
    numbers, arrays = np.frombuffer(content[1024:], "<f4"), {}
    for name, shape in sizes.items():
        n = int(np.prod(shape))
        arrays[name], numbers = numbers[:n].reshape(shape), numbers[n:]
    assert numbers.size == 0
    return (magic, version, T, V, L, H, C, Vp), arrays


def test_llmc_finds_its_header_and_each_array_where_it_looks(tmp_path):
    folder, params = save_random(tmp_path / "model", LETTERS)
    tool.convert(str(folder), to="llmc", out=str(tmp_path / "new"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.bin"]
    header, arrays = read_as_llmc(tmp_path / "new" / "model.bin")
    assert header == (20240326, 3, 11, 17, 2, 3, 12, 128)
    np.testing.assert_array_equal(arrays["wte"][:17], params["wte"])
    assert not arrays["wte"][17:].any()
    np.testing.assert_array_equal(arrays["wpe"], params["wpe"])
    np.testing.assert_array_equal(arrays["lnfw"], params["ln_f"]["g"])
    np.testing.assert_array_equal(arrays["lnfb"], params["ln_f"]["b"])
    for i, block in enumerate(params["blocks"]):
        for norm, theirs in (("ln_1", "ln1"), ("ln_2", "ln2")):
            np.testing.assert_array_equal(arrays[theirs + "w"][i], block[norm]["g"])
            np.testing.assert_array_equal(arrays[theirs + "b"][i], block[norm]["b"])
        attn, mlp = block["attn"], block["mlp"]
        for linear, theirs in (
            (attn["c_attn"], "qkv"), (attn["c_proj"], "attproj"),
            (mlp["c_fc"], "fc"), (mlp["c_proj"], "fcproj"),
        ):  # fmt: skip
            np.testing.assert_array_equal(arrays[theirs + "w"][i], linear["w"].T)
            np.testing.assert_array_equal(arrays[theirs + "b"][i], linear["b"])


def test_what_llmc_saved_is_opened(tmp_path):
    folder, params = save_random(tmp_path / "model", LETTERS)
    tool.convert(str(folder), to="llmc", out=str(tmp_path / "bin"))
    tool.convert(str(tmp_path / "bin" / "model.bin"), out=str(tmp_path / "new"), tokenizer=str(folder))
    assert_same(tmp_path / "new", params, TINY)
    assert weights.load(tmp_path / "new")[2].encode("q") == [16]


def test_llmc_gets_the_tokens_bytes_in_its_format(tmp_path):
    encoder = bpe.load_encoder(REPOSITORY / "models" / "gpt2-bpe", n_vocab=300)
    folder, _ = save_random(tmp_path / "model", encoder)
    tool.convert(str(folder), to="llmc", out=str(tmp_path / "new"))
    content = (tmp_path / "new" / "gpt2_tokenizer.bin").read_bytes()
    assert struct.unpack("<4i", content[:16]) == (20240328, 2, 300, 299)
    tokens, at = [], 1024
    while at < len(content):
        tokens.append(content[at + 1 : at + 1 + content[at]])
        at += 1 + content[at]
    assert tokens == [encoder.token_bytes(i) for i in range(300)]
    assert tokens[256:259] == [b" t", b" a", b"he"] and tokens[299] == b"<|endoftext|>"


def test_a_model_of_a_released_size_has_the_name_that_llmc_looks_for(tmp_path, monkeypatch):
    monkeypatch.setitem(llmc.SIZES, "124M", TINY)
    folder, _ = save_random(tmp_path / "model")
    tool.convert(str(folder), to="llmc", out=str(tmp_path / "new"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["gpt2_124M.bin"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b[:1000], "is of llm.c's version 0: only 3, float32, can be read"),
        (lambda b: b[:4] + struct.pack("<i", 5) + b[8:], "is of llm.c's version 5: only 3"),
        (lambda b: b[:-4], r"has [0-9,]+ bytes, not [0-9,]+ as its header says"),
        (lambda b: b[:20] + struct.pack("<i", 0) + b[24:], "cannot be used: n_head is 0"),
        (lambda b: b[:28] + struct.pack("<i", 16) + b[32:], r"has [0-9,]+ bytes, not"),
        (lambda b: b[:-4] + struct.pack("<f", np.nan), "has NaN or infinity in ln_f.b"),
    ],
)
def test_a_damaged_file_of_llmc_is_reported(change, says, tmp_path):
    folder, _ = save_random(tmp_path / "model")
    tool.convert(str(folder), to="llmc", out=str(tmp_path / "bin"))
    file = tmp_path / "bin" / "model.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"model.bin {says}"):
        tool.convert(str(file), out=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


# To Hugging Face and TensorFlow


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"tied": False},
        {"gelu": "erf"},
        {"tied": False, "gelu": "erf"},
        {"gelu": "quick"},
    ],
    ids=str,
)
def test_hugging_face_computes_the_same_logits(options, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder, params = save_random(tmp_path / "model", LETTERS, **options)
    tool.convert(str(folder), to="hf", out=str(tmp_path / "new"))
    model, report = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(report.values())
    with torch.no_grad():
        logits = model.eval()(torch.tensor(IDS)).logits.numpy()
    np.testing.assert_allclose(gpt2(IDS, params, 3), logits, atol=1e-4)
    again, _, encoder = weights.load(tmp_path / "new")
    np.testing.assert_allclose(gpt2(IDS, again, 3), logits, atol=1e-4)
    assert encoder.encode("abq") == [0, 1, 16]


def test_hugging_face_gets_the_tokenizer(tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = REPOSITORY / "models" / "tales"
    tool.convert(str(folder), to="hf", out=str(tmp_path / "new"))
    theirs, encoder = transformers.AutoTokenizer.from_pretrained(tmp_path / "new"), bpe.load_encoder(folder)
    text = "There was once a poor woodcutter, who had 2 children.\n"
    assert theirs(text).input_ids == encoder.encode(text) == weights.load(tmp_path / "new")[2].encode(text)
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], theirs.eos_token_id) == (encoder.eot,) * 3


def test_tensorflow_reads_each_variable_back(tmp_path):
    tf = pytest.importorskip("tensorflow")
    folder, params = save_random(tmp_path / "model", LETTERS)
    tool.convert(str(folder), to="tf", out=str(tmp_path / "new"))
    reader = tf.train.load_checkpoint(str(tmp_path / "new"))
    names = reader.get_variable_to_shape_map()
    assert sorted(names) == sorted(bundle.read(TENSORFLOW))
    flat = flatten(params)
    for name in names:
        path = (
            name.removeprefix("model/")
            .replace("/", ".")
            .replace("h0.", "blocks.0.")
            .replace("h1.", "blocks.1.")
        )
        array = reader.get_tensor(name)
        assert array.dtype == np.float32 and array.shape == bundle.read(TENSORFLOW)[name].shape
        np.testing.assert_array_equal(array.reshape(flat[path].shape), flat[path], err_msg=name)
        prefix = str(tmp_path / "new" / "model.ckpt")
        [restored] = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[tf.float32]
        )
        np.testing.assert_array_equal(restored.numpy(), array)


def test_openais_code_finds_the_files_that_it_reads(tmp_path):
    encoder = bpe.load_encoder(REPOSITORY / "models" / "gpt2-bpe", n_vocab=300)
    folder, params = save_random(tmp_path / "model", encoder)
    tool.convert(str(folder), to="tf", out=str(tmp_path / "new"))
    data = "model.ckpt.data-00000-of-00001"
    names = ["checkpoint", "encoder.json", "hparams.json", data, "model.ckpt.index", "vocab.bpe"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    assert json.loads((tmp_path / "new" / "hparams.json").read_text()) == TINY | {"n_vocab": 300}
    assert_same(tmp_path / "new", params, TINY | {"n_vocab": 300})


def test_the_index_describes_a_checkpoint_as_tensorflows_does(tmp_path):
    tool.convert(str(TENSORFLOW), to="tf", out=str(tmp_path))
    ours, theirs = (bundle.read_index(folder / "model.ckpt.index") for folder in (tmp_path, TENSORFLOW))
    assert ours == theirs  # to the crc32c of each array, and their order
    data = "model.ckpt.data-00000-of-00001"
    assert (tmp_path / data).read_bytes() == (TENSORFLOW / data).read_bytes()


@pytest.mark.parametrize("to", ["hf", "tf", "llmc"])
def test_biases_that_a_model_lacks_are_written_as_zeros(to, tmp_path):
    folder, params = save_random(tmp_path / "model", bias=False)
    tool.convert(str(folder), to=to, out=str(tmp_path / "new"))
    source = tmp_path / "new" / ("model.bin" if to == "llmc" else "")
    tool.convert(str(source), out=str(tmp_path / "again"))
    again, hparams, _ = weights.load(tmp_path / "again")
    assert hparams == TINY
    assert not any(w.any() for path, w in walk(again) if path.endswith(".b"))
    np.testing.assert_allclose(gpt2(IDS, again, 3), gpt2(IDS, params, 3), atol=1e-5)


@pytest.mark.parametrize("to", ["tf", "llmc"])
@pytest.mark.parametrize("option", [{"tied": False}, {"gelu": "erf"}], ids=str)
def test_what_the_other_program_cannot_compute_is_not_written(to, option, tmp_path):
    folder, _ = save_random(tmp_path / "model", **option)
    with pytest.raises(ValueError, match=rf"the model has \w+ .*, which --to {to} cannot say: use --to hf"):
        tool.convert(str(folder), to=to, out=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("to", ["hf", "tf", "llmc"])
@pytest.mark.parametrize(
    "option",
    [{"time_weighting": "full"}, {"time_mixing": True}, {"positions": "rotary"}, {"band": 3}],
    ids=str,
)
def test_what_only_picogpt_can_compute_is_not_written_for_others(to, option, tmp_path):
    folder, _ = save_random(tmp_path / "model", **option)
    with pytest.raises(
        ValueError, match=rf"the model has \w+ .*, which --to {to} cannot say: use --to picogpt"
    ):
        tool.convert(str(folder), to=to, out=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("to", ["picogpt", "hf", "tf"])
def test_a_model_goes_there_and_back(to, tmp_path):
    tales = REPOSITORY / "models" / "tales"
    tool.convert(str(tales), to=to, out=str(tmp_path / "there"))
    tool.convert(str(tmp_path / "there"), out=str(tmp_path / "back"), dtype="bfloat16")  # as it is bundled
    assert (tmp_path / "back" / "vocab.bpe").read_bytes() == (tales / "vocab.bpe").read_bytes()
    ours, theirs = (flatten(weights.load(folder)[0]) for folder in (tmp_path / "back", tales))
    assert all(np.array_equal(ours[path], theirs[path]) for path in theirs)


def test_a_tokenizer_with_ids_of_its_own_goes_along(tmp_path):
    encoder = hf_bpe.load_encoder(REPOSITORY / "tests" / "references" / "hf_tokenizer")
    folder, _ = save_random(tmp_path / "model", encoder)
    for to in ("picogpt", "hf", "tf"):
        tool.convert(str(folder), to=to, out=str(tmp_path / to))
        assert weights.load(tmp_path / to)[2].encoder == encoder.encoder


def test_a_folder_that_has_a_model_is_not_written_over(tmp_path):
    folder, _ = save_random(tmp_path / "model")
    other = Path(shutil.copytree(HUGGING_FACE, tmp_path / "other"))
    for there, name in ((folder, "hparams.json"), (other, "config.json")):
        before = {path.name: path.read_bytes() for path in there.iterdir()}
        with pytest.raises(ValueError, match=rf"has a model already \({name}\): --out names another folder"):
            tool.convert(str(TENSORFLOW), out=str(there))
        assert {path.name: path.read_bytes() for path in there.iterdir()} == before
