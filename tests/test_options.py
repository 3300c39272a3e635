"""Descendants of GPT-2: without biases, with an output head of their own, with the exact gelu."""

import itertools

import numpy as np
import pytest
from compare import relative_error

from picogpt import optim, weights
from picogpt.generate import generate
from picogpt.gpt2 import KVCache, gpt2, init_params
from picogpt.grad import loss_and_grads
from picogpt.shapes import OPTIONS, n_params, param_shapes
from picogpt.tree import flatten, tree_map, walk

TINY = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)
KINDS = [
    {key: value for key, value in (("bias", bias), ("tied", tied), ("gelu", gelu)) if OPTIONS[key] != value}
    for bias, tied, gelu in itertools.product((True, False), (True, False), ("tanh", "erf"))
][1:]


def model(kind, dtype=np.float64):
    """Return random parameters of a kind, and a batch of ids and targets."""
    rng = np.random.default_rng(0)
    params = tree_map(
        lambda shape: (0.5 * rng.standard_normal(shape)).astype(dtype), param_shapes(**TINY, **kind)
    )
    ids, targets = rng.integers(0, 17, (2, 2, 7))
    targets[0, :2] = -1
    return params, ids, targets


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_tree_has_what_the_kind_says(kind):
    usual, shapes = flatten(param_shapes(**TINY)), flatten(param_shapes(**TINY, **kind))
    biases = {path for path in usual if path.endswith(".b")}
    assert usual.keys() - shapes.keys() == (biases if "bias" in kind else set())
    more = {"lm_head"} if "tied" in kind else set()
    more |= {f"blocks.{i}.mlp.erf" for i in range(2)} if "gelu" in kind else set()
    assert shapes.keys() - usual.keys() == more
    assert n_params(TINY | kind) == sum(w.size for _, w in walk(model(kind)[0]))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_of_every_leaf_are_the_derivatives(kind):
    params, ids, targets = model(kind)
    rng = np.random.default_rng(1)
    _, grads = loss_and_grads(params, ids, targets, 3)
    assert list(flatten(grads)) == list(flatten(params))
    for path, w in walk(params):
        step = 1e-4 * rng.standard_normal(w.shape)
        before, losses = w.copy(), []
        for sign in (1, -1):
            w += sign * step
            losses.append(loss_and_grads(params, ids, targets, 3)[0])
            w[...] = before
        assert losses[0] - losses[1] == pytest.approx(2 * (flatten(grads)[path] * step).sum(), rel=1e-5), path


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_logits_loss_and_gradients_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    from record import gpt, pytorch

    params, ids, targets = model(kind)
    theirs = gpt.gpt(**TINY, **kind).double()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            path = pytorch.gpt2_path(name).replace("lm_head.w", "lm_head")
            w = flatten(params)[path]
            parameter.copy_(torch.from_numpy(w.T.copy() if path.endswith(".w") else w))
    logits = theirs(torch.from_numpy(ids))
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=-1
    )
    loss.backward()
    bound = 1e-6 if "gelu" in kind else 1e-12
    assert np.abs(gpt2(ids, params, 3) - logits.detach().numpy()).max() < 20 * bound
    our_loss, grads = loss_and_grads(params, ids, targets, 3)
    assert our_loss == pytest.approx(loss.item(), abs=bound)
    for name, parameter in theirs.named_parameters():
        path = pytorch.gpt2_path(name).replace("lm_head.w", "lm_head")
        grad = parameter.grad.numpy()
        assert relative_error(flatten(grads)[path], grad.T if path.endswith(".w") else grad) < 2 * bound, path


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_cache_and_float32_work_as_in_gpt_2(kind):
    params, ids, targets = model(kind, np.float32)
    cache = KVCache(params, 3, 2)
    pieces = [gpt2(ids[:, i : i + 1], params, 3, cache) for i in range(7)]
    whole = gpt2(ids, params, 3)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-4)
    assert generate(params, 3, ids.tolist(), 3) == generate(params, 3, ids.tolist(), 3, use_cache=False)
    grads = loss_and_grads(params, ids, targets, 3)[1]
    assert all(dw.dtype == np.float32 for _, dw in walk(grads))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_trains_and_what_is_saved_is_loaded(kind, tmp_path):
    params = init_params(TINY | kind, np.random.default_rng(0))
    _, ids, targets = model(kind)
    moments, losses = optim.adamw_init(params), []
    for step in range(1, 6):
        loss, grads = loss_and_grads(params, ids, targets, 3)
        losses.append(loss)
        optim.clip(grads, 1.0)
        optim.adamw_step(params, grads, moments, step, 0.01)
    assert losses[-1] < losses[0]
    weights.save(tmp_path, params, TINY | kind)
    loaded, hparams, _ = weights.load(tmp_path)
    assert hparams == TINY | kind
    for path, w in walk(params):
        np.testing.assert_array_equal(flatten(loaded)[path], w, err_msg=path)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"bias": "no"}, "bias is 'no', but must be true, false"),
        ({"tied": None}, "tied is None, but must be true, false"),
        ({"gelu": "relu"}, 'gelu is \'relu\', but must be "tanh", "erf"'),
        ({"bias": []}, "bias is .., but must be true, false"),
    ],
)
def test_an_option_that_is_none_is_reported(option, says, tmp_path):
    weights.save(tmp_path, init_params(TINY, np.random.default_rng(0)), TINY)
    (tmp_path / "hparams.json").write_text(weights.json.dumps(TINY | option))
    with pytest.raises(ValueError, match=rf"hparams.json cannot be used: {says}"):
        weights.load(tmp_path)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"bias": False}, r"has blocks.0.attn.c_attn.b \(and 12 more tensors\) that a GPT-2"),
        ({"tied": False}, "lacks lm_head"),
        ({"gelu": "erf"}, r"lacks blocks.0.mlp.erf \(and 1 more tensors\)"),
    ],
)
def test_an_option_that_the_weights_disagree_with_is_reported(option, says, tmp_path):
    weights.save(tmp_path, init_params(TINY, np.random.default_rng(0)), TINY)
    (tmp_path / "hparams.json").write_text(weights.json.dumps(TINY | option))
    with pytest.raises(ValueError, match=says):
        weights.load(tmp_path)
