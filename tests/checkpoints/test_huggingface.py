import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import huggingface, safetensors, weights
from picogpt.gpt2 import gpt2
from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES, param_shapes
from picogpt.params.tree import flatten, walk

REFERENCES = Path(__file__).parents[1] / "references"
WHOLE, SHARDED = REFERENCES / "hf_gpt2", REFERENCES / "hf_sharded"
IDS = [[3, 1, 4, 1, 5, 9, 2], [6, 16, 0, 7, 15, 10, 8]]
TINY = {"n_vocab": 17, "n_ctx": 11, "n_embd": 12, "n_head": 3, "n_layer": 2}


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(WHOLE, tmp_path / "model"))


def change_tensors(folder, change):
    """Write the folder's safetensors file anew, with what `change` makes of its {name: array}."""
    tensors, metadata = safetensors.read(folder / "model.safetensors")
    changed = {name: w for name, w in change(tensors).items() if w is not None}
    safetensors.write(folder / "model.safetensors", changed, metadata)


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def base(array):
    """Return what an array is a view of, and that in turn, to the end."""
    return array if getattr(array, "base", None) is None else base(array.base)


def assert_is_whole(folder):
    """Assert that `folder` loads as the recorded model does."""
    params, hparams, encoder = weights.load(folder)
    assert (hparams, encoder) == (TINY, None)
    expected = flatten(weights.load(WHOLE)[0])
    for path, w in walk(params):
        np.testing.assert_array_equal(w, expected[path], err_msg=path)


@pytest.mark.parametrize(("folder", "options"), [(WHOLE, {}), (SHARDED, {"tied": False, "gelu": "erf"})])
def test_what_hugging_face_saved_gives_its_logits(folder, options):
    params, hparams, encoder = weights.load(folder)
    assert (hparams, encoder) == (TINY | options, None)
    logits = gpt2(IDS, params, 3)
    assert logits.dtype == np.float32
    assert np.abs(logits - np.load(folder / "logits.npy")).max() < 1e-4


@pytest.mark.parametrize("folder", [WHOLE, SHARDED])
def test_the_parameters_are_a_tree_like_any_and_views_of_one_array(folder):
    params, hparams, _ = weights.load(folder)
    assert next(iter(flatten(params))) == "wte"
    assert {path: w.shape for path, w in walk(params)} == flatten(param_shapes(**hparams))
    assert {w.dtype for _, w in walk(params)} == {np.dtype(np.float32)}
    assert len({id(base(w)) for _, w in walk(params)}) == 1
    params["wte"] += 1  # they can be trained


def test_bfloat16_is_the_upper_half_of_float32():
    torch = pytest.importorskip("torch")
    params, _, _ = weights.load(SHARDED)
    tensors = {}
    for path in SHARDED.glob("*.safetensors"):
        tensors |= safetensors.read(path)[0]
    raw = tensors["transformer.wte.weight"]["bf16"].astype(np.int32).astype(np.int16)
    theirs = torch.from_numpy(raw).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(params["wte"], theirs)


def without_prefix(tensors):
    return {name.removeprefix("transformer."): array for name, array in tensors.items()}


def compiled(tensors):
    return {f"_orig_mod.{name}": array for name, array in tensors.items()}


def with_masks(tensors):
    masks = {"attn.bias": np.ones((1, 1, 11, 11), bool), "attn.masked_bias": np.array(-1e4, np.float32)}
    named = {f"transformer.h.{i}.{name}": mask for i in range(2) for name, mask in masks.items()}
    return named | tensors


def with_tied_head(tensors):
    return tensors | {"lm_head.weight": tensors["transformer.wte.weight"]}


def with_head_alone(tensors):
    return with_tied_head(tensors) | {"transformer.wte.weight": None}


@pytest.mark.parametrize("change", [without_prefix, compiled, with_masks, with_tied_head, with_head_alone])
def test_names_of_all_times_are_understood(folder, change):
    change_tensors(folder, change)
    assert_is_whole(folder)


def test_half_precision_is_widened(folder):
    change_tensors(folder, lambda tensors: {name: w.astype(np.float16) for name, w in tensors.items()})
    half, whole = (flatten(weights.load(f)[0]) for f in (folder, WHOLE))
    for path, w in half.items():
        assert w.dtype == np.float32
        np.testing.assert_array_equal(w, whole[path].astype(np.float16).astype(np.float32), err_msg=path)


def test_other_precisions_are_reported(folder):
    change_tensors(folder, lambda tensors: {name: w.astype(np.float64) for name, w in tensors.items()})
    with pytest.raises(ValueError, match="in float64: picogpt reads float32, convert it"):
        weights.load(folder)


def test_a_file_is_mapped_not_copied():
    tensors, metadata = safetensors.read_mapped(WHOLE / "model.safetensors")
    assert metadata == {"format": "pt"}
    assert {type(base(w)).__name__ for w in tensors.values()} == {"mmap"}
    with pytest.raises(ValueError, match="read-only"):
        tensors["transformer.wte.weight"][0] = 1


def test_a_padded_vocabulary_loses_its_padding(tmp_path):
    small = {"vocab_size": 50304, "n_positions": 2, "n_embd": 1, "n_head": 1, "n_layer": 1}
    hparams = huggingface.hparams_of(small)
    assert hparams["n_vocab"] == 50257
    arrays = {"wte": np.arange(50304.0)[:, None]}
    assert huggingface.adapt(arrays, hparams)["wte"].shape == (50257, 1)
    arrays = {"wte": np.zeros((50304, 1)), "lm_head": np.zeros((50304, 1))}
    untied = huggingface.adapt(arrays, hparams | {"tied": False})
    assert {path: len(w) for path, w in untied.items()} == {"wte": 50257, "lm_head": 50257}


def test_the_released_models_configurations_are_the_released_sizes():
    for name, n_embd, n_layer, n_head in (
        ("gpt2", 768, 12, 12), ("gpt2-medium", 1024, 24, 16),
        ("gpt2-large", 1280, 36, 20), ("gpt2-xl", 1600, 48, 25),
    ):  # fmt: skip
        config = dict(n_embd=n_embd, n_layer=n_layer, n_head=n_head, n_positions=1024, vocab_size=50257)
        hparams = huggingface.hparams_of(config | dict(activation_function="gelu_new", n_ctx=1024))
        assert weights.without_usual(hparams) == SIZES[HUGGING_FACE_NAMES[name]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_head": None}, "n_head is None, but must be a whole number"),
        ({"n_embd": "12"}, "n_embd is 12, but must be"),
        ({"activation_function": "relu"}, "activation_function is 'relu', but picogpt knows only gelu_new"),
        ({"model_type": "gpt_neo"}, "model_type is 'gpt_neo', but picogpt computes with 'gpt2'"),
        ({"n_inner": 24}, "n_inner is 24, but picogpt computes with None"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06, but picogpt computes with 1e-05"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"tie_word_embeddings": "yes"}, "tied is 'yes', but must be true, false"),
        ({"activation_function": []}, "unhashable"),
    ],
)
def test_a_configuration_that_cannot_be_computed_is_reported(folder, changes, says):
    change_config(folder, **changes)
    with pytest.raises(ValueError, match=rf"config.json cannot be used: .*{says}"):
        weights.load(folder)


def test_a_configuration_may_spell_out_what_is_usual(folder):
    change_config(folder, n_inner=48, activation_function="gelu_pytorch_tanh")
    assert_is_whole(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {k: w for k, w in t.items() if "wpe" not in k}, "model lacks wpe"),
        (lambda t: t | {"score.weight": t["transformer.wte.weight"]}, "model has score.w that"),
        (lambda t: t | {"transformer.wte.weight": t["transformer.wte.weight"][1:]}, r"shape \(16, 12\)"),
        (lambda t: t | {"transformer.ln_f.bias": np.full(12, np.nan, np.float32)}, "infinity in ln_f.b"),
    ],
)
def test_tensors_that_do_not_fit_are_reported(folder, change, says):
    change_tensors(folder, change)
    with pytest.raises(ValueError, match=says):
        weights.load(folder)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "Expecting"),
        ("[]", "list indices"),
        ("{}", "weight_map"),
        ('{"weight_map": {"wte.weight": "../x.safetensors"}}', "it names '../x.safetensors'"),
        ('{"weight_map": {"wte.weight": "model.pt"}}', "it names 'model.pt'"),
        ('{"weight_map": {"wte.weight": 3}}', ""),
    ],
)
def test_a_damaged_list_of_files_is_reported(folder, index, says):
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=rf"index.json cannot be used \(.*{says}.*\): download it again"):
        weights.load(folder)


def test_a_missing_part_is_reported(tmp_path):
    folder = shutil.copytree(SHARDED, tmp_path / "model")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00002"):
        weights.load(folder)


@pytest.mark.parametrize("folder", [WHOLE, SHARDED])
def test_what_is_written_is_read(folder, tmp_path):
    params, hparams, _ = weights.load(folder)
    path = huggingface.write(tmp_path, params, hparams)
    assert path == tmp_path / "model.safetensors"
    again, hparams_again, _ = weights.load(tmp_path)
    assert hparams_again == hparams
    for name, w in walk(again):
        np.testing.assert_array_equal(w, flatten(params)[name], err_msg=name)


def test_names_go_there_and_back():
    shapes = flatten(param_shapes(**TINY, tied=False))
    assert list(huggingface.rename({huggingface.their_name(path): 0 for path in shapes})) == list(shapes)
    tensors, _ = safetensors.read(WHOLE / "model.safetensors")
    assert {huggingface.their_name(path) for path in shapes} - {"lm_head.weight"} == tensors.keys()


def test_the_records_are_what_hugging_face_says_today():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    for folder in (WHOLE, SHARDED):
        model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(torch.tensor(IDS)).logits.numpy()
        np.testing.assert_allclose(logits, np.load(folder / "logits.npy"), atol=1e-5)
