"""Products in float16, all else in float32: as PyTorch computes them, and with GradScaler's loss scale."""

import functools
import re

import numpy as np
import pytest
from compare import relative_error
from strict_array import StrictArray

from picogpt import grad, ops
from picogpt.checkpoints import weights
from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.text import data
from picogpt.text.chars import CharEncoder
from picogpt.train import cli, half, trainer
from picogpt.train import state as states
from picogpt.train.half import Half, LossScale, half_loss_and_grads
from picogpt.train.settings import Recipe

HPARAMS = dict(n_vocab=65, n_ctx=16, n_embd=24, n_head=3, n_layer=2)
MODELS = {
    "GPT-2": {},
    "without biases, untied, exact gelu": dict(bias=False, tied=False, gelu="erf"),
    "time-weighting, time-mixing": dict(time_weighting="full", time_mixing=True),
    "rotary, norms after": dict(positions="rotary", norm="post"),
    "ALiBi, banded": dict(positions="alibi", band=4),
    "ReZero, RMS norms": dict(rezero=True, rms=True),
}


def model(**options):
    params = init_params(HPARAMS | options, np.random.default_rng(0))
    return tree_map(lambda w: w + w.dtype.type(w.shape == (1,)), params)  # ReZero's factor no longer 0


def batch():
    ids, targets = np.random.default_rng(1).integers(0, 65, (2, 3, 16))
    targets[1, ::3] = -1
    return ids, targets


def gradients(params, scale=None):
    return half_loss_and_grads(params, *batch(), 3, LossScale() if scale is None else scale)


def error(theirs, ours):
    """Return the length of what two trees of gradients differ by, relative to the second."""
    theirs, ours = flatten(theirs), flatten(ours)
    both = [np.concatenate([tree[path].ravel() for path in ours]) for tree in (theirs, ours)]
    return relative_error(*both)


def test_a_product_is_pytorchs_of_float16():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 5, 300), (2, 300, 7)))
    ours = (Half(a) @ Half(b)).array
    theirs = (torch.tensor(a).half() @ torch.tensor(b).half()).float().numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=2**-10, atol=2**-6)  # the last digit of float16
    np.testing.assert_array_equal((Half(a) @ b).array, ours)
    assert np.abs(ours - a @ b).max() > 1e-3  # which float32 would not differ by


def test_all_else_is_of_float32_to_the_bit():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 4, 24)).astype(np.float32)
    g, b = rng.standard_normal((2, 24)).astype(np.float32)
    targets = np.array([3, 0, 23, -1])
    for f, *args in (
        (ops.gelu, x), (ops.softmax, x), (ops.layer_norm, x, g, b), (ops.cross_entropy, x, targets),
        (grad.gelu_backward, dy, x), (grad.softmax_backward, dy, x), (grad.layer_norm_backward, dy, x, g, b),
    ):  # fmt: skip
        ours = f(*(half.half(a) for a in args))
        plain = f(*args)
        ours, plain = ([y, *dw.values()] if dw else [y] for y, dw in map(both, (ours, plain)))
        for a, expected in zip(ours, plain, strict=True):
            assert half.bare(a).dtype == np.float32
            np.testing.assert_array_equal(half.bare(a), expected, err_msg=f.__name__)


def both(result):
    return result if isinstance(result, tuple) else (result, {})


def torch_loss_and_grads(params, ids, targets, factor):
    """GPT-2 in PyTorch, each product of whose forward and backward is of float16."""
    torch = pytest.importorskip("torch")
    import torch.nn.functional as F

    p = tree_map(lambda a: torch.tensor(a, requires_grad=True), params)
    ids, targets = torch.tensor(ids), torch.tensor(targets)

    def product(a, b):
        return (a.half() @ b.half()).float()

    def linear(x, w, b):
        return product(x.flatten(0, 1), w).unflatten(0, x.shape[:2]) + b

    def norm(x, g, b):
        return F.layer_norm(x, g.shape, g, b)

    def heads(x):
        return x.unflatten(-1, (3, -1)).transpose(1, 2)

    x = p["wte"][ids] + p["wpe"][: ids.shape[1]]
    mask = torch.full((16, 16), -1e10).triu(1)
    for block in p["blocks"]:
        q, k, v = map(heads, linear(norm(x, **block["ln_1"]), **block["attn"]["c_attn"]).chunk(3, dim=-1))
        scores = product(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)) + mask
        weights = (scores - scores.amax(dim=-1, keepdim=True)).exp()
        y = product(weights, v) / weights.sum(dim=-1, keepdim=True)
        x = x + linear(y.transpose(1, 2).flatten(-2), **block["attn"]["c_proj"])
        y = F.gelu(linear(norm(x, **block["ln_2"]), **block["mlp"]["c_fc"]), approximate="tanh")
        x = x + linear(y, **block["mlp"]["c_proj"])
    logits = product(norm(x, **p["ln_f"]).flatten(0, 1), p["wte"].T)
    loss = F.cross_entropy(logits, targets.flatten(), ignore_index=-1)
    (loss * factor).backward()
    return loss.item(), tree_map(lambda w: w.grad.numpy() / factor, p)


def test_gradients_are_pytorchs_with_products_in_float16():
    params = model()
    loss, grads = gradients(params)
    their_loss, theirs = torch_loss_and_grads(params, *batch(), 2.0**16)
    plain = loss_and_grads(params, *batch(), 3)[1]
    assert loss == pytest.approx(their_loss, rel=1e-5)
    assert all(g.dtype == np.float32 for _, g in walk(grads))
    assert error(grads, theirs) < 2.5e-4 < 3.5e-4 < error(grads, plain) < 1e-3


def test_gradients_are_the_slope_of_the_loss():
    """The loss in float64, a small step along them and one back, differ by what they say."""
    params = model()
    _, grads = gradients(params)
    direction = tree_map(lambda g: g.astype(np.float64), grads)
    length = np.sqrt(sum(float((g * g).sum()) for _, g in walk(direction)))

    def loss_at(step):
        moved = tree_map(lambda w, g: w.astype(np.float64) + step * g / length, params, direction)
        return float(loss_and_grads(moved, *batch(), 3)[0])

    assert (loss_at(1e-4) - loss_at(-1e-4)) / 2e-4 == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_arrays_of_a_gpu_compute_the_same(options):
    params = model(**options)
    loss, grads = gradients(params)
    assert error(grads, loss_and_grads(params, *batch(), 3)[1]) < 2e-3
    there = tree_map(lambda a: StrictArray(np.array(a)), params)
    their_loss, theirs = gradients(there)
    assert their_loss == loss
    for path, g in walk(grads):
        np.testing.assert_array_equal(flatten(theirs)[path].get(), g, err_msg=path)


def test_the_scale_grows_and_falls_as_pytorchs(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(half, "GROWS_AFTER", 3)
    theirs = torch.amp.GradScaler("cpu", growth_interval=3)
    w = torch.zeros(1, requires_grad=True)
    sgd, ours = torch.optim.SGD([w], lr=0.0), LossScale()
    theirs.scale(w)
    assert ours.scale == theirs.get_scale() == 65536
    for finite in np.random.default_rng(0).random(200) < 0.8:
        w.grad = torch.tensor([1.0 if finite else np.inf])
        theirs.step(sgd)
        theirs.update()
        ours.note(bool(finite))
        assert ours.scale == theirs.get_scale()


def test_the_scale_doubles_after_2000_gradients_in_a_row_that_were_finite():
    scale = LossScale()
    scale.note(True)
    scale.note(False)
    for _ in range(1999):
        scale.note(True)
    assert scale.scale == 2.0**15
    scale.note(True)
    assert scale.state == dict(scale=2.0**16, good=0)


def test_without_a_scale_small_gradients_are_lost():
    params = model()
    plain = loss_and_grads(params, *batch(), 3)[1]
    scales = [LossScale(dict(scale=s, good=0)) for s in (2.0**-10, 2.0**12)]
    errors = [error(gradients(params, scale)[1], plain) for scale in scales]
    assert errors[0] > 20 * errors[1]


def test_a_scale_under_which_gradients_overflow_falls_until_they_do_not():
    params, scale = model(), LossScale(dict(scale=2.0**40, good=7))
    loss, grads = gradients(params, scale)
    assert 2**16 < scale.scale < 2**40
    assert scale.state["good"] == 1
    again = LossScale(dict(scale=scale.scale, good=0))
    expected_loss, expected = gradients(params, again)
    assert (again.scale, loss) == (scale.scale, expected_loss)
    assert error(grads, expected) == 0


@pytest.mark.parametrize("wrong", [-np.inf, np.inf, np.nan])
def test_one_gradient_that_is_no_number_is_enough_for_half_the_scale(wrong, monkeypatch):
    def overflows(params, *_, scale):
        g = np.array([1, wrong if scale > 2.0**13 else -2], np.float32) * scale
        return 3 * scale, dict(w=g, empty=np.empty(0, np.float32))

    monkeypatch.setattr(half, "loss_and_grads", overflows)
    scale = LossScale()
    loss, grads = gradients(model(), scale)
    assert (loss, grads["w"].tolist(), scale.state) == (3, [1, -2], dict(scale=2.0**13, good=1))


def train(params, steps, precision="float16", dropout=0.0, state=None, lr=1e-3):
    ids = np.random.default_rng(2).integers(0, 65, 500)
    state = trainer.begin(tree_map(np.array, params), 3, precision) if state is None else state
    of_batch = trainer.language_model(3, loss_scale=state.get("loss_scale"))
    draw = functools.partial(data.random_batch, ids, 4, 16)
    c = Recipe(steps=steps, warmup=0, dropout=dropout, lr=lr, schedule="constant")
    return [record["loss"] for record in trainer.updates(state, c, draw, of_batch)], state


def test_weights_take_steps_that_float16_would_round_away():
    params = model()
    _, state = train(params, 3, lr=5e-7)
    for path, w in walk(state["params"]):
        before = flatten(params)[path]
        if w.ndim > 1:
            assert w.dtype == np.float32 and (w != before).mean() > 0.5
            assert (w.astype(np.float16) == before.astype(np.float16)).mean() > 0.5


def test_losses_are_nearly_those_of_float32():
    ours, _ = train(model(), 20)
    plain, _ = train(model(), 20, "float32")
    assert plain[-1] < plain[0]
    np.testing.assert_allclose(ours, plain, rtol=1e-3)
    assert ours != plain


def test_a_training_goes_on_with_the_scale_it_had(tmp_path, monkeypatch):
    monkeypatch.setattr(half, "GROWS_AFTER", 2)
    settings = dict(precision="float16")
    losses, whole = train(model(), 6, dropout=0.1)
    first, state = train(model(), 3, dropout=0.1)
    assert state["loss_scale"] == dict(scale=2.0**17, good=1)
    states.save_state(tmp_path / "state", state, settings)
    resumed = states.load_state(tmp_path / "state", settings)
    second, end = train(None, 6, dropout=0.1, state=resumed)
    assert first + second == losses
    assert end["loss_scale"] == whole["loss_scale"] == dict(scale=2.0**19, good=0)
    for path, w in walk(end["params"]):
        np.testing.assert_array_equal(w, flatten(whole["params"])[path])


@pytest.mark.parametrize(("saved", "asked"), [("float32", "float16"), ("float16", "float32")])
def test_a_training_does_not_change_its_precision(saved, asked, tmp_path):
    _, state = train(model(), 1, saved)
    states.save_state(tmp_path / "state", state, dict(precision=saved))
    with pytest.raises(ValueError, match=f"was trained with --precision {saved}"):
        states.load_state(tmp_path / "state", dict(precision=asked))


def test_a_state_without_its_scale_is_damaged(tmp_path):
    _, state = train(model(), 1)
    del state["loss_scale"]
    states.save_state(tmp_path / "state", state, dict(precision="float16"))
    with pytest.raises(ValueError, match="is damaged"):
        states.load_state(tmp_path / "state", dict(precision="float16"))


def test_a_gradient_that_overflows_at_any_scale_ends_the_training():
    params, scale = model(), LossScale()
    params["wte"] *= 1e6
    gradients(params, scale)
    assert scale.scale == 2.0**-25  # the smallest that is tried is 2**-24, in whose place this would be next
    with pytest.raises(ValueError, match=r"the gradient at step 0 is (nan|inf)"):
        train(params, 1)


def test_weights_too_large_for_float16_are_one_line_and_the_remedy_that_it_names_is_one(
    tmp_path, monkeypatch, call_command
):
    """A million is more than float16's 65504, and nothing special in float32."""
    monkeypatch.chdir(tmp_path)
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh "), 500))
    (tmp_path / "text").write_text(text)
    encoder = CharEncoder.from_text(text)
    hparams = HPARAMS | dict(n_vocab=encoder.n_vocab)
    params = init_params(hparams, np.random.default_rng(0))
    params["blocks"][0]["mlp"]["c_fc"]["w"][:] = 1e6
    weights.save(tmp_path / "large", params, hparams, encoder)
    words = ["text", "--init=large", "--steps=1", "--batch_size=2", "--eval_batches=1", "--threads=1"]
    done = call_command(cli.train, *words, "--precision=float16", "--out=one")
    assert (done.code, done.out) == (1, "")
    said = r"picogpt: the gradient at step 0 is (nan|inf): try a smaller --lr, or --precision float32"
    assert re.fullmatch(said, done.err.splitlines()[-1])
    assert weights.load(tmp_path / "one")[1] == hparams  # as it was at step 0, whole
    assert not [*(tmp_path / "one").glob("*.tmp")]
    done = call_command(cli.train, *words, "--out=other")
    assert done.code == 0, done.err
