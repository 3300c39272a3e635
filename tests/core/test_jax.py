"""JAX differentiates our own forward, with jax.numpy in NumPy's place, and finds the gradients of grad.py."""

import numpy as np
import pytest
from compare import relative_error

from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, walk

pytest.importorskip("jax", reason="JAX is not installed: test_grad.py compares with its recorded gradients")


def test_jax_finds_the_same_gradients(tiny):
    from record import jax_gradients

    theirs, grads = jax_gradients.loss_and_gradients(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    assert_same(loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head), (theirs, grads))


def test_jax_finds_the_same_gradients_in_another_model():
    from record import jax_gradients

    rng = np.random.default_rng(0)
    hparams = dict(n_vocab=65, n_ctx=32, n_embd=40, n_head=5, n_layer=3)
    params = init_params(hparams, rng, np.float64)
    for _, w in walk(params):
        w += 0.1 * rng.standard_normal(w.shape)
    ids, targets = rng.integers(0, 65, (2, 3, 32))
    targets[1, ::3] = -1
    theirs = jax_gradients.loss_and_gradients(params, ids, targets, 5)
    assert_same(loss_and_grads(params, ids, targets, 5), theirs)


@pytest.mark.parametrize(
    "kind",
    [
        dict(gelu="quick", time_weighting="circulant", time_mixing=True, band=3, tied=False),
        dict(time_weighting="full", positions="none", bias=False),
        dict(positions="rotary", norm="post"),
        dict(positions="alibi", activation="silu"),
    ],
    ids=str,
)
def test_jax_finds_the_same_gradients_in_a_descendant(kind):
    from record import jax_gradients

    rng = np.random.default_rng(0)
    params = init_params(dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2) | kind, rng, np.float64)
    for _, w in walk(params):
        w += 0.3 * rng.standard_normal(w.shape)
    ids, targets = rng.integers(0, 17, (2, 2, 7))
    theirs = jax_gradients.loss_and_gradients(params, ids, targets, 3)
    assert_same(loss_and_grads(params, ids, targets, 3), theirs)


def test_the_records_of_jax_are_what_it_says_today(jax_says):
    from record import jax_gradients

    recorded = flatten(jax_says)
    for name, array in jax_gradients.record().items():
        np.testing.assert_allclose(array, recorded[name], rtol=1e-9, atol=1e-12, err_msg=name)


def assert_same(ours, theirs):
    assert abs(ours[0] - theirs[0]) < 1e-12
    for path, dx in walk(theirs[1]):
        assert dx.dtype == np.float64
        assert dx.size == 0 or relative_error(flatten(ours[1])[path], dx) < 1e-8, path
