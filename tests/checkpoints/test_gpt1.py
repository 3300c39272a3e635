"""GPT-1 in Hugging Face's folder: it opens, computes what OpenAIGPTLMHeadModel does, and is written again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import config_keys, huggingface, weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params
from picogpt.params.options import OPTIONS

FOLDER = Path(__file__).parents[1] / "references" / "hf_gpt1"
IDS = [[3, 1, 4, 1, 5, 9, 2], [6, 16, 0, 7, 15, 10, 8]]
HPARAMS = dict(n_vocab=300, n_ctx=11, n_embd=12, n_head=3, n_layer=2, norm="post")


def test_its_logits_are_those_that_hugging_face_gave():
    params, hparams, encoder = weights.load(FOLDER)
    assert hparams == HPARAMS
    assert "ln_2" not in params["blocks"][1]
    found = gpt2(np.array(IDS), params, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.load(FOLDER / "logits.npy"), rtol=0, atol=2e-5)
    assert encoder.encode("The rest")[0] == 79


def test_its_greedy_text_and_logits_are_hugging_faces():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.OpenAIGPTLMHeadModel.from_pretrained(FOLDER).eval()
    params, _, _ = weights.load(FOLDER)
    with torch.no_grad():
        logits = theirs(torch.tensor(IDS)).logits.numpy()
        text = theirs.generate(torch.tensor(IDS[:1]), max_new_tokens=4, do_sample=False, pad_token_id=0)
    np.testing.assert_allclose(gpt2(np.array(IDS), params, 3), logits, rtol=0, atol=2e-5)
    assert generate(params, 3, IDS[:1], 4) == [text[0, 7:].tolist()]


def test_names_without_the_outermost_module_are_the_same(tmp_path):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    tensors = huggingface.safetensors.read(FOLDER / "model.safetensors")[0]
    bare = {
        name.removeprefix("transformer."): array
        for name, array in tensors.items()
        if name != "lm_head.weight"
    }
    huggingface.safetensors.write(tmp_path / "model.safetensors", bare, {"format": "pt"})
    ours, again = weights.load(FOLDER)[0], weights.load(tmp_path)[0]
    assert np.array_equal(gpt2(IDS, ours, 3), gpt2(IDS, again, 3))


def test_what_is_written_has_hugging_faces_names(tmp_path):
    huggingface.write(tmp_path, init_params(HPARAMS, np.random.default_rng(0)), HPARAMS)
    names, shapes = ["tokens_embed", "positions_embed"], {}
    for n in range(2):
        for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
            names += [f"h.{n}.{part}.{kind}" for kind in ("weight", "bias")]
    for name, array in huggingface.safetensors.read(tmp_path / "model.safetensors")[0].items():
        shapes[name.removeprefix("transformer.")] = array.shape
        assert name.startswith("transformer.")
    assert shapes.keys() == {name + ".weight" * name.endswith("embed") for name in names}
    assert (shapes["tokens_embed.weight"], shapes["positions_embed.weight"]) == ((300, 12), (11, 12))
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["model_type"], config["afn"]) == ("openai-gpt", "gelu")


USUAL = dict(n_vocab=40478, n_ctx=512, n_embd=768, n_head=12, n_layer=12, norm="post")  # OpenAIGPTConfig's


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        ({}, {}),
        ({"afn": "gelu"}, {}),
        ({"afn": "relu"}, dict(activation="relu")),
        ({"afn": "silu"}, dict(activation="silu")),
        ({"afn": "swish"}, dict(activation="silu")),
        ({"n_positions": 1024, "vocab_size": 99}, dict(n_ctx=1024, n_vocab=99)),
    ],
)
def test_what_a_configuration_does_not_say_is_as_in_gpt_1(config, differs):
    found = config_keys.hparams_of({"model_type": "openai-gpt"} | config)
    found = {key: value for key, value in found.items() if OPTIONS.get(key) != value}
    assert found == USUAL | differs


@pytest.mark.parametrize("options", [{}, dict(activation="relu"), dict(tied=False)], ids=str)
def test_what_is_written_for_hugging_face_is_read_again_by_both(options, tmp_path):
    hparams = HPARAMS | options
    params = init_params(hparams, np.random.default_rng(0))
    huggingface.write(tmp_path, params, hparams)
    again, found, _ = weights.load(tmp_path)
    assert found == hparams
    logits = gpt2(IDS, params, 3)
    np.testing.assert_array_equal(gpt2(IDS, again, 3), logits)
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()(torch.tensor(IDS)).logits
    np.testing.assert_allclose(logits, theirs.numpy(), rtol=0, atol=2e-5)


@pytest.mark.parametrize("options", [dict(gelu="erf"), dict(n_inner=7), dict(scale_by_layer=True)], ids=str)
def test_what_their_gpt_1_cannot_be_is_not_written(options, tmp_path):
    hparams = HPARAMS | options
    with pytest.raises(ValueError, match="cannot be written for Hugging Face: use --to picogpt"):
        huggingface.write(tmp_path, init_params(hparams, np.random.default_rng(0)), hparams)


def test_an_activation_that_it_does_not_know_is_reported(tmp_path):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | dict(afn="gelu_new")))
    with pytest.raises(
        ValueError, match="afn is 'gelu_new', but openai-gpt knows only gelu, relu, silu, swish"
    ):
        weights.load(tmp_path)
