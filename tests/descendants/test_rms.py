"""RMS norms: image GPT as Hugging Face computes it, and the norm as PyTorch does."""

import numpy as np
import pytest
from record.pytorch import gpt2_path

from picogpt.descendants import rms
from picogpt.gpt2 import gpt2
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import nest

SIZES = dict(n_embd=12, n_head=3, n_layer=2)


def test_a_row_has_a_mean_square_of_1_and_keeps_its_direction():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [-1e-6, 1e-6]])
    found = rms.layer_norm(x, np.array([1.0, 10.0]), np.empty(0))
    root = np.sqrt(12.5 + 1e-5)  # of the mean of 9 and 16
    np.testing.assert_allclose(found[0], [3 / root, 40 / root], rtol=1e-14)
    assert (found[1] == 0).all() and np.abs(found[2]).max() < 0.01  # eps holds back what is almost nothing


def test_norm_and_gradients_are_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy, g = rng.normal(size=(2, 5, 7)), rng.normal(size=(2, 5, 7)), rng.normal(size=7)
    theirs, gain = (torch.tensor(a, requires_grad=True) for a in (x, g))
    y = torch.nn.functional.rms_norm(theirs, (7,), gain, 1e-5)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(rms.layer_norm(x, g, np.empty(0)), y.detach(), rtol=1e-13)
    dx, grads = rms.layer_norm_backward(dy, x, g, np.empty(0))
    np.testing.assert_allclose(dx, theirs.grad, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(grads["g"], gain.grad, rtol=1e-12)


def test_logits_are_hugging_faces_image_gpts():
    torch = pytest.importorskip("torch")
    image_gpt = pytest.importorskip("transformers.models.imagegpt.modeling_imagegpt")
    config = image_gpt.ImageGPTConfig(vocab_size=18, n_positions=11, **SIZES, attn_implementation="eager")
    model = image_gpt.ImageGPTForCausalImageModeling(config).double().eval()
    torch.manual_seed(0)
    arrays = {}
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.5)
        arrays[gpt2_path(name).replace("lm_head.w", "lm_head")] = parameter.detach().numpy()
    # their head has no row for the token that starts a picture, which is never drawn
    arrays["lm_head"] = np.concatenate([arrays["lm_head"], np.zeros((1, 12))])
    shapes = param_shapes(n_vocab=18, n_ctx=11, **SIZES, rms=True, gelu="quick", tied=False)
    arrays |= dict.fromkeys(("blocks.0.mlp.quick", "blocks.1.mlp.quick"), np.empty(0))
    norms = ["blocks.0.ln_1", "blocks.0.ln_2", "blocks.1.ln_1", "blocks.1.ln_2", "ln_f"]
    arrays |= {f"{norm}.rms": np.empty(0) for norm in norms}
    params = nest(arrays)
    assert params.keys() == shapes.keys()
    ids = np.random.default_rng(0).integers(0, 18, (2, 9))
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(gpt2(ids, params, 3)[..., :17], theirs, rtol=0, atol=1e-12)
