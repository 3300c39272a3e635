import math

import numpy as np
import pytest
from compare import NoFloat64, relative_error

from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, nest, tree_map, walk
from picogpt.train import optim
from picogpt.train.optim import adamw_init, adamw_step, clip, learning_rate


def train(model, batches, max_norm):
    """Return the losses and gradient norms of ten steps, as tests/record/pytorch.py trained the model."""
    moments = adamw_init(model.params)
    losses, norms = [], []
    for step, (ids, targets) in enumerate(zip(batches["ids"], batches["targets"], strict=True), start=1):
        loss, grads = loss_and_grads(model.params, ids, targets, model.n_head)
        norms.append(clip(grads, max_norm))
        adamw_step(model.params, grads, moments, step, lr=0.01)
        losses.append(loss)
    return np.array(losses), np.array(norms)


def test_ten_steps_follow_pytorch(tiny, pytorch_says):
    theirs = pytorch_says["training"]["unclipped64"]
    losses, norms = train(tiny, theirs, max_norm=0)
    assert np.abs(losses - theirs["losses"]).max() < 1e-9
    assert np.abs(norms - theirs["norms"]).max() < 1e-9
    for path, w in walk(theirs["params"]):
        assert relative_error(flatten(tiny.params)[path], w) < 1e-9, path


def test_ten_clipped_steps_follow_pytorch(tiny, pytorch_says):
    theirs = pytorch_says["training"]["clipped64"]
    losses, norms = train(tiny, theirs, max_norm=2.0)
    assert theirs["norms"].min() < 2 < theirs["norms"].max()  # some are clipped, some are not
    assert np.abs(losses - theirs["losses"]).max() < 1e-6  # PyTorch divides by the norm + 1e-6
    assert np.abs(norms - theirs["norms"]).max() < 1e-6


def test_ten_clipped_steps_in_float32_follow_pytorch(tiny32, pytorch_says):
    theirs = pytorch_says["training"]["clipped32"]
    losses, norms = train(tiny32, theirs, max_norm=2.0)
    assert np.abs(losses - theirs["losses"]).max() < 1e-5
    assert np.abs(norms - theirs["norms"]).max() < 1e-4


def test_the_records_of_pytorchs_training_are_what_it_does_today(pytorch_says):
    pytest.importorskip(
        "transformers", reason="the recorded losses stand for PyTorch, which is not installed"
    )
    from record import pytorch

    live = pytorch.flatten(pytorch.trainings(flatten(pytorch_says["tiny"]["params"])))
    recorded = flatten(pytorch_says["training"])
    assert list(live) == list(recorded)
    for name, array in live.items():
        tolerance = 1e-4 if name.startswith("clipped32") else 1e-9
        np.testing.assert_allclose(array, recorded[name], rtol=tolerance, atol=tolerance, err_msg=name)


def small_tree(seed=0):
    rng = np.random.default_rng(seed)
    return dict(
        wte=rng.standard_normal((5, 3)), ln_f=dict(g=rng.standard_normal(3), b=rng.standard_normal(3))
    )


def test_one_step_is_the_papers_formula_written_out():
    params, grads = small_tree(0), small_tree(1)
    moments = dict(m=small_tree(2), v=tree_map(np.square, small_tree(3)))
    expected = {}
    for path, w in walk(params):
        g, m, v = (flatten(tree)[path] for tree in (grads, moments["m"], moments["v"]))
        m, v = 0.8 * m + 0.2 * g, 0.7 * v + 0.3 * g**2
        decay = 0.5 * w if w.ndim == 2 else 0
        adam = (m / (1 - 0.8**3)) / (np.sqrt(v / (1 - 0.7**3)) + 0.1)
        expected[path] = w - 0.01 * (adam + decay)
    adamw_step(params, grads, moments, step=3, lr=0.01, betas=(0.8, 0.7), eps=0.1, weight_decay=0.5)
    for path, w in walk(params):
        np.testing.assert_allclose(w, expected[path], rtol=1e-12, err_msg=path)


def test_the_first_step_moves_every_weight_by_the_learning_rate():
    params, grads = small_tree(0), small_tree(1)
    before = tree_map(np.copy, params)
    adamw_step(params, grads, adamw_init(params), step=1, lr=0.01, weight_decay=0.0)
    for path, w in walk(params):
        step = 0.01 * np.sign(flatten(grads)[path])
        np.testing.assert_allclose(w, flatten(before)[path] - step, atol=1e-8)


@pytest.mark.parametrize(("decay", "more"), [("matrices", ("wte", "wpe")), ("linear", ())])
def test_weights_of_linear_layers_decay_and_by_one_rule_embeddings(tiny, decay, more):
    zeros = tree_map(np.zeros_like, tiny.params)
    before = tree_map(np.copy, tiny.params)
    adamw_step(tiny.params, zeros, adamw_init(tiny.params), step=1, lr=0.1, weight_decay=0.5, decay=decay)
    for path, w in walk(tiny.params):
        shrink = 0.95 if path in more or path.endswith(".w") else 1
        np.testing.assert_allclose(w, flatten(before)[path] * shrink, rtol=1e-15, err_msg=path)


@pytest.mark.parametrize("decay", ["matrices", "linear"])
def test_groups_that_decay_are_pytorchs(decay):
    """PyTorch's AdamW on the groups that nanoGPT makes by ndim, and minGPT by the kind of module."""
    torch = pytest.importorskip("torch", reason="AdamW with groups is compared with PyTorch's")
    from record.gpt import gpt
    from record.pytorch import gpt2_path

    model = gpt(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2, tied=False).double()
    linear = {m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)}
    shrinks = {p: p in linear if decay == "linear" else p.ndim > 1 for p in model.parameters()}
    groups = [[p for p in shrinks if shrinks[p] is which] for which in (True, False)]
    adamw = torch.optim.AdamW(
        [dict(params=groups[0], weight_decay=0.3), dict(params=groups[1], weight_decay=0.0)], lr=0.01
    )
    names = {n: gpt2_path(n).replace("lm_head.w", "lm_head") for n, _ in model.named_parameters()}
    params = nest({names[n]: p.detach().numpy().copy() for n, p in model.named_parameters()})
    moments = adamw_init(params)
    for step in range(1, 11):
        adamw.zero_grad()
        model(torch.tensor([[1, 2, 3, 16]])).square().mean().backward()
        grads = nest({names[n]: p.grad.numpy() for n, p in model.named_parameters()})
        adamw_step(params, grads, moments, step, 0.01, (0.9, 0.999), weight_decay=0.3, decay=decay)
        adamw.step()
    for n, p in model.named_parameters():
        assert relative_error(flatten(params)[names[n]], p.detach().numpy()) < 1e-9, n


def test_a_step_says_how_far_it_went(tiny, threads, monkeypatch):
    monkeypatch.setattr(optim, "WORTH_THREADS", 0)
    monkeypatch.setattr(optim.chunks, "__kwdefaults__", dict(size=50))
    _, grads = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    before = np.concatenate([w.ravel().copy() for _, w in walk(tiny.params)])
    ratio = adamw_step(tiny.params, grads, adamw_init(tiny.params), step=1, lr=0.1, weight_decay=0.0)
    after = np.concatenate([w.ravel() for _, w in walk(tiny.params)])
    assert ratio == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(after), rel=1e-9)


def test_a_step_that_is_not_measured_is_the_same_step(tiny):
    _, grads = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    measured, unmeasured = tree_map(np.copy, tiny.params), tree_map(np.copy, tiny.params)
    assert adamw_step(measured, grads, adamw_init(measured), step=1, lr=0.1) > 0
    assert math.isnan(adamw_step(unmeasured, grads, adamw_init(unmeasured), step=1, lr=0.1, measure=False))
    for (_, a), (_, b) in zip(walk(measured), walk(unmeasured), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_and_moments_change_in_place_and_stay_float32(tiny32):
    moments = adamw_init(tiny32.params)
    arrays = {path: w for tree in (tiny32.params, moments) for path, w in walk(tree)}
    before = {path: w.copy() for path, w in arrays.items()}
    _, grads = loss_and_grads(tiny32.params, tiny32.ids, tiny32.targets, tiny32.n_head)
    adamw_step(tiny32.params, grads, moments, step=1, lr=np.float64(0.01))
    after = {path: w for tree in (tiny32.params, moments) for path, w in walk(tree)}
    for path, w in after.items():
        assert w is arrays[path], path
        assert w.dtype == np.float32, path
        assert not np.array_equal(w, before[path]), path


def test_no_operation_of_a_step_works_in_float64(tiny32):
    params = tree_map(lambda w: w.view(NoFloat64), tiny32.params)
    grads = tree_map(np.copy, params)
    clip(grads, 1.0)
    lr = learning_rate(5, lr=1e-3, min_lr=1e-4, warmup=3, steps=10)
    adamw_step(params, grads, adamw_init(params), step=1, lr=lr)


def test_clipping_leaves_the_direction_and_bounds_the_length():
    for max_norm in (0.5, 3.0, 1000.0, 0):
        grads = small_tree()
        whole = np.concatenate([g.ravel() for _, g in walk(grads)])
        length = np.linalg.norm(whole)
        assert abs(clip(grads, max_norm) - length) < 1e-12
        clipped = np.concatenate([g.ravel() for _, g in walk(grads)])
        np.testing.assert_allclose(clipped, whole * min(1, (max_norm or math.inf) / length), rtol=1e-12)


def test_clipping_gradients_of_zero_leaves_zero():
    grads = dict(wte=np.zeros((3, 2), np.float32))
    assert clip(grads, 1.0) == 0
    assert (grads["wte"] == 0).all()


def test_learning_rate_is_nanogpts():
    def get_lr(it, learning_rate, min_lr, warmup_iters, lr_decay_iters):
        """Copied in substance from nanoGPT's train.py."""
        if it < warmup_iters:
            return learning_rate * (it + 1) / (warmup_iters + 1)
        if it > lr_decay_iters:
            return min_lr
        decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
        assert 0 <= decay_ratio <= 1
        coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
        return min_lr + coeff * (learning_rate - min_lr)

    for warmup, steps in ((100, 2000), (0, 50), (7, 8)):
        for it in range(steps + 20):
            ours = learning_rate(it, lr=1e-3, min_lr=1e-4, warmup=warmup, steps=steps)
            assert abs(ours - get_lr(it, 1e-3, 1e-4, warmup, steps)) < 1e-18


def test_learning_rate_of_a_run_that_is_all_warm_up_is_finite():
    assert learning_rate(5, lr=1.0, min_lr=0.1, warmup=5, steps=5) == 1.0
    assert learning_rate(6, lr=1.0, min_lr=0.1, warmup=5, steps=5) == 0.1


def test_schedules_end_where_they_should():
    for schedule, half, end in (("linear", 0.55, 0.1), ("constant", 1.0, 1.0), ("floor", 0.5, 0.1)):
        rates = [learning_rate(i, 1.0, 0.1, warmup=0, steps=10, schedule=schedule) for i in (0, 5, 10, 99)]
        assert rates == pytest.approx([1.0, half, end, end]), schedule


def test_a_model_learns_a_batch_by_heart():
    rng = np.random.default_rng(0)
    params = init_params(dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2), rng)
    ids = rng.integers(0, 17, (2, 12))
    moments = adamw_init(params)
    for step in range(1, 201):
        loss, grads = loss_and_grads(params, ids[:, :-1], ids[:, 1:], 3)
        clip(grads, 1.0)
        adamw_step(params, grads, moments, step, lr=0.02, weight_decay=0.0)
    assert loss < 0.1
