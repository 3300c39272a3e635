"""The gradients of a batch in parts are those of the batch."""

import numpy as np
import pytest
from compare import relative_error

from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, walk
from picogpt.speed import shards
from picogpt.system import machine

HPARAMS = dict(n_vocab=17, n_ctx=7, n_embd=12, n_head=3, n_layer=2)


@pytest.fixture
def batch():
    """Parameters, and five rows of ids and targets, some of which do not count: in one row none does."""
    rng = np.random.default_rng(0)
    params = init_params(HPARAMS, rng, np.float64)
    ids, targets = rng.integers(0, 17, (2, 5, 7))
    targets[2], targets[4, 3:] = -1, -1
    return params, ids, targets, 3


@pytest.mark.parametrize("size", [1, 14, 20, 512])
def test_parts_add_up_to_the_batch(batch, threads, size, monkeypatch):
    monkeypatch.setattr(shards, "PART", size)
    loss, grads = shards.batch_gradients(*batch)
    whole_loss, whole = loss_and_grads(*batch)
    assert abs(loss - whole_loss) < 1e-13
    assert list(flatten(grads)) == list(flatten(whole))
    for path, dx in walk(whole):
        assert relative_error(flatten(grads)[path], dx) < 1e-12, path


@pytest.mark.parametrize("n_processes", [1, 2, 3, 5])
def test_what_processes_find_adds_up_to_the_batch(batch, n_processes):
    """In one of the five rows no target counts: the process that has this row alone adds nothing."""
    found = [shards.batch_gradients(*batch, rank=rank, size=n_processes) for rank in range(n_processes)]
    whole_loss, whole = loss_and_grads(*batch)
    assert abs(sum(loss for loss, _ in found) - whole_loss) < 1e-13
    for path, dx in walk(whole):
        assert relative_error(sum(flatten(grads)[path] for _, grads in found), dx) < 1e-12, path


def test_processes_drop_out_what_one_would_of_the_same_parts(batch, monkeypatch):
    monkeypatch.setattr(shards, "PART", 7)
    rngs = [np.random.default_rng(1) for _ in range(6)]
    loss, grads = shards.batch_gradients(*batch, 0.3, rngs[5])
    found = [shards.batch_gradients(*batch, 0.3, rngs[rank], rank, 5) for rank in range(5)]
    assert sum(loss for loss, _ in found) == pytest.approx(loss, rel=1e-12)
    for path, dx in walk(grads):
        assert relative_error(sum(flatten(grads)[path] for _, grads in found), dx) < 1e-12, path
    assert len({rng.random() for rng in rngs}) == 1  # they stay in step


@pytest.mark.parametrize("size", [1, 14, 20, 512])
def test_the_loss_alone_is_that_of_the_batch(batch, threads, size, monkeypatch):
    monkeypatch.setattr(shards, "PART", size)
    params, ids, _, n_head = batch
    targets = np.roll(ids, -1, axis=1)
    assert (
        abs(shards.batch_loss(params, ids, targets, n_head) - loss_and_grads(*batch[:2], targets, 3)[0])
        < 1e-13
    )


def test_wrong_input_gets_the_sentence_of_loss_and_grads(batch, monkeypatch):
    monkeypatch.setattr(shards, "PART", 7)
    params, ids, targets, n_head = batch
    with pytest.raises(ValueError, match="needs an rng"):
        shards.batch_gradients(params, ids, targets, n_head, p_drop=0.1)
    with pytest.raises(ValueError, match="targets must be integers like ids"):
        shards.batch_gradients(params, ids.tolist(), targets[:, :2].tolist(), n_head)


def test_a_batch_without_targets_is_refused(batch, monkeypatch):
    monkeypatch.setattr(shards, "PART", 7)
    params, ids, targets, n_head = batch
    with pytest.raises(ValueError, match="not all of them -1"):
        shards.batch_gradients(params, ids, np.full_like(targets, -1), n_head)


def test_dropout_does_not_depend_on_the_threads(batch, monkeypatch, keep_threads):
    monkeypatch.setattr(shards, "PART", 7)
    found = []
    for n in (1, 2, 3):
        machine.set_threads(n)
        found.append(shards.batch_gradients(*batch, p_drop=0.3, rng=np.random.default_rng(1)))
    assert len({float(loss) for loss, _ in found}) == 1
    for (path, a), (_, b) in zip(walk(found[0][1]), walk(found[2][1]), strict=True):
        assert np.array_equal(a, b), path
    other, _ = shards.batch_gradients(*batch, p_drop=0.3, rng=np.random.default_rng(2))
    assert other != found[0][0]


def test_parts_of_float32_are_float32(batch, monkeypatch):
    monkeypatch.setattr(shards, "PART", 7)
    params = init_params(HPARAMS, np.random.default_rng(0))
    _, grads = shards.batch_gradients(params, *batch[1:])
    assert {dx.dtype for _, dx in walk(grads)} == {np.dtype(np.float32)}
