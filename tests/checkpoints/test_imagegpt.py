"""Image GPT in Hugging Face's folder: it opens, and computes what ImageGPTForCausalImageModeling does."""

import numpy as np
import pytest

from picogpt.checkpoints import config_keys, huggingface, weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.options import OPTIONS

torch = pytest.importorskip("torch")
image_gpt = pytest.importorskip("transformers.models.imagegpt.modeling_imagegpt")
START = 17  # after as many colours
HPARAMS = dict(n_vocab=18, n_ctx=11, n_embd=12, n_head=3, n_layer=2, tied=False, gelu="quick", rms=True)
IDS = np.random.default_rng(0).integers(0, START, (2, 9))
IDS[:, 0] = START


@pytest.fixture
def model():
    config = image_gpt.ImageGPTConfig(vocab_size=18, n_positions=11, n_embd=12, n_head=3, n_layer=2)
    found = image_gpt.ImageGPTForCausalImageModeling(config).eval()
    torch.manual_seed(0)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return found


@pytest.mark.parametrize("shard_size", ["1GB", "4KB"])
def test_its_logits_and_greedy_pictures_are_hugging_faces(model, shard_size, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    params, hparams, encoder = weights.load(tmp_path)
    assert (hparams, encoder) == (HPARAMS, None)
    with torch.no_grad():
        logits = model(torch.from_numpy(IDS)).logits.numpy()
        pictures = model.generate(torch.tensor([[START]]), max_new_tokens=10, do_sample=False)
    np.testing.assert_allclose(gpt2(IDS, params, 3)[..., :START], logits, rtol=0, atol=2e-5)
    assert generate(params, 3, [[START]], 10) == pictures[:, 1:].tolist()


def test_what_starts_a_picture_is_never_the_likeliest_and_less_likely_than_one_in_n_vocab(model, tmp_path):
    with torch.no_grad():  # all logits below 0, which would be that of a row of zeros
        model.transformer.ln_f.weight.abs_()
        model.transformer.ln_f.weight[1:] = 0
        model.lm_head.weight[:, 0] = -model.lm_head.weight[:, 0].abs()
    model.save_pretrained(tmp_path)
    params = weights.load(tmp_path)[0]
    logits = gpt2(IDS, params, 3)
    assert (logits[..., :START] < 0).all(axis=-1).any()
    np.testing.assert_allclose(logits[..., START], logits[..., :START].mean(axis=-1), rtol=1e-5)
    assert (logits.argmax(axis=-1) != START).all()
    assert (softmax(logits)[..., START] < 1 / 18).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_may_be_saved_in_half_precision_and_loaded_so(model, dtype, tmp_path):
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    theirs = image_gpt.ImageGPTForCausalImageModeling.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(IDS)).logits.numpy()
    params = weights.load(tmp_path)[0]
    np.testing.assert_allclose(gpt2(IDS, params, 3)[..., :START], logits, rtol=0, atol=2e-5)
    narrow = gpt2(IDS, weights.load(tmp_path, dtype="bfloat16")[0], 3)
    np.testing.assert_allclose(narrow[..., :START], logits, rtol=0, atol=2e-5 if dtype == "bfloat16" else 0.2)


def test_a_configuration_that_says_nothing_is_that_of_imagegptconfig():
    spoken = image_gpt.ImageGPTConfig().to_dict()
    silent = config_keys.hparams_of({"model_type": "imagegpt"})
    assert silent == config_keys.hparams_of(spoken)
    sizes = dict(n_vocab=513, n_ctx=1024, n_embd=512, n_head=8, n_layer=24)
    differing = {key: value for key, value in silent.items() if OPTIONS.get(key) != value}
    assert differing == sizes | dict(tied=False, gelu="quick", rms=True)


def test_options_of_its_configuration_are_computed(model, tmp_path):
    options = dict(scale_attn_by_inverse_layer_idx=True, n_inner=7, activation_function="gelu_new")
    config = image_gpt.ImageGPTConfig(**model.config.to_diff_dict() | options)
    theirs = image_gpt.ImageGPTForCausalImageModeling(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    theirs.save_pretrained(tmp_path)
    with torch.no_grad():
        logits = theirs(torch.from_numpy(IDS)).logits.numpy()
    params = weights.load(tmp_path)[0]
    np.testing.assert_allclose(gpt2(IDS, params, 3)[..., :START], logits, rtol=0, atol=2e-5)


def test_for_a_text_its_tokenizer_is_missing_and_without_a_head_it_is_no_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^\S+ has no tokenizer: put its vocab.bpe or chars.json into the"):
        weights.load_with_encoder(tmp_path)
    model.transformer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^\S+ lacks lm_head, which its hyper-parameters ask for"):
        weights.load(tmp_path)


def test_a_head_with_numbers_that_are_none_is_reported_without_a_warning(model, tmp_path):
    with torch.no_grad():
        model.lm_head.weight[:2, 3] = torch.tensor([torch.inf, -torch.inf])
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has NaN or infinity in lm_head"):
        weights.load(tmp_path)


def test_picogpts_own_folder_of_it_is_the_same_model(model, tmp_path):
    model.save_pretrained(tmp_path / "theirs")
    params, hparams, _ = weights.load(tmp_path / "theirs")
    weights.save(tmp_path / "ours", params, hparams)
    again, found, _ = weights.load(tmp_path / "ours")
    assert found == hparams
    np.testing.assert_array_equal(gpt2(IDS, again, 3), gpt2(IDS, params, 3))


def test_a_head_for_each_token_stays_as_it_is(model):
    hparams = huggingface.adapt({"lm_head": np.ones((18, 12))}, HPARAMS)
    assert hparams[0]["lm_head"].shape == (18, 12)
