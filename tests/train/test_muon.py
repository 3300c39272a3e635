"""Muon: the polynomial by singular values, the step by its formula, and by PyTorch's own."""

import numpy as np
import pytest
from compare import NoFloat64

from picogpt.params.tree import flatten, nest, tree_map, walk
from picogpt.train import muon
from picogpt.train.optim import adamw_init, adamw_step

LAYERS = {"h.0.attn.c_attn.w": (6, 18), "h.0.attn.c_proj.w": (6, 6), "h.0.mlp.c_proj.w": (24, 6)}
OTHERS = {"wte": (11, 6), "h.0.attn.c_attn.b": (18,), "ln_f.g": (6,)}


def random_tree(seed):
    rng = np.random.default_rng(seed)
    return nest({path: rng.standard_normal(shape) for path, shape in (LAYERS | OTHERS).items()})


def by_singular_values(g):
    """Return what five times the polynomial makes of g, computed on its singular values alone."""
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ vt


@pytest.mark.parametrize("shape", [(8, 8), (8, 32), (32, 8), (1, 5)])
def test_a_matrix_keeps_its_directions_and_loses_their_lengths(shape):
    g = np.random.default_rng(0).standard_normal(shape)
    made = muon.orthogonalise(g)
    np.testing.assert_allclose(made, by_singular_values(g), rtol=1e-5, atol=1e-6)  # 1e-7 is added to a length
    lengths = np.linalg.svd(made, compute_uv=False)
    assert lengths.max() < 1.25 and lengths.min() > 0.65
    assert np.isfinite(muon.orthogonalise(np.zeros(shape))).all()


def test_three_steps_are_the_formula_written_out():
    params, moments = random_tree(0), adamw_init(random_tree(0))
    expected, ahead = flatten(tree_map(np.copy, params)), dict.fromkeys(LAYERS, 0.0)
    others, plain = nest({path: expected[path] for path in OTHERS}), adamw_init(params)
    for step in (1, 2, 3):
        grads, lr = random_tree(step), 0.1 / step
        for path in LAYERS:
            g = flatten(grads)[path]
            ahead[path] = 0.95 * ahead[path] + 0.05 * g
            u = 0.95 * ahead[path] + 0.05 * g
            thirds = np.split(u, 3, axis=1) if "c_attn" in path else [u]
            sides = [0.2 * max(third.shape) ** 0.5 * by_singular_values(third) for third in thirds]
            expected[path] = expected[path] - lr * (np.hstack(sides) + 0.3 * expected[path])
        some = nest({path: flatten(grads)[path] for path in OTHERS})
        plain_moments = {of: nest({path: flatten(plain[of])[path] for path in OTHERS}) for of in "mv"}
        adamw_step(others, some, plain_moments, step, lr, weight_decay=0.3)
        muon.muon_step(params, grads, moments, step, lr, weight_decay=0.3)
    for path, w in walk(params):
        np.testing.assert_allclose(w, expected[path], rtol=1e-5, atol=1e-6, err_msg=path)
    assert not any(flatten(moments["v"])[path].any() for path in LAYERS)


def test_it_returns_how_far_all_weights_together_were_moved():
    params, moments = random_tree(0), adamw_init(random_tree(0))
    before = tree_map(np.copy, params)
    ratio = muon.muon_step(params, random_tree(1), moments, 1, 0.01, weight_decay=0.0)
    moved = sum(((w - flatten(before)[path]) ** 2).sum() for path, w in walk(params))
    assert ratio == pytest.approx((moved / sum((w**2).sum() for _, w in walk(params))) ** 0.5, rel=1e-6)
    again = muon.muon_step(params, random_tree(1), moments, 2, 0.01, measure=False)
    assert np.isnan(again)


@pytest.mark.parametrize(("decay", "shrinks"), [("matrices", True), ("linear", False)])
def test_decay_is_by_either_rule(decay, shrinks):
    params = random_tree(0)
    before = tree_map(np.copy, params)
    zeros = tree_map(np.zeros_like, params)
    muon.muon_step(params, zeros, adamw_init(params), 1, 0.1, weight_decay=0.5, decay=decay)
    for path, w in walk(params):
        shrink = 0.95 if path in LAYERS or (path == "wte" and shrinks) else 1
        np.testing.assert_allclose(w, flatten(before)[path] * shrink, rtol=1e-12, err_msg=path)


def test_float32_stays_float32():
    float32 = [tree_map(np.float32, random_tree(seed)) for seed in (0, 1)]
    params, grads = (tree_map(lambda w: w.view(NoFloat64), tree) for tree in float32)
    moments = adamw_init(params)
    muon.muon_step(params, grads, moments, 1, 0.01)
    assert {w.dtype for tree in (params, moments["m"]) for _, w in walk(tree)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16)])
def test_steps_are_pytorchs_but_for_its_bfloat16(shape):
    torch = pytest.importorskip("torch", reason="Muon is compared with PyTorch's")
    rng = np.random.default_rng(0)
    w = rng.standard_normal(shape).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(w.T.copy()))  # PyTorch's layers are [out, in]
    optimizer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    params = dict(mlp=dict(w=w.copy()))
    moments = adamw_init(params)
    for step in range(1, 4):
        g = rng.standard_normal(shape).astype(np.float32)
        theirs.grad = torch.tensor(g.T.copy())
        optimizer.step()
        muon.muon_step(params, dict(mlp=dict(w=g)), moments, step, 0.02)
    off = np.abs(params["mlp"]["w"] - theirs.detach().numpy().T).max()
    assert off < 0.03 * np.abs(params["mlp"]["w"] - w).max()
