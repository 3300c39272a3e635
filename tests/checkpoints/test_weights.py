import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints import download, generation_config, safetensors, weights
from picogpt.params import checks, narrow
from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES, param_shapes
from picogpt.params.tree import flatten, nest, tree_map
from picogpt.text import bpe, chars

REPOSITORY = Path(__file__).parents[2]
TENSORFLOW = REPOSITORY / "tests" / "references" / "tf_checkpoint"
HPARAMS = {"n_vocab": 17, "n_ctx": 11, "n_embd": 12, "n_head": 3, "n_layer": 2}
TOKENIZER = chars.CharEncoder("abcdefghijklmnopq")


def random_params(hparams):
    rng = np.random.default_rng(0)
    return nest(
        {path: rng.normal(size=s).astype(np.float32) for path, s in flatten(param_shapes(**hparams)).items()}
    )


def assert_same_tree(ours, theirs):
    ours, theirs = flatten(ours), flatten(theirs)
    assert list(ours) == list(theirs)
    for path, array in ours.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, theirs[path], err_msg=path)


@pytest.fixture
def folder(tmp_path):
    """A folder with a small model, saved by picogpt."""
    weights.save(tmp_path / "model", random_params(HPARAMS), HPARAMS, TOKENIZER)
    return tmp_path / "model"


def change_hparams(folder, **changes):
    hparams = json.loads((folder / "hparams.json").read_text()) | changes
    (folder / "hparams.json").write_text(json.dumps({k: v for k, v in hparams.items() if v is not None}))


def change_tensors(folder, change):
    tensors, metadata = safetensors.read(folder / weights.WEIGHTS)
    change(tensors)
    safetensors.write(folder / weights.WEIGHTS, tensors, metadata)


def base(array):
    return array if array.base is None else base(array.base)


SHAPES = [
    HPARAMS,
    {"n_vocab": 3, "n_ctx": 11, "n_embd": 48, "n_head": 3, "n_layer": 3},
    {"n_vocab": 50257, "n_ctx": 1, "n_embd": 1, "n_head": 1, "n_layer": 1},
    {"n_vocab": 5, "n_ctx": 4, "n_embd": 2, "n_head": 2, "n_layer": 12},  # 12: "10" sorts before "2"
]


@pytest.mark.parametrize("hparams", SHAPES)
def test_what_is_saved_is_loaded(tmp_path, hparams):
    params = random_params(hparams)
    weights.save(tmp_path, params, hparams)
    loaded, loaded_hparams, encoder = weights.load(tmp_path)
    assert_same_tree(loaded, params)
    assert loaded_hparams == hparams
    assert encoder is None
    assert len({id(base(array)) for array in flatten(loaded).values()}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hparams.json", "model.safetensors"]


def test_what_is_saved_in_bfloat16_is_loaded_in_float32_and_nearly_the_same(tmp_path):
    params = random_params(HPARAMS)
    weights.save(tmp_path, narrow.narrowed(params, "bfloat16"), HPARAMS)
    raw, _ = safetensors.read(tmp_path / weights.WEIGHTS)
    assert {name for name, array in raw.items() if array.dtype == safetensors.BF16} == {
        path for path in flatten(params) if path.endswith(".w") or path == "wte"
    }
    loaded, _, _ = weights.load(tmp_path)
    for path, array in flatten(params).items():
        read = flatten(loaded)[path]
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, array, rtol=2**-8, err_msg=path)
    assert len({id(base(array)) for array in flatten(loaded).values()}) == 1
    weights.save(tmp_path / "again", narrow.narrowed(loaded, "bfloat16"), HPARAMS)
    assert (tmp_path / "again" / weights.WEIGHTS).read_bytes() == (tmp_path / weights.WEIGHTS).read_bytes()


def test_the_file_tells_its_names_and_what_it_is(folder):
    tensors, metadata = safetensors.read(folder / weights.WEIGHTS)
    assert list(tensors)[:3] == ["wte", "wpe", "blocks.0.ln_1.g"]
    assert metadata["format"] == "picogpt"
    assert json.loads(metadata["hparams"]) == HPARAMS


def test_the_tokenizer_is_saved_and_loaded(folder):
    _, _, encoder = weights.load(str(folder))
    assert encoder.encode("abq") == [0, 1, 16]


def test_a_byte_level_tokenizer_is_saved_and_loaded(tmp_path):
    encoder = bpe.load_encoder(REPOSITORY / "models" / "gpt2-bpe", n_vocab=300)
    hparams = HPARAMS | {"n_vocab": 300}
    weights.save(tmp_path, random_params(hparams), hparams, encoder)
    assert weights.load(tmp_path)[2].encode("the end") == encoder.encode("the end")


def test_a_tensorflow_checkpoint_is_loaded_with_the_convolutions_axis_dropped():
    params, hparams, encoder = weights.load(TENSORFLOW)
    with np.load(TENSORFLOW / "expected.npz") as expected:
        names = {
            "wte": "model/wte",
            "wpe": "model/wpe",
            "blocks.1.attn.c_attn.w": "model/h1/attn/c_attn/w",
            "blocks.0.mlp.c_proj.b": "model/h0/mlp/c_proj/b",
            "ln_f.g": "model/ln_f/g",
        }
        flat = flatten(params)
        for path, name in names.items():
            np.testing.assert_array_equal(flat[path], expected[name].reshape(flat[path].shape), err_msg=path)
        assert len(flat) == len(expected.files)
    assert list(flat) == list(flatten(param_shapes(**HPARAMS)))
    assert len({id(base(array)) for array in flat.values()}) == 1
    assert (hparams, encoder) == (HPARAMS, None)


def test_what_is_not_of_the_model_is_left_out():
    names = [
        "model/wte",
        "global_step",
        "beta1_power",
        "beta2_power_1",
        "model/wte/Adam",
        "model/h0/mlp/c_fc/w/Adam_1",
    ]
    assert list(weights.from_checkpoint_names({name: np.ones((2, 2)) for name in names})) == ["wte"]


@pytest.mark.parametrize(
    ("files", "complete"),
    [
        ("hparams.json vocab.bpe model.safetensors", True),
        ("config.json model.safetensors vocab.json merges.txt", True),
        ("config.json model.safetensors tokenizer.json", True),  # as transformers 5 saves
        ("config.json model.safetensors.index.json tokenizer.json", True),
        ("config.json model.safetensors vocab.json", False),
        ("config.json tokenizer.json", False),
        ("model.safetensors tokenizer.json", False),
    ],
)
def test_a_folder_is_complete_in_each_of_its_kinds(tmp_path, files, complete):
    for name in files.split():
        (tmp_path / name).touch()
    assert weights.is_complete(tmp_path) == complete


def test_only_the_first_axis_of_three_is_dropped():
    tensors = {
        "model/h10/attn/c_attn/w": np.ones((1, 1, 3)),
        "model/wte": np.ones((1, 1)),
        "model/wpe": np.ones(1),
        "model/odd": np.ones((2, 1, 3)),
    }
    shapes = {path: array.shape for path, array in weights.from_checkpoint_names(tensors).items()}
    assert shapes == {"blocks.10.attn.c_attn.w": (1, 3), "wte": (1, 1), "wpe": (1,), "odd": (2, 1, 3)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_head": None}, "hparams.json cannot be used: n_head is missing"),
        ({"n_layer": "2"}, "n_layer is '2', but must be a whole number"),
        ({"n_embd": 12.0}, "n_embd is 12.0, but must be a whole number"),
        ({"n_ctx": 0}, "n_ctx is 0, but must be a whole number from 1 on"),
        ({"n_ctx": True}, "n_ctx is True, but must be"),
        ({"n_head": 5}, "n_embd 12 does not split into n_head 5 equal heads"),
        ({"n_layer": 3}, r"model lacks blocks.2.attn.c_attn.b \(and 11 more tensors\)"),
        ({"n_layer": 1}, r"model has blocks.1.attn.c_attn.b \(and 11 more tensors\) that a GPT-2"),
        ({"n_ctx": 12}, r"model has wpe of shape \(11, 12\), but its hyper-parameters ask for \(12, 12\)"),
        ({"n_vocab": 18}, "tokenizer in .*model has 17 tokens, but the model has n_vocab 18"),
    ],
)
def test_hparams_that_do_not_fit_are_reported(folder, changes, says):
    change_hparams(folder, **changes)
    with pytest.raises(ValueError, match=says):
        weights.load(folder)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"', '[["n_head", 3]]'])
@pytest.mark.parametrize("file", ["hparams.json", "generation_config.json", "adapter_config.json"])
def test_what_is_no_object_is_said(folder, file, content):
    """Pairs in a list would do for a dict of Python's."""
    if file == "adapter_config.json":
        (folder / "hparams.json").unlink()
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=f"{file} cannot be .*it holds .*, and not an object"):
        generation_config.read(folder)
        weights.load(folder)


def test_another_number_of_heads_than_the_file_was_saved_with_is_refused(folder):
    """No shape would tell: the model would compute, and write nonsense."""
    change_hparams(folder, n_head=4)
    with pytest.raises(ValueError, match=r"has weights of n_head 3, but hparams\.json has 4: correct it"):
        weights.load(folder)


def test_heads_of_a_released_size_are_the_released_ones():
    checks.check_released(SIZES["124M"])
    with pytest.raises(ValueError, match="n_head is 16, but 124M, of these sizes, has 12: correct it"):
        checks.check_released(SIZES["124M"] | dict(n_head=16))
    checks.check_released(SIZES["124M"] | dict(n_head=16, n_layer=11))


def test_sizes_have_bounds():
    good = HPARAMS | dict(n_layer=10_000, n_vocab=2**31 - 1, n_ctx=1)
    checks.check_hparams(good)
    for changes, says in (
        (dict(n_layer=10_001), "n_layer is 10001, which is more than any GPT-2 has"),
        (dict(n_vocab=2**31), r"n_vocab is 2147483648, but must be .* less than 2\*\*31"),
        (dict(n_ctx=0), "n_ctx is 0, but must be a whole number from 1 on"),
        (dict(band=-1), "band is -1, but must be a whole number from 0 on"),
        (dict(band=2**31), "band is 2147483648, but"),
        (dict(band=True), "band is True, but"),
        (dict(positions="rotary", n_head=4), "gives each of n_head 4 heads an odd number of them"),
    ):
        with pytest.raises(ValueError, match=says):
            checks.check_hparams(good | changes)
    checks.check_hparams(good | dict(band=2**31 - 1, positions="rotary"))


def test_rows_beyond_the_tokens_are_left_out_with_a_word_from_128_on(caplog):
    for more, n_said in ((0, 0), (127, 0), (128, 1)):
        params = dict(wte=np.ones((5 + more, 2)), wpe=np.ones((3, 2)), lm_head=np.ones((5 + more, 2)))
        encoder = SimpleNamespace(n_vocab=5)
        cut, hparams = weights.without_padding(params, dict(n_vocab=5 + more), encoder)
        assert (len(cut["wte"]), len(cut["lm_head"]), len(cut["wpe"]), hparams["n_vocab"]) == (5, 5, 3, 5)
        assert len(caplog.records) == n_said


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b"3", b"\xff\xfe", b"null", b""])
def test_hparams_that_are_none_are_reported(folder, content):
    (folder / "hparams.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"hparams.json cannot be used: "):
        weights.load(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("wte"), "model lacks wte, which its hyper-parameters ask for"),
        (lambda t: t.update(extra=t["wte"]), "model has extra that a GPT-2"),
        (lambda t: t.update(wte=t["wte"].T), r"model has wte of shape \(12, 17\), but"),
        (lambda t: t.update(wte=t["wte"].astype(np.float64)), "model has wte in float64"),
        (lambda t: np.put(t["ln_f.g"], 3, np.nan), "model has NaN or infinity in ln_f.g"),
        (lambda t: np.put(t["wpe"], [0, 1], [np.inf, -np.inf]), "model has NaN or infinity in wpe"),
    ],
)
def test_tensors_that_do_not_fit_are_reported(folder, change, says):
    change_tensors(folder, change)
    with pytest.raises(ValueError, match=says):
        weights.load(folder)


def test_large_numbers_whose_sum_overflows_are_no_error(folder):
    change_tensors(folder, lambda tensors: tensors["wte"].fill(3e38))
    assert weights.load(folder)[0]["wte"].max() == np.float32(3e38)


def test_params_that_could_not_be_loaded_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="the model has wte in float64"):
        weights.save(tmp_path, tree_map(np.float64, random_params(HPARAMS)), HPARAMS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hparams.json", "hparams.json is missing"),
        ("model.safetensors", "model.ckpt.index is missing"),
    ],
)
def test_a_missing_file_is_reported(folder, name, says):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=says):
        weights.load(folder)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("117M", "117M is now called 124M"),
        ("345M", "345M is now called 355M"),
        ("gpt3", "gpt3 is neither a folder nor a size of GPT-2; the sizes are 124M, 355M, 774M, 1558M"),
        (__file__, r"test_weights.py is a file, and a model is a folder: tools/convert.py makes one of it"),
    ],
)
def test_an_unknown_model_is_reported_with_the_sizes(model, says):
    with pytest.raises(ValueError, match=says):
        weights.load(model)


def test_a_size_that_is_there_is_found_without_a_network(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(download, "download", lambda *_: pytest.fail("asked the network"))
    for size, source in (("124M", folder), ("355M", TENSORFLOW)):
        shutil.copytree(source, tmp_path / "models" / size)
        (tmp_path / "models" / size / "vocab.bpe").touch()
        assert weights.find(size, tmp_path / "models") == tmp_path / "models" / size


@pytest.mark.parametrize(("name", "size"), HUGGING_FACE_NAMES.items())
def test_hugging_faces_names_work_where_sizes_do(name, size, tmp_path, folder, monkeypatch):
    asked = []
    monkeypatch.setattr(download, "download", lambda url, *_, **__: asked.append(url))
    for given in (name, size):
        assert weights.find(given, tmp_path) == tmp_path / size
    assert asked and {f"/{size}/" in url for url in asked} == {True}
    n_asked = len(asked)
    theirs = Path(shutil.copytree(REPOSITORY / "tests" / "references" / "hf_gpt2", tmp_path / name))
    for file in ("vocab.json", "merges.txt"):
        (theirs / file).touch()
    for given in (name, size):
        assert weights.find(given, tmp_path) == theirs
    shutil.copytree(folder, tmp_path / size)
    (tmp_path / size / "vocab.bpe").touch()
    for given in (name, size):
        assert weights.find(given, tmp_path) == tmp_path / size
    assert len(asked) == n_asked


def test_the_bundled_model_lies_in_the_checkout_or_in_the_package(monkeypatch, tmp_path):
    assert weights.shipped("tales") == REPOSITORY / "models" / "tales"
    (tmp_path / "picogpt" / "models" / "tales").mkdir(parents=True)
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "picogpt" / "checkpoints" / "weights.py"))
    assert weights.shipped("tales") == tmp_path / "picogpt" / "models" / "tales"
