import math

import numpy as np
import pytest
from compare import relative_error

from picogpt.grad import loss_and_grads
from picogpt.optim import adamw_init, adamw_step, clip, learning_rate
from picogpt.tree import flatten, tree_map, walk


def train(model, batches, lr=0.01):
    """Return the losses and gradient norms of ten steps, as tests/record/pytorch.py trained the model."""
    moments = adamw_init(model.params)
    losses, norms = [], []
    for step, (ids, targets) in enumerate(zip(batches["ids"], batches["targets"], strict=True), start=1):
        loss, grads = loss_and_grads(model.params, ids, targets, model.n_head)
        norms.append(clip(grads, 2.0))
        adamw_step(model.params, grads, moments, step, lr)
        losses.append(loss)
    return np.array(losses), np.array(norms)


def test_ten_steps_follow_pytorch(tiny, pytorch_says):
    theirs = pytorch_says["training64"]
    losses, norms = train(tiny, theirs)
    assert theirs["norms"].min() < 2 < theirs["norms"].max()  # some are clipped, some are not
    assert np.abs(losses - theirs["losses"]).max() < 1e-6
    assert np.abs(norms - theirs["norms"]).max() < 1e-5
    print(np.abs(losses - theirs["losses"]).max(), np.abs(norms - theirs["norms"]).max())
    for path, w in walk(theirs["params"]):
        assert relative_error(flatten(tiny.params)[path], w) < 1e-6, path


def test_ten_steps_in_float32_follow_pytorch(tiny32, pytorch_says):
    theirs = pytorch_says["training32"]
    losses, norms = train(tiny32, theirs)
    print(np.abs(losses - theirs["losses"]).max(), np.abs(norms - theirs["norms"]).max())
    assert np.abs(losses - theirs["losses"]).max() < 1e-5
    assert np.abs(norms - theirs["norms"]).max() < 1e-4
