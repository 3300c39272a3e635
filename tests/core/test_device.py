"""The core runs on arrays that are not NumPy's, and nothing of it falls back to NumPy: see strict_array.py.

Where CuPy finds a graphics processor, it runs there too.
"""

import functools

import numpy as np
import pytest
from compare import relative_error
from strict_array import StrictArray

from picogpt.gpt2 import KVCache, gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map
from picogpt.text import data
from picogpt.train import trainer
from picogpt.train.optim import adamw_init, adamw_step, clip
from picogpt.train.settings import Recipe

HPARAMS = dict(n_vocab=65, n_ctx=16, n_embd=24, n_head=3, n_layer=2)
MODELS = {
    "GPT-2": {},
    "without biases, untied, exact gelu": dict(bias=False, tied=False, gelu="erf"),
    "full time-weighting, time-mixing, quick gelu": dict(
        time_weighting="full", time_mixing=True, gelu="quick"
    ),
    "circulant, banded, without positions": dict(time_weighting="circulant", band=4, positions="none"),
    "rotary, norms after": dict(positions="rotary", norm="post"),
    "ALiBi": dict(positions="alibi"),
    "ReZero, RMS norms, late channels": dict(rezero=True, rms=True, time_mixed=5),
}


def on_gpu(a):
    """Copy an array to the graphics processor, if CuPy is installed and finds one."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        return cupy.asarray(a)
    except cupy.cuda.runtime.CUDARuntimeError:
        pytest.skip("CuPy finds no graphics processor")


@pytest.fixture(params=["strict", "gpu"])
def place(request):
    """How an array gets to where it is not NumPy's."""
    return dict(strict=lambda a: StrictArray(np.array(a)), gpu=on_gpu)[request.param]


@pytest.fixture(params=MODELS)
def model(request):
    params = init_params(HPARAMS | MODELS[request.param], np.random.default_rng(0))
    return tree_map(lambda w: w + w.dtype.type(w.shape == (1,)), params)  # ReZero's factor no longer 0


def batch():
    ids, targets = np.random.default_rng(1).integers(0, 65, (2, 3, 16))
    targets[1, ::3] = -1
    return ids, targets


def back(tree):
    return tree_map(lambda a: a.get(), tree)


def assert_same(theirs, ours, bound=2e-6):
    theirs, ours = flatten(theirs), flatten(ours)
    assert list(theirs) == list(ours)
    for path, a in ours.items():
        assert theirs[path].dtype == a.dtype, path
        assert theirs[path].shape == a.shape, path
        assert a.size == 0 or relative_error(theirs[path], a) <= bound, path


def test_loss_and_gradients(place, model):
    loss, grads = loss_and_grads(model, *batch(), HPARAMS["n_head"])
    there = tree_map(place, model)
    for ids, targets in (batch(), map(place, batch())):  # wherever the batch is
        their_loss, theirs = loss_and_grads(there, ids, targets, HPARAMS["n_head"])
        assert float(their_loss) == pytest.approx(float(loss), rel=1e-6)
        assert_same(back(theirs), grads)


def test_the_cache_and_padding(place, model):
    ids, _ = batch()
    there = tree_map(place, model)
    for pad in (None, np.array([0, 2, 5])):
        cache = KVCache(there, HPARAMS["n_head"], batch=3)
        logits = [
            gpt2(part, there, HPARAMS["n_head"], cache, pad=pad) for part in (ids[:, :10], ids[:, 10:11])
        ]
        expected = gpt2(ids[:, :11], model, HPARAMS["n_head"], pad=pad)
        logits = np.concatenate([a.get() for a in logits], axis=1)
        assert_same([logits[:, 5:]], [expected[:, 5:]])  # what stands at padding, nobody looks at


def test_steps_of_training(place, model):
    """Three updates by the trainer, with clipping, give the same parameters and losses."""
    ids = np.random.default_rng(2).integers(0, 65, 500)
    c = Recipe(steps=3, warmup=0, clip=0.5)
    draw = functools.partial(data.random_batch, ids, 4, 16)
    results = []
    for put, gradients in ((np.array, trainer.language_model(3)), (place, on_device)):
        params = tree_map(put, model)
        updates = trainer.updates(trainer.begin(params, 3), c, draw, gradients)
        results.append(([(record["loss"], record["norm"]) for record in updates], params))
    (ours, params), (theirs, there) = results
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)
    assert_same(back(there), params, bound=1e-4)


def on_device(params, batch, p_drop, rng):
    return loss_and_grads(params, *batch, HPARAMS["n_head"])


def test_clip_and_adamw_on_leaves_of_one_and_of_two_axes(place):
    rng = np.random.default_rng(4)
    params, grads = ([rng.standard_normal((5, 3)), rng.standard_normal(7)] for _ in range(2))
    there, their_grads = tree_map(place, params), tree_map(place, grads)
    assert clip(their_grads, 1.0) == pytest.approx(clip(grads, 1.0))
    ours, theirs = adamw_init(params), adamw_init(there)
    for step in (1, 2):
        adamw_step(params, grads, ours, step, 1e-2)
        adamw_step(there, their_grads, theirs, step, 1e-2)
    assert_same(back([there, theirs]), [params, ours], bound=1e-12)


def test_the_stand_in_refuses_what_cupy_refuses():
    x = StrictArray(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match="implicit conversion"):
        np.asarray(x)
    for mix in (lambda: x + np.ones(3), lambda: x * np.float64(2), lambda: x[np.array([0])]):
        with pytest.raises(TypeError, match="of NumPy meets"):
            mix()
    with pytest.raises(TypeError):
        np.vecdot(x, x)  # which CuPy lacks
    with pytest.raises(TypeError):
        np.linalg.svd(x)
    assert (x + 1).dtype == np.float32
