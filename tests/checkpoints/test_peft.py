"""LoRA adapters of PEFT's: opened merged, and written for PEFT."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from record import peft_adapters as record

from picogpt.checkpoints import huggingface, peft, safetensors, weights
from picogpt.finetune import lora, tuning
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params
from picogpt.params.tree import flatten
from picogpt.text import hf_bpe

REFERENCES = Path(__file__).parents[1] / "references"


@pytest.fixture
def folder(tmp_path):
    """A folder of PEFT's whose base model is named in full."""
    folder = Path(shutil.copytree(record.RECORD / "usual", tmp_path / "adapter"))
    change(folder, base_model_name_or_path=str(record.BASE))
    return folder


def change(folder, **changes):
    path = folder / peft.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder, change):
    path = folder / peft.WEIGHTS
    safetensors.write(path, change(safetensors.read(path)[0]))


@pytest.mark.parametrize("case", record.CASES)
def test_an_adapter_opens_merged_and_gives_pefts_logits(case, monkeypatch):
    monkeypatch.chdir(REFERENCES.parents[1])  # the base is named from there
    params, hparams, _ = weights.load(record.RECORD / case)
    logits = gpt2(record.IDS, params, hparams["n_head"])
    assert logits.dtype == np.float32
    assert np.abs(logits - np.load(record.RECORD / case / "logits.npy")).max() < 1e-4


def test_alpha_is_8_where_the_configuration_does_not_say(folder):
    """As in peft.LoraConfig; the recorded one has 3, and a rank of 2."""
    base, three = (flatten(weights.load(path)[0]) for path in (record.BASE, folder))
    path = folder / peft.CONFIG
    config = json.loads(path.read_text())
    assert (config.pop("lora_alpha"), config["r"]) == (3, 2)
    path.write_text(json.dumps(config))
    eight, name = flatten(weights.load(folder)[0]), "blocks.0.attn.c_attn.w"
    np.testing.assert_allclose(eight[name] - base[name], 8 / 3 * (three[name] - base[name]), atol=1e-5)


def test_rows_for_which_the_adapters_tokenizer_has_no_token_are_left_out(tmp_path):
    hparams = dict(n_vocab=600, n_ctx=11, n_embd=12, n_head=3, n_layer=1)
    params = init_params(hparams, np.random.default_rng(0))
    (tmp_path / "base").mkdir()
    huggingface.write(tmp_path / "base", params, hparams)
    peft.write(tmp_path / "new", tuned("blocks.*.w", params), tmp_path / "base")
    hf_bpe.save(tmp_path / "new", hf_bpe.load_encoder(REFERENCES / "hf_tokenizer"))
    found, found_hparams, encoder = weights.load(tmp_path / "new")
    assert (found_hparams["n_vocab"], len(found["wte"]), encoder.n_vocab) == (500, 500, 500)


def test_half_precision_is_widened_before_it_is_added(folder):
    change_tensors(folder, lambda tensors: {name: w.astype(np.float16) for name, w in tensors.items()})
    params, hparams, _ = weights.load(folder)
    logits = gpt2(record.IDS, params, hparams["n_head"])
    assert np.abs(logits - np.load(folder / "logits.npy")).max() < 0.1
    assert {w.dtype for w in flatten(params).values()} == {np.dtype(np.float32)}


def test_the_tokenizer_is_the_adapters_own_or_the_base_models(folder, tmp_path):
    base = Path(shutil.copytree(record.BASE, tmp_path / "base"))
    change(folder, base_model_name_or_path=str(base))
    assert weights.load(folder)[2] is None
    hf_bpe.save(base, hf_bpe.load_encoder(REFERENCES / "hf_tokenizer"))
    assert weights.load(folder)[2].n_vocab == 500
    hf_bpe.save(folder, hf_bpe.load_encoder(REFERENCES / "hf_tokenizer"))
    assert weights.load(folder, special=True)[2].special


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"peft_type": "IA3"},
            "has peft_type 'IA3', which picogpt cannot merge: merge it in PEFT, with merge_",
        ),
        ({"use_dora": True}, "has use_dora True"),
        ({"init_lora_weights": "pissa"}, "has init_lora_weights 'pissa'"),
        ({"trainable_token_indices": [1]}, r"has trainable_token_indices \[1\]"),
        ({"use_qalora": True}, "has use_qalora True"),
        ({"use_bdlora": {"match_strict": True}}, "has use_bdlora"),
        ({"alora_invocation_tokens": [1, 2]}, "has alora_invocation_tokens"),
        ({"target_parameters": ["mlp.c_fc.weight"]}, "has target_parameters"),
        ({"layer_replication": [[0, 1], [0, 2]]}, "has layer_replication"),
        ({"loftq_config": {"loftq_bits": 4}}, "has loftq_config"),
        ({"arrow_config": {"top_k": 3}}, "has arrow_config"),
        ({"corda_config": {"corda_method": "ipm"}}, "has corda_config"),
        (
            {"lora_alpha": None},
            "has None as an alpha, which must be a number",
        ),
        ({"lora_alpha": "3"}, "has '3' as an alpha"),
        ({"lora_alpha": True}, "has True as an alpha"),
        ({"alpha_pattern": [1]}, r"has alpha_pattern \[1\], which must be an object"),
        ({"alpha_pattern": 3}, "has alpha_pattern 3, which must be an object"),
        ({"rank_pattern": "c_attn"}, "has rank_pattern 'c_attn', which must be an object"),
        ({"rank_pattern": {"(": 3}}, "rank_pattern in adapter_config.json has a name that cannot be used"),
        ({"lora_alpha": 10**400}, "has 1000.* as an alpha, which must be a number"),
        ({"r": 3}, r"which is not of rank 3, as adapter_config.json says: save it again from PEFT"),
        ({"r": "2"}, "which is not of rank '2', as adapter_config.json says"),
        ({"rank_pattern": {"h.0.attn.c_attn": 1}}, r"c_attn.w of shapes .* which is not of rank 1"),
        ({"alpha_pattern": {"c_attn": None}}, "has None as an alpha"),
        ({"alpha_pattern": {"(": 3}}, "alpha_pattern in adapter_config.json has a name that cannot be used"),
        ({"lora_alpha": math.nan}, "has nan as an alpha, which must be a number"),
        (
            {"base_model_name_or_path": None},
            'names no base model: write "base_model_name_or_path": "gpt2" there',
        ),
        (
            {"base_model_name_or_path": "nowhere"},
            "is of the base model 'nowhere', and nowhere is neither a folder",
        ),
    ],
)
def test_what_cannot_be_merged_is_reported(folder, changes, says):
    change(folder, **changes)
    with pytest.raises(ValueError, match=says):
        weights.load(folder)


ATTN = "base_model.model.transformer.h.0.attn.c_attn"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda t: t | {f"{ATTN}.lora_magnitude_vector": t[f"{ATTN}.lora_A.weight"]},
            "lora_magnitude_vector, w",
        ),
        (
            lambda t: {name: w for name, w in t.items() if name != f"{ATTN}.lora_B.weight"},
            "that is not whole",
        ),
        (lambda t: t | {f"{ATTN}.lora_A.weight": np.ones((2, 9), np.float32)}, r"of shape \(9, 36\), but"),
        (lambda t: t | {f"{ATTN}.lora_A.weight": np.ones((1, 12), np.float32)}, "not of rank 2, as"),
        (lambda t: t | {f"{ATTN}.lora_A.weight": np.ones((1, 2, 12), np.float32)}, "not of rank 2, as"),
        (lambda t: t | {f"{ATTN}.lora_A.weight": np.full((2, 12), np.nan, np.float32)}, "NaN or infinity"),
        (
            lambda t: t | {"base_model.model.transformer.new.weight": np.ones(3, np.float32)},
            "has new.w, which",
        ),
    ],
)
def test_updates_that_do_not_fit_are_reported(folder, change, says):
    change_tensors(folder, change)
    with pytest.raises(ValueError, match=says):
        weights.load(folder)


def test_an_embedding_that_is_to_stay_tied_is_refused(folder):
    """PEFT computes with one model when it has loaded such a folder, and with another when it has merged."""
    change(folder, ensure_weight_tying=True)
    weights.load(folder)  # no update of the embedding: it says nothing
    wte = np.ones((17, 12), np.float32)
    change_tensors(folder, lambda t: t | {"base_model.model.transformer.wte.weight": wte})
    with pytest.raises(ValueError, match=r"adapter_config.json has ensure_weight_tying true for an update"):
        weights.load(folder)


def test_a_missing_or_damaged_file_is_reported(folder):
    (folder / peft.WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match="save it from PEFT with safe_serialization=True"):
        weights.load(folder)
    (folder / peft.CONFIG).write_text("{")
    with pytest.raises(ValueError, match=r"adapter_config.json cannot be used \(.*\): download it again"):
        weights.load(folder)


def tuned(patterns, params):
    """Return random low-rank updates of the matrices that match."""
    rng = np.random.default_rng(0)
    low_rank = lora.start(tuning.choose(params, patterns), 2, rng)
    for ab in low_rank.values():
        ab["b"][...] = rng.standard_normal(ab["b"].shape)
    return low_rank


@pytest.mark.parametrize("patterns", ["blocks.*.w", "blocks.1.mlp.c_fc.w,wpe", "lm_head,blocks.0.attn.*.w"])
def test_what_is_written_is_read_again_and_is_what_peft_reads(tmp_path, patterns):
    base = REFERENCES / ("hf_sharded" if "lm_head" in patterns else "hf_gpt2")
    params, hparams, _ = weights.load(base)
    low_rank = tuned(patterns, params)
    peft.write(tmp_path, low_rank, base)
    lora.merge(params, low_rank)
    expected = gpt2(record.IDS, params, hparams["n_head"])
    again, hparams_again, _ = weights.load(tmp_path)
    assert hparams_again == hparams
    np.testing.assert_allclose(gpt2(record.IDS, again, hparams["n_head"]), expected, atol=1e-4)
    pytest.importorskip("peft")
    np.testing.assert_allclose(record.logits_of(tmp_path, base), expected, atol=1e-4)


def test_what_is_written_has_pefts_names_and_a_scale_of_1(tmp_path):
    params, _, _ = weights.load(REFERENCES / "hf_sharded")
    low_rank = tuned("lm_head,wpe,blocks.1.attn.c_proj.w", params)
    peft.write(tmp_path, low_rank, "124M")
    config = json.loads((tmp_path / peft.CONFIG).read_text())
    modules = ["transformer.wpe", "transformer.h.1.attn.c_proj", "lm_head"]
    assert sorted(config["target_modules"]) == sorted(modules)
    said = [config[key] for key in ("peft_type", "task_type", "r", "lora_alpha", "fan_in_fan_out", "bias")]
    assert said == ["LORA", "CAUSAL_LM", 2, 2, True, "none"]
    found = safetensors.read(tmp_path / peft.WEIGHTS)[0]
    embedding, attn, head = (f"base_model.model.{module}.lora_" for module in modules)
    names = [f"{embedding}embedding_A", f"{embedding}embedding_B"]
    names += [f"{module}{letter}.weight" for module in (attn, head) for letter in "AB"]
    assert sorted(found) == sorted(names)
    for (path, ab), module in zip(low_rank.items(), (embedding + "embedding_", attn, head), strict=True):
        A, B = (found[module + letter + ".weight" * ("embedding" not in module)] for letter in "AB")
        assert len(A) == B.shape[1] == 2
        update = B @ A  # [out, in]; of an embedding as an array has it, transposed
        expected = ab["a"] @ ab["b"]
        np.testing.assert_allclose(update if path == "lm_head" else update.T, expected, rtol=1e-5, atol=1e-6)


def test_an_embedding_that_is_changed_leaves_the_head_as_it_was(tmp_path):
    base, _, _ = weights.load(record.BASE)
    low_rank = tuned("wte", base)
    peft.write(tmp_path, low_rank, record.BASE)
    found = weights.load(tmp_path)[0]
    np.testing.assert_array_equal(found["lm_head"], base["wte"])  # as PEFT leaves it
    expected = base["wte"] + low_rank["wte"]["a"] @ low_rank["wte"]["b"]
    np.testing.assert_allclose(found["wte"], expected, atol=1e-5)


def test_a_released_base_model_has_hugging_faces_name(tmp_path):
    low_rank = {"blocks.0.attn.c_attn.w": dict(a=np.ones((4, 1), np.float32), b=np.ones((1, 12), np.float32))}
    peft.write(tmp_path, low_rank, "355M")
    assert json.loads((tmp_path / peft.CONFIG).read_text())["base_model_name_or_path"] == "gpt2-medium"


def test_fine_tuning_writes_a_folder_for_peft_where_it_can_say_what_was_learned(tmp_path):
    for patterns, written in (("blocks.*.w", True), ("wte", False)):
        params, hparams, _ = weights.load(record.BASE)
        folder = tmp_path / patterns.replace("*", "all")
        tuning.save(folder, params, hparams, None, tuned(patterns, params), record.BASE)
        assert (folder / tuning.PEFT).exists() == written
        assert (folder / tuning.LORA).exists()
    expected, again = (weights.load(tmp_path / "blocks.all.w" / part)[0] for part in ("", tuning.PEFT))
    for path, w in flatten(expected).items():
        np.testing.assert_allclose(flatten(again)[path], w, atol=1e-6)


def test_a_model_that_lies_beside_an_adapter_is_opened_itself(folder):
    for name in (huggingface.CONFIG, huggingface.WEIGHTS):
        shutil.copy(record.BASE / name, folder)
    expected = flatten(weights.load(record.BASE)[0])
    assert all(np.array_equal(w, expected[path]) for path, w in flatten(weights.load(folder)[0]).items())


def test_the_record_is_what_peft_says_today():
    pytest.importorskip("peft")
    for case in record.CASES:
        logits = record.logits_of(record.RECORD / case)
        np.testing.assert_allclose(logits, np.load(record.RECORD / case / "logits.npy"), atol=1e-5)
