import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from record import hf_variants as record

from picogpt.checkpoints import config_keys, huggingface, safetensors, weights
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES, param_shapes
from picogpt.params.tree import flatten, walk
from picogpt.text import hf_bpe

REFERENCES = Path(__file__).parents[1] / "references"
VARIANTS = np.load(record.RECORD)
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


def in_a_module(tensors):
    return {f"model.{name}": array for name, array in tensors.items()}


def of_a_trainer(tensors):
    return {f"pretrained_model.{name}": w for name, w in without_prefix(tensors).items()}


def in_modules_twice(tensors):
    return {f"base_model.model._orig_mod.{name}": array for name, array in tensors.items()}


NAMES = [without_prefix, compiled, with_masks, with_tied_head, with_head_alone]


@pytest.mark.parametrize("change", [*NAMES, in_a_module, of_a_trainer, in_modules_twice])
def test_names_of_all_times_are_understood(folder, change):
    change_tensors(folder, change)
    assert_is_whole(folder)


def test_what_a_trainer_keeps_beside_the_model_is_a_head(folder, caplog):
    more = {"v_head.summary.weight": np.ones((1, 12), np.float32)}
    change_tensors(folder, lambda tensors: of_a_trainer(tensors) | more)
    assert_is_whole(folder)
    assert caplog.messages == [f"{folder}: v_head left out, which is for another task"] * len(caplog.messages)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("wte.weight", "two arrays for wte, "),
        ("transformer.transformer.wte.weight", "several models in it, under  and transformer.: save one"),
        ("teacher.wte.weight", "several models in it, under  and teacher.: save one alone"),
        ("h.1.ln_1.bias", "two arrays for blocks.1.ln_1.b, "),
    ],
)
def test_of_two_arrays_for_one_place_none_is_taken(folder, more, says):
    other = np.ones(12 if "ln" in more else (17, 12), np.float32)
    change_tensors(folder, lambda tensors: tensors | {more: other})
    with pytest.raises(ValueError, match=f"{folder} has {says}"):
        weights.load(folder)


def test_an_array_that_is_there_twice_and_the_same_does_no_harm(folder):
    change_tensors(folder, lambda tensors: tensors | without_prefix(tensors))
    assert_is_whole(folder)


def test_of_two_files_that_differ_about_an_array_none_is_taken(tmp_path):
    folder = Path(shutil.copytree(SHARDED, tmp_path / "model"))
    second = folder / "model-00002-of-00002.safetensors"
    tensors, metadata = safetensors.read(second)
    name = next(iter(safetensors.read(folder / "model-00001-of-00002.safetensors")[0]))
    safetensors.write(second, tensors | {name: np.ones(3, np.float32)}, metadata)
    with pytest.raises(ValueError, match=f"{second} has another {name} than a file before it: delete one"):
        weights.load(folder)


def test_of_a_whole_file_and_one_in_parts_the_whole_is_read(folder):
    """As transformers does."""
    index = {"weight_map": dict.fromkeys(["transformer.wte.weight"], "part.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    safetensors.write(folder / "part.safetensors", {"transformer.wte.weight": np.ones((17, 12), np.float32)})
    assert_is_whole(folder)


def test_half_precision_is_widened(folder):
    change_tensors(folder, lambda tensors: {name: w.astype(np.float16) for name, w in tensors.items()})
    half, whole = (flatten(weights.load(f)[0]) for f in (folder, WHOLE))
    for path, w in half.items():
        assert w.dtype == np.float32
        np.testing.assert_array_equal(w, whole[path].astype(np.float16).astype(np.float32), err_msg=path)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, bool])
def test_numbers_that_are_no_weights_are_reported(folder, dtype):
    change_tensors(folder, lambda tensors: {name: w.astype(dtype) for name, w in tensors.items()})
    says = rf"in {np.dtype(dtype)}: picogpt reads float32 or float16 or float64, convert it"
    with pytest.raises(ValueError, match=says):
        weights.load(folder)


def test_a_float64_that_float32_cannot_hold_is_reported(folder):
    change_tensors(folder, lambda tensors: tensors | {"transformer.ln_f.bias": np.full(12, 1e300)})
    with pytest.raises(ValueError, match=r"has NaN or infinity in ln_f\.b"):
        weights.load(folder)


def test_a_file_is_mapped_not_copied():
    tensors, metadata = safetensors.read_mapped(WHOLE / "model.safetensors")
    assert metadata == {"format": "pt"}
    assert {type(base(w)).__name__ for w in tensors.values()} == {"mmap"}
    with pytest.raises(ValueError, match="read-only"):
        tensors["transformer.wte.weight"][0] = 1


def test_a_padded_vocabulary_of_gpt2_loses_its_padding_even_without_a_tokenizer(tmp_path):
    hparams = dict(n_vocab=50304, n_ctx=2, n_embd=1, n_head=1, n_layer=1, tied=False)
    huggingface.write(tmp_path, init_params(hparams, np.random.default_rng(0)), hparams)
    params, found, _ = weights.load(tmp_path)
    assert {path: len(params[path]) for path in ("wte", "lm_head")} == {"wte": 50257, "lm_head": 50257}
    assert found == hparams | {"n_vocab": 50257}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("more", "noted"), [(0, False), (7, False), (200, True)])
def test_rows_without_a_token_are_left_out(tmp_path, caplog, tied, more, noted):
    hf_bpe.save(tmp_path, hf_bpe.load_encoder(REFERENCES / "hf_tokenizer"))  # of 500 tokens
    hparams = TINY | dict(n_vocab=500 + more, tied=tied)
    params = init_params(hparams, np.random.default_rng(0))
    huggingface.write(tmp_path, params, hparams)
    found, hparams_found, encoder = weights.load(tmp_path)
    assert hparams_found["n_vocab"] == encoder.n_vocab == 500
    np.testing.assert_allclose(gpt2(IDS, found, 3), gpt2(IDS, params, 3)[..., :500], atol=1e-6)
    assert (f"the model has {500 + more} rows for the 500 tokens of its tokenizer" in caplog.text) == noted


@pytest.mark.parametrize("case", record.CASES)
def test_logits_and_gradients_of_every_kind_are_those_of_transformers(tmp_path, case):
    record.write(tmp_path, case)
    params, hparams, _ = weights.load(tmp_path)
    logits = gpt2(record.IDS, params, hparams["n_head"])
    assert logits.dtype == np.float32
    assert np.abs(logits - VARIANTS[f"{case}: logits"]).max() < 1e-4
    _, grads = loss_and_grads(params, np.array(record.IDS), np.array(record.TARGETS), hparams["n_head"])
    assert np.abs(grads["blocks"][0]["mlp"]["c_fc"]["w"] - VARIANTS[f"{case}: gradient"]).max() < 1e-5


@pytest.mark.parametrize("case", record.CASES)
def test_every_kind_is_written_and_read_again(tmp_path, case):
    record.write(tmp_path, case)
    params, hparams, _ = weights.load(tmp_path)
    (tmp_path / "theirs").mkdir()
    huggingface.write(tmp_path / "theirs", params, hparams)
    weights.save(tmp_path / "ours", params, hparams)
    for folder in ("theirs", "ours"):
        again, hparams_again, _ = weights.load(tmp_path / folder)
        assert hparams_again == hparams
        for path, w in walk(again):
            np.testing.assert_array_equal(w, flatten(params)[path], err_msg=path)


@pytest.mark.parametrize("n", [3, 4, 5, 8, 9])
def test_arrays_are_compared_to_their_last_row(n, monkeypatch):
    monkeypatch.setattr(huggingface, "ROWS", 4)
    array = np.arange(2.0 * n).reshape(n, 2)
    assert huggingface.same(array, array.copy())
    for row in range(n):
        other = array.copy()
        other[row, 1] += 1
        assert not huggingface.same(array, other)
    assert not huggingface.same(array, array[:-1])
    assert not huggingface.same(array[:-1], array)
    assert not huggingface.same(array, np.vstack([array, array[:1]]))


@pytest.mark.parametrize("head", ["its own", "the embedding again"])
def test_a_head_that_config_json_tells_of_is_used_without_a_word(folder, head, caplog):
    change_config(folder, tie_word_embeddings=False)
    wte = safetensors.read(folder / "model.safetensors")[0]["transformer.wte.weight"]
    its = wte[::-1].copy() if head == "its own" else wte.copy()
    change_tensors(folder, lambda tensors: tensors | {"lm_head.weight": its})
    params, hparams, _ = weights.load(folder)
    assert hparams == TINY | {"tied": False}
    np.testing.assert_array_equal(params["lm_head"], its)
    assert caplog.messages == []


def test_a_head_of_its_own_in_another_file_is_used_too(tmp_path, caplog):
    case = "a head of its own that config.json denies"
    record.write(tmp_path, case)
    (tmp_path / "model.safetensors").unlink()
    tensors, files = record.tensors(case), ("model-1.safetensors", "model-2.safetensors")
    heads = {name: w for name, w in tensors.items() if "lm_head" in name}
    safetensors.write(tmp_path / files[0], {name: w for name, w in tensors.items() if name not in heads})
    safetensors.write(tmp_path / files[1], heads)
    places = {name: files[name in heads] for name in tensors}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    params, hparams, _ = weights.load(tmp_path)
    assert np.abs(gpt2(record.IDS, params, hparams["n_head"]) - VARIANTS[f"{case}: logits"]).max() < 1e-4
    assert caplog.text.count("its output head differs from its token embedding, and is used") == 1


def test_what_is_left_out_is_said_once(tmp_path, caplog):
    record.write(tmp_path, "a head for another task")
    weights.load(tmp_path)
    [said] = caplog.messages
    assert said == f"{tmp_path}: multiple_choice_head, score left out, which is for another task"


def test_weights_that_only_pytorch_reads_are_named_with_the_way_out(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model.bin: python tools/convert.py .* reads them"):
        weights.load(folder)


def test_the_released_models_configurations_are_the_released_sizes():
    for name, n_embd, n_layer, n_head in (
        ("gpt2", 768, 12, 12), ("gpt2-medium", 1024, 24, 16),
        ("gpt2-large", 1280, 36, 20), ("gpt2-xl", 1600, 48, 25),
    ):  # fmt: skip
        config = dict(n_embd=n_embd, n_layer=n_layer, n_head=n_head, n_positions=1024, vocab_size=50257)
        hparams = config_keys.hparams_of(config | dict(activation_function="gelu_new", n_ctx=1024))
        assert weights.without_usual(hparams) == SIZES[HUGGING_FACE_NAMES[name]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_head": None}, "n_head is None, but must be a whole number"),
        ({"n_embd": "12"}, "n_embd is '12', but must be a whole number"),
        ({"vocab_size": 17.0}, "vocab_size is 17.0, but must be a whole number"),
        ({"n_positions": True}, "n_positions is True, but must be a whole number"),
        ({"activation_function": "mish"}, "activation_function is 'mish', but picogpt knows only gelu_new"),
        ({"hidden_size": 13}, "n_embd is 12, but hidden_size, which is the same, 13"),
        ({"model_type": "gpt_neo"}, "model_type is 'gpt_neo', but picogpt computes with 'gpt2'"),
        ({"n_inner": -24}, "n_inner is -24, but must be a whole number"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}, but"),
        ({"add_cross_attention": True}, "add_cross_attention is True, .*: run this model in transformers"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06, but picogpt computes with 1e-05"),
        (
            {"scale_attn_by_inverse_layer_idx": "x"},
            "scale_attn_by_inverse_layer_idx is 'x', but must be true or false",
        ),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', but must be true or false"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1, but must be true or false"),
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
        (
            lambda t: t | {"transformer.h.0.attn.new.weight": np.ones(3, np.float32)},
            "attn.new.w that a GPT-2",
        ),
        (lambda t: t | {"transformer.new.weight": np.ones(3, np.float32)}, "model has new.w that a GPT-2"),
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
    (folder / "model.safetensors").unlink()
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


def test_the_records_are_what_hugging_face_says_today(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    for folder in (WHOLE, SHARDED):
        model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(torch.tensor(IDS)).logits.numpy()
        np.testing.assert_allclose(logits, np.load(folder / "logits.npy"), atol=1e-5)
    for case in record.CASES:
        folder = tmp_path / case
        folder.mkdir()
        record.write(folder, case)
        for found, name in zip(record.facts(folder), ("logits", "gradient"), strict=True):
            np.testing.assert_allclose(found, VARIANTS[f"{case}: {name}"], atol=1e-5)
