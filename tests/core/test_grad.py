"""Every gradient against finite differences, PyTorch's autograd and JAX's.

For a random direction v, what the gradient says of a small step along v must be what happens:
sum(dx * v) = (L(x + h v) - L(x - h v)) / 2h. In float64 the two agree to nine digits or so.
"""

import numpy as np
import pytest
from compare import NoFloat64, gradient_error, relative_error

from picogpt import grad, ops
from picogpt.gpt2 import feed_forward, gpt2, self_attention, transformer_block
from picogpt.grad import loss_and_grads
from picogpt.params.tree import flatten, nest, tree_map, walk

B, T, S, C, H, D, V = 2, 7, 9, 12, 3, 4, 17


def assert_gradient(loss, x, dx):
    """Assert that `dx` is the gradient of `loss(x)`, by finite differences along five random directions."""
    assert dx.shape == x.shape
    assert gradient_error(loss, x, dx) < 1e-6


def assert_gradients(f, took, grads, dy):
    """Assert that `grads` {name: array} are those of sum(dy * f(**took)) by each of these arguments."""
    for name, dx in grads.items():
        assert_gradient(lambda x, name=name: np.sum(dy * f(**took | {name: x})), took[name], dx)


def assert_tree_gradients(loss, tree, grads):
    """Assert that `grads` are those of `loss(tree)` by every leaf of `tree`."""
    for path, dx in walk(grads):
        leaves = flatten(tree)
        assert_gradient(lambda x, path=path, leaves=leaves: loss(nest(leaves | {path: x})), leaves[path], dx)


def draws(seed=0):
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.standard_normal(shape)


def drawer(p_drop):
    """Return a `draw` for dropout that starts from the same seed each time."""
    rng = np.random.default_rng(1)
    return lambda place, shape: ops.dropout_mask(shape, float, p_drop, rng)


def layer_params(draw, n_in, n_out):
    return dict(w=draw(n_in, n_out), b=draw(n_out))


def call_backward(name, record, dtype=np.float64):
    """Call an operation's backward with what PyTorch had; return {name: gradient}, ours and PyTorch's."""
    r = {key: x if x.dtype == int else x.astype(dtype) for key, x in record.items()}
    if name == "gelu":
        ours = dict(dx=grad.gelu_backward(r["dy"], r["x"]))
    elif name == "softmax":
        ours = dict(dx=grad.softmax_backward(r["dy"], r["y"]))
    elif name == "layer_norm":
        dx, grads = grad.layer_norm_backward(r["dy"], r["x"], r["g"], r["b"])
        ours = dict(dx=dx, dg=grads["g"], db=grads["b"])
    elif name == "linear":
        dx, grads = grad.linear_backward(r["dy"], r["x"], r["w"], r["b"])
        ours = dict(dx=dx, dw=grads["w"], db=grads["b"])
    elif name == "cross_entropy":
        ours = dict(dlogits=grad.cross_entropy_backward(r["dy"], r["logits"], r["targets"]))
    else:
        mask = ops.causal_mask(r["q"].shape[-2], r["k"].shape[-2], dtype)
        qkv = grad.attention_backward(r["dy"], r["q"], r["k"], r["v"], mask)
        ours = dict(zip(("dq", "dk", "dv"), qkv, strict=True))
    return ours, {key: record[key] for key in ours}


OPERATIONS = ["gelu", "softmax", "layer_norm", "linear", "attention", "attention_with_past", "cross_entropy"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operations_gradients_are_pytorchs(name, pytorch_says):
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        ours, theirs = call_backward(name, pytorch_says["operations"][name], dtype)
        for key, dx in ours.items():
            assert dx.dtype == dtype
            assert dx.shape == theirs[key].shape
            assert relative_error(dx, theirs[key]) < tolerance, key


def test_gelu_backward_is_the_derivative():
    draw = draws()
    x, dy = 3 * draw(B, T, C), draw(B, T, C)
    assert_gradients(ops.gelu, dict(x=x), dict(x=grad.gelu_backward(dy, x)), dy)


def test_softmax_backward_is_the_derivative():
    draw = draws()
    x, dy = draw(B, T, C), draw(B, T, C)
    assert_gradients(ops.softmax, dict(x=x), dict(x=grad.softmax_backward(dy, ops.softmax(x))), dy)


def test_layer_norm_backward_is_the_derivative():
    draw = draws()
    took = dict(x=draw(B, T, C) * 3 + 1, g=draw(C), b=draw(C))
    dy = draw(B, T, C)
    dx, grads = grad.layer_norm_backward(dy, **took)
    assert_gradients(ops.layer_norm, took, dict(x=dx, **grads), dy)


def test_linear_backward_is_the_derivative():
    draw = draws()
    took = dict(x=draw(B, T, C), w=draw(C, V), b=draw(V))
    dy = draw(B, T, V)
    dx, grads = grad.linear_backward(dy, **took)
    assert_gradients(ops.linear, took, dict(x=dx, **grads), dy)
    del took["b"]
    dx, grads = grad.linear_backward(dy, **took)
    assert set(grads) == {"w"}
    assert_gradients(ops.linear, took, dict(x=dx, **grads), dy)


def test_dropout_backward_is_the_derivative():
    draw = draws()
    x, dy = draw(B, T, C), draw(B, T, C)
    for keep in (None, ops.dropout_mask(x.shape, float, 0.3, np.random.default_rng(0))):
        assert_gradients(ops.dropout, dict(x=x, keep=keep), dict(x=grad.dropout_backward(dy, keep)), dy)


@pytest.mark.parametrize("with_keep", [False, True])
@pytest.mark.parametrize("pad", [None, np.array([0, 2])], ids=["no padding", "padding"])
def test_attention_backward_is_the_derivative(with_keep, pad):
    draw = draws()
    took = dict(q=draw(B, H, T, D), k=draw(B, H, S, D), v=draw(B, H, S, D))
    took["mask"] = ops.causal_mask(T, S, float, pad)
    took["keep"] = ops.dropout_mask((B, H, T, S), float, 0.3, np.random.default_rng(0)) if with_keep else None
    dy = draw(B, H, T, D)
    grads = dict(zip("qkv", grad.attention_backward(dy, **took), strict=True))
    assert_gradients(ops.attention, took, grads, dy)


def test_attention_backward_without_a_mask_is_the_derivative():
    draw = draws()
    took = dict(q=draw(B, H, T, D), k=draw(B, H, S, D), v=draw(B, H, S, D))
    dy = draw(B, H, T, D)
    grads = dict(zip("qkv", grad.attention_backward(dy, **took), strict=True))
    assert_gradients(ops.attention, took, grads, dy)


def test_cross_entropy_backward_is_the_derivative():
    logits = 3 * draws()(B, T, V)
    targets = np.random.default_rng(0).integers(0, V, (B, T))
    targets[0, 2] = targets[1, 0] = targets[1, 6] = -1
    for dloss in (1.0, 2.5):
        dlogits = grad.cross_entropy_backward(dloss, logits, targets)
        assert_gradients(ops.cross_entropy, dict(logits=logits, targets=targets), dict(logits=dlogits), dloss)
        assert (dlogits[targets == -1] == 0).all()
        np.testing.assert_allclose(dlogits.sum(axis=-1), 0, atol=1e-15)


def test_embedding_backward_is_the_derivative_and_adds_to_what_is_there():
    draw = draws()
    ids = np.array([[3, 3, 16, 0], [3, 5, 0, 3]])
    w, dy, before = draw(V, C), draw(2, 4, C), draw(V, C)
    dw = before.copy()
    grad.embedding_backward(dy, ids, dw)
    assert_gradients(lambda w: w[ids], dict(w=w), dict(w=dw - before), dy)
    assert (dw[1] == before[1]).all()


@pytest.mark.parametrize("p_drop", [0.0, 0.3])
def test_self_attention_backward_is_the_derivative(p_drop):
    draw = draws()
    x, dy = draw(B, T, C), draw(B, T, C)
    params = dict(c_attn=layer_params(draw, C, 3 * C), c_proj=layer_params(draw, C, C))
    mask = ops.causal_mask(T, T, float)

    def loss(x, params):
        return np.sum(dy * self_attention(x, **params, n_head=H, mask=mask, draw=drawer(p_drop)))

    act = dict(ln_1=x)
    self_attention(x, **params, n_head=H, mask=mask, draw=drawer(p_drop), act=act)
    dx, grads = grad.self_attention_backward(dy, act, **params, n_head=H, mask=mask)
    assert_gradient(lambda x: loss(x, params), x, dx)
    assert_tree_gradients(lambda params: loss(x, params), params, grads)
    assert list(flatten(grads)) == list(flatten(params))


def test_feed_forward_backward_is_the_derivative():
    draw = draws()
    x, dy = draw(B, T, C), draw(B, T, C)
    params = dict(c_fc=layer_params(draw, C, 4 * C), c_proj=layer_params(draw, 4 * C, C))
    act = dict(ln_2=x)
    feed_forward(x, **params, act=act)
    dx, grads = grad.feed_forward_backward(dy, act, **params)
    assert_gradient(lambda x: np.sum(dy * feed_forward(x, **params)), x, dx)
    assert_tree_gradients(lambda params: np.sum(dy * feed_forward(x, **params)), params, grads)
    assert list(flatten(grads)) == list(flatten(params))


@pytest.mark.parametrize("p_drop", [0.0, 0.3])
def test_transformer_block_backward_is_the_derivative(p_drop, tiny):
    draw = draws()
    x, dy = draw(B, T, C), draw(B, T, C)
    params = tiny.params["blocks"][1]
    mask = ops.causal_mask(T, T, float)

    def loss(x, params):
        return np.sum(dy * transformer_block(x, **params, n_head=H, mask=mask, draw=drawer(p_drop)))

    act = {}
    transformer_block(x, **params, n_head=H, mask=mask, draw=drawer(p_drop), act=act)
    dx, grads = grad.transformer_block_backward(dy, act, **params, n_head=H, mask=mask)
    assert_gradient(lambda x: loss(x, params), x, dx)
    assert_tree_gradients(lambda params: loss(x, params), params, grads)
    assert list(flatten(grads)) == list(flatten(params))


@pytest.mark.parametrize("p_drop", [0.0, 0.3])
def test_gradients_of_every_leaf_of_the_model_are_the_derivatives(p_drop, tiny):
    def run(params):
        rng = np.random.default_rng(1)
        return loss_and_grads(params, tiny.ids, tiny.targets, tiny.n_head, p_drop, rng)

    _, grads = run(tiny.params)
    assert_tree_gradients(lambda params: run(params)[0], tiny.params, grads)


def test_gradients_of_a_batch_of_one_token_are_the_derivatives(tiny):
    def run(params):
        return loss_and_grads(params, [[5]], [[3]], tiny.n_head)

    _, grads = run(tiny.params)
    nonzero = {path: dx for path, dx in walk(grads) if dx.any()}
    assert len(nonzero) > 20  # one key alone takes all attention: c_attn's query and key have no gradient
    assert_tree_gradients(lambda params: run(params)[0], tiny.params, nonzero)


def test_gradients_of_the_model_are_pytorchs(tiny, pytorch_says):
    loss, grads = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    assert abs(loss - pytorch_says["tiny"]["loss"]) < 1e-12
    for path, theirs in walk(pytorch_says["tiny"]["grads"]):
        assert relative_error(flatten(grads)[path], theirs) < 1e-9, path


def test_gradients_of_the_model_in_float32_are_pytorchs(tiny32, pytorch_says):
    loss, grads = loss_and_grads(tiny32.params, tiny32.ids, tiny32.targets, tiny32.n_head)
    assert abs(loss - pytorch_says["tiny"]["loss"]) < 1e-6
    for path, theirs in walk(pytorch_says["tiny"]["grads"]):
        assert relative_error(flatten(grads)[path], theirs) < 1e-5, path


def test_gradients_of_the_model_are_those_of_jax(tiny, jax_says):
    loss, grads = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    assert abs(loss - jax_says["loss"]) < 1e-12
    assert list(flatten(jax_says["grads"])) == list(flatten(grads))
    for path, theirs in walk(jax_says["grads"]):
        assert relative_error(flatten(grads)[path], theirs) < 1e-9, path


@pytest.mark.parametrize("p_drop", [0.0, 0.3])
def test_gradients_are_a_tree_like_the_parameters_and_float32(p_drop, tiny32):
    loss, grads = loss_and_grads(
        tiny32.params, tiny32.ids, tiny32.targets, 3, p_drop, np.random.default_rng(0)
    )
    assert loss.dtype == np.float32
    ours, theirs = ([(path, w.shape, w.dtype) for path, w in walk(tree)] for tree in (grads, tiny32.params))
    assert ours == theirs
    assert all(w.flags.c_contiguous for _, w in walk(grads))


@pytest.mark.parametrize("p_drop", [0.0, 0.3])
def test_no_operation_of_the_way_back_works_in_float64(p_drop, tiny32):
    params = tree_map(lambda w: w.view(NoFloat64), tiny32.params)
    _, grads = loss_and_grads(params, tiny32.ids, tiny32.targets, 3, p_drop, np.random.default_rng(0))
    assert isinstance(grads["blocks"][0]["ln_1"]["g"], NoFloat64)  # the last one: watched all the way


def test_gradients_leave_the_parameters_alone_and_use_the_activations_up(tiny):
    for w in flatten(tiny.params).values():
        w.flags.writeable = False
    loss_and_grads(tiny.params, tiny.ids, tiny.targets, 3, p_drop=0.3, rng=np.random.default_rng(0))
    acts = []
    dlogits = gpt2(tiny.ids, tiny.params, 3, acts=acts)
    grad.gpt2_backward(dlogits, tiny.ids, tiny.params, 3, acts)
    assert acts == []


def test_the_gradient_of_wte_is_the_sum_of_its_two_uses(tiny):
    def untied_loss(embedding, head):
        acts = []
        gpt2(tiny.ids, tiny.params | dict(wte=embedding), tiny.n_head, acts=acts)
        return ops.cross_entropy(ops.linear(acts[-1]["ln_f"], head.T), tiny.targets)

    wte = tiny.params["wte"]
    _, grads = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    h, rng = 1e-5, np.random.default_rng(0)
    for _ in range(5):
        v = rng.standard_normal(wte.shape)
        as_embedding = (untied_loss(wte + h * v, wte) - untied_loss(wte - h * v, wte)) / (2 * h)
        as_head = (untied_loss(wte, wte + h * v) - untied_loss(wte, wte - h * v)) / (2 * h)
        assert min(abs(as_embedding), abs(as_head)) > 1e-3
        np.testing.assert_allclose(np.sum(grads["wte"] * v), as_embedding + as_head, rtol=1e-6)


def test_positions_that_no_token_had_have_no_gradient(tiny):
    _, grads = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    assert (grads["wpe"][:7] != 0).all()
    assert (grads["wpe"][7:] == 0).all()


def test_inputs_of_ignored_targets_still_matter_to_later_tokens(tiny):
    targets = np.full((2, 7), -1)
    targets[:, 6] = [3, 9]  # only the last token is scored; it saw all the others
    _, grads = loss_and_grads(tiny.params, tiny.ids, targets, tiny.n_head)
    assert (grads["wpe"][:7] != 0).all()
    assert_tree_gradients(
        lambda params: loss_and_grads(params, tiny.ids, targets, tiny.n_head)[0], tiny.params, grads
    )


def test_loss_is_the_cross_entropy_of_the_logits(tiny):
    loss, _ = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    assert loss == ops.cross_entropy(gpt2(tiny.ids, tiny.params, tiny.n_head), tiny.targets)


def test_gradients_with_dropout_are_reproducible(tiny):
    first, again, other = (
        loss_and_grads(tiny.params, tiny.ids, tiny.targets, 3, 0.3, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert first[0] == again[0] != other[0]
    for path, dx in walk(first[1]):
        assert np.array_equal(dx, flatten(again[1])[path]), path


def test_dropout_of_zero_is_no_dropout(tiny):
    plain = loss_and_grads(tiny.params, tiny.ids, tiny.targets, 3)
    zero = loss_and_grads(tiny.params, tiny.ids, tiny.targets, 3, 0.0, np.random.default_rng(1))
    assert plain[0] == zero[0]
    assert all(np.array_equal(dx, flatten(zero[1])[path]) for path, dx in walk(plain[1]))


@pytest.mark.parametrize(
    ("targets", "numbers"),
    [
        ([[1, 2, 17]], "17"),
        ([[1, 2, -2]], "17"),
        ([[-1, -1, -1]], "-1"),
        ([[1, 2]], r"\[1, 2\].*\[1, 3\]"),
        ([1, 2, 3], r"\[3\].*\[1, 3\]"),
    ],
)
def test_targets_that_cannot_be_learned_are_an_error_that_says_why(targets, numbers, tiny):
    with pytest.raises(ValueError, match=f"targets.*{numbers}"):
        loss_and_grads(tiny.params, [[1, 2, 3]], targets, tiny.n_head)


def test_ids_that_the_model_cannot_read_are_an_error(tiny):
    with pytest.raises(ValueError, match="token id 17"):
        loss_and_grads(tiny.params, [[1, 17]], [[1, 2]], tiny.n_head)


def test_targets_that_are_not_whole_numbers_are_an_error(tiny):
    with pytest.raises(ValueError, match="targets must be integers"):
        loss_and_grads(tiny.params, [[1, 2]], [[0.5, 1.0]], 3)


def test_an_empty_batch_is_an_error(tiny):
    with pytest.raises(ValueError, match="must be"):
        loss_and_grads(tiny.params, np.zeros((0, 3), int), np.zeros((0, 3), int), 3)
