"""Adapters: inserted, they hardly change what the model computes, and it still does all that it did."""

from pathlib import Path

import numpy as np
import pytest
from compare import NoFloat64, relative_error
from processes import run_python

from picogpt.checkpoints import weights
from picogpt.finetune import adapters
from picogpt.generate import generate
from picogpt.gpt2 import KVCache, gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.shapes import n_params
from picogpt.params.tree import flatten, tree_map, walk

TINY = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)
N = 5  # channels
REPOSITORY = Path(__file__).parents[2]


def adapted(tiny, std=0.4):
    """Return the tiny model with adapters that do something, biases too."""
    rng = np.random.default_rng(0)
    params, hparams = adapters.insert(tiny.params, TINY, N, rng)
    for path, w in walk(params):
        if ".adapter." in path:
            w[...] = std * rng.standard_normal(w.shape)
    return params, hparams


def test_at_first_the_model_is_nearly_what_it_was(tiny):
    params, hparams = adapters.insert(tiny.params, TINY, N, np.random.default_rng(0))
    before, after = gpt2(tiny.ids, tiny.params, 3), gpt2(tiny.ids, params, 3)
    assert 0 < np.abs(after - before).max() < 0.01 * before.std()
    assert hparams == TINY | dict(adapter=N)


def test_their_matrices_are_drawn_small_and_their_biases_are_0(tiny):
    flat = flatten(adapters.insert(tiny.params, TINY, 200, np.random.default_rng(0))[0])
    new = {path: w for path, w in flat.items() if ".adapter." in path}
    for path, w in new.items():
        assert w.std() == (0 if path.endswith(".b") else pytest.approx(0.01, rel=0.06)), path
        assert abs(w.mean()) < 0.001, path


def test_two_stand_in_each_block_and_all_else_is_shared(tiny):
    params, hparams = adapters.insert(tiny.params, TINY, N, np.random.default_rng(0))
    before, after = flatten(tiny.params), flatten(params)
    assert all(after[path] is before[path] for path in before)
    new = {path: w.shape for path, w in after.items() if path not in before}
    layer = {"c_fc.w": (12, N), "c_fc.b": (N,), "c_proj.w": (N, 12), "c_proj.b": (12,)}
    assert new == {
        f"blocks.{i}.{part}.adapter.{name}": shape
        for i in range(2) for part in ("attn", "mlp") for name, shape in layer.items()
    }  # fmt: skip
    assert n_params(hparams) == sum(w.size for w in after.values())


def test_gradients_of_every_leaf_are_the_derivatives(tiny):
    params, _ = adapted(tiny)
    rng = np.random.default_rng(1)
    _, grads = loss_and_grads(params, tiny.ids, tiny.targets, 3)
    assert list(flatten(grads)) == list(flatten(params))
    for path, w in walk(params):
        step = 1e-5 * rng.standard_normal(w.shape)
        before, losses = w.copy(), []
        for sign in (1, -1):
            w += sign * step
            losses.append(loss_and_grads(params, tiny.ids, tiny.targets, 3)[0])
            w[...] = before
        assert losses[0] - losses[1] == pytest.approx(2 * (flatten(grads)[path] * step).sum(), rel=1e-5), path


def test_logits_and_gradients_are_pytorchs(tiny):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from record import pytorch

    params, _ = adapted(tiny)
    flat = flatten(params)
    model = pytorch.hugging_face({path: w.copy() for path, w in walk(tiny.params)}, **pytorch.TINY)
    leaves = {
        path: torch.from_numpy(w.copy()).requires_grad_() for path, w in flat.items() if ".adapter." in path
    }
    for name, module in model.named_modules():
        if name.endswith("c_proj"):
            at = pytorch.gpt2_path(name).replace("c_proj", "adapter.")
            c_fc, c_proj = ([leaves[f"{at}{layer}.{part}"] for part in "wb"] for layer in ("c_fc", "c_proj"))

            def bottleneck(_, x, y, c_fc=c_fc, c_proj=c_proj):
                inside = torch.nn.functional.gelu(y @ c_fc[0] + c_fc[1], approximate="tanh")
                return y + inside @ c_proj[0] + c_proj[1]

            module.register_forward_hook(bottleneck)
    loss, theirs = pytorch.loss_and_gradients(model, tiny.ids, tiny.targets)
    ours, grads = loss_and_grads(params, tiny.ids, tiny.targets, 3)
    assert ours == pytest.approx(loss, rel=1e-12)
    theirs |= {path: leaf.grad.numpy() for path, leaf in leaves.items()}
    assert theirs.keys() == flat.keys()
    for path, dx in walk(grads):
        assert relative_error(dx, theirs[path]) < 1e-10, path


def test_cache_and_ragged_batches_change_nothing(tiny):
    params, _ = adapted(tiny)
    whole, cache = gpt2(tiny.ids, params, 3), KVCache(params, 3, batch=2)
    pieces = [gpt2(tiny.ids[:, i : i + 1], params, 3, cache) for i in range(7)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-12)
    prompts = [[1, 2, 3, 4], [5], [6, 7]]
    alone = [generate(params, 3, [prompt], 5)[0] for prompt in prompts]
    assert generate(params, 3, prompts, 5) == alone == generate(params, 3, prompts, 5, use_cache=False)


def test_float32_stays_float32(tiny32):
    params = tree_map(lambda w: w.view(NoFloat64), adapted(tiny32)[0])
    _, grads = loss_and_grads(params, tiny32.ids, tiny32.targets, 3)
    assert {dx.dtype for _, dx in walk(grads)} == {np.dtype(np.float32)}


def test_a_model_with_adapters_is_saved_and_loaded(tiny32, tmp_path):
    params, hparams = adapted(tiny32)
    weights.save(tmp_path, params, hparams)
    again, found, _ = weights.load(tmp_path)
    assert found == hparams
    assert np.array_equal(gpt2(tiny32.ids, again, 3), gpt2(tiny32.ids, params, 3))


def test_adapters_beside_adapters_are_an_error(tiny):
    params, hparams = adapted(tiny)
    with pytest.raises(ValueError, match="has adapters already"):
        adapters.insert(params, hparams, N, np.random.default_rng(0))


@pytest.mark.parametrize("n", [-1, 1.5, True, "8"])
def test_a_number_of_channels_that_is_none_is_an_error(n, tiny32, tmp_path):
    with pytest.raises(ValueError, match="adapter is"):
        weights.save(tmp_path, tiny32.params, TINY | dict(adapter=n))


@pytest.mark.parametrize("to", ["hf", "tf", "llmc"])
def test_formats_that_know_no_adapters_are_not_written(to, tiny32, tmp_path):
    params, hparams = adapted(tiny32)
    weights.save(tmp_path / "model", params, hparams)
    tool = REPOSITORY / "tools" / "convert.py"
    done = run_python(tool, "model", "--to", to, "--out", "new", folder=tmp_path)
    assert done.code == 1
    assert f"has adapter 5, which --to {to} cannot say" in done.err
    assert not (tmp_path / "new").exists()
