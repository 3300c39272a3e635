"""Low-rank updates: nothing at first, exact to merge and to take out again, with the right gradients."""

import numpy as np
import pytest
from compare import NoFloat64, relative_error

from picogpt.finetune import lora, tuning
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.train import trainer


def updates(params, rank=2, seed=0):
    """Return updates of all matrices of the blocks, their b random too."""
    rng = np.random.default_rng(seed)
    low_rank = lora.start(tuning.choose(params, "blocks.*.w"), rank, rng)
    for ab in low_rank.values():
        ab["b"] += 0.3 * rng.standard_normal(ab["b"].shape).astype(ab["b"].dtype)
    return low_rank


def gradients(params, low_rank, ids, targets, n_head):
    """Return the loss and the gradients of the updates, as the trainer gets them."""
    of_trained = tuning.gradients_of(params, trainer.language_model(n_head))
    return of_trained(low_rank, (ids, targets), 0.0, None)


def test_at_first_the_output_is_the_base_models(tiny32):
    params, before = tiny32.params, gpt2(tiny32.ids, tiny32.params, tiny32.n_head)
    low_rank = lora.start(tuning.choose(params, "blocks.*.w"), 2, np.random.default_rng(0))
    assert len(low_rank) == 8
    assert all((ab["b"] == 0).all() and (ab["a"] != 0).all() for ab in low_rank.values())
    with lora.merged(params, low_rank):
        assert np.array_equal(gpt2(tiny32.ids, params, tiny32.n_head), before)


def test_unmerging_brings_back_every_bit(tiny32):
    before = {path: w.tobytes() for path, w in walk(tiny32.params)}
    low_rank = updates(tiny32.params)
    base = lora.merge(tiny32.params, low_rank)
    changed = {path for path, w in walk(tiny32.params) if w.tobytes() != before[path]}
    assert changed == base.keys() == low_rank.keys()
    lora.unmerge(tiny32.params, base)
    assert {path: w.tobytes() for path, w in walk(tiny32.params)} == before


def test_an_error_while_merged_leaves_the_base_as_it_was(tiny32):
    before = {path: w.tobytes() for path, w in walk(tiny32.params)}
    with pytest.raises(KeyError), lora.merged(tiny32.params, updates(tiny32.params)):
        raise KeyError
    assert {path: w.tobytes() for path, w in walk(tiny32.params)} == before


def test_merging_the_same_updates_again_gives_the_same_bits(tiny32):
    low_rank, found = updates(tiny32.params), []
    for _ in range(2):
        with lora.merged(tiny32.params, low_rank):
            found.append(gpt2(tiny32.ids, tiny32.params, tiny32.n_head).tobytes())
    assert found[0] == found[1]


def test_gradients_are_the_derivatives(tiny):
    low_rank, rng = updates(tiny.params), np.random.default_rng(1)
    _, grads = gradients(tiny.params, low_rank, tiny.ids, tiny.targets, tiny.n_head)
    for path, leaf in walk(low_rank):
        step = 1e-5 * rng.standard_normal(leaf.shape)
        losses, before = [], leaf.copy()
        for sign in (1, -1):
            leaf += sign * step
            losses.append(gradients(tiny.params, low_rank, tiny.ids, tiny.targets, tiny.n_head)[0])
            leaf[...] = before
        assert losses[0] - losses[1] == pytest.approx(2 * (flatten(grads)[path] * step).sum(), rel=1e-6), path


def test_merged_and_unmerged_pytorch_gives_the_same_logits_and_gradients(tiny):
    """There the update is a path of its own beside each matrix: y = x w + (x a) b."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from record import pytorch

    low_rank = updates(tiny.params)
    leaves = tree_map(lambda leaf: torch.from_numpy(leaf.copy()).requires_grad_(), low_rank)
    model = pytorch.hugging_face({path: w.copy() for path, w in walk(tiny.params)}, **pytorch.TINY)
    for name, module in model.named_modules():
        if ab := leaves.get(pytorch.gpt2_path(f"{name}.weight")):
            module.register_forward_hook(lambda _, x, y, ab=ab: y + (x[0] @ ab["a"]) @ ab["b"])
    loss = pytorch.loss_of(model, tiny.ids, tiny.targets)
    loss.backward()
    with torch.no_grad():
        theirs = model(torch.from_numpy(tiny.ids)).logits.numpy()
    with lora.merged(tiny.params, low_rank):
        np.testing.assert_allclose(gpt2(tiny.ids, tiny.params, tiny.n_head), theirs, atol=1e-12)
    ours, grads = gradients(tiny.params, low_rank, tiny.ids, tiny.targets, tiny.n_head)
    assert ours == pytest.approx(loss.item(), rel=1e-12)
    for path, leaf in walk(leaves):
        assert relative_error(flatten(grads)[path], leaf.grad.numpy()) < 1e-10, path


def test_merged_is_unmerged_in_float32(tiny32):
    low_rank, x = updates(tiny32.params), np.random.default_rng(2).standard_normal((7, 12), np.float32)
    for path, ab in low_rank.items():
        if flatten(tiny32.params)[path].shape[0] != 12:
            continue
        beside = x @ flatten(tiny32.params)[path] + (x @ ab["a"]) @ ab["b"]
        with lora.merged(tiny32.params, low_rank):
            assert np.abs(x @ flatten(tiny32.params)[path] - beside).max() < 2e-6, path


def test_float32_stays_float32(tiny32):
    low_rank = tree_map(lambda leaf: leaf.view(NoFloat64), updates(tiny32.params))
    _, grads = gradients(tiny32.params, low_rank, tiny32.ids, tiny32.targets, tiny32.n_head)
    assert {leaf.dtype for _, leaf in walk(grads)} == {np.dtype(np.float32)}


def test_updates_are_saved_and_read_back(tiny32, tmp_path):
    low_rank = updates(tiny32.params)
    lora.save(tmp_path / "lora.safetensors", low_rank)
    again = lora.load(tmp_path / "lora.safetensors")
    assert {path: leaf.tobytes() for path, leaf in walk(again)} == {
        path: leaf.tobytes() for path, leaf in walk(low_rank)
    }


@pytest.mark.parametrize(
    ("pattern", "rank"),
    [("ln_f.g", 1), ("blocks.0.attn.c_proj.w", 13), ("blocks.0.mlp.c_fc.w", 13), ("wte", 0), ("wte", 13)],
)
def test_a_rank_that_an_array_does_not_have_is_an_error(pattern, rank, tiny):
    with pytest.raises(ValueError, match=f"no update of rank {rank}"):
        lora.start(tuning.choose(tiny.params, pattern), rank, np.random.default_rng(0))


def test_a_rank_may_be_the_shorter_side_and_a_is_drawn_with_variance_1_over_the_rows():
    w = dict(w=np.zeros((400, 300), np.float32))
    for rank in (1, 300):
        ab = lora.start(w, rank, np.random.default_rng(0))["w"]
        assert (ab["a"].shape, ab["b"].shape) == ((400, rank), (rank, 300))
        assert {ab["a"].dtype, ab["b"].dtype} == {np.dtype(np.float32)}
    assert ab["a"].std() == pytest.approx(1 / 20, rel=0.02)
    assert abs(ab["a"].mean()) < 0.001


def test_the_gradient_of_the_product_is_the_matrixs(tiny):
    path = "blocks.0.mlp.c_fc.w"
    low_rank = {path: updates(tiny.params)[path]}
    with lora.merged(tiny.params, low_rank):
        _, whole = loss_and_grads(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    _, grads = gradients(tiny.params, low_rank, tiny.ids, tiny.targets, tiny.n_head)
    dw = flatten(whole)[path]
    np.testing.assert_allclose(grads[path]["a"], dw @ low_rank[path]["b"].T, rtol=1e-12)
    np.testing.assert_allclose(grads[path]["b"], low_rank[path]["a"].T @ dw, rtol=1e-12)
