"""Labels from the last token's state: the losses and their gradients, padding, the text's own loss."""

import numpy as np
import pytest
from compare import NoFloat64, relative_error

from picogpt import ops
from picogpt.checkpoints import safetensors
from picogpt.finetune import classifier
from picogpt.gpt2 import gpt2
from picogpt.params import narrow
from picogpt.params.tree import flatten, tree_map, walk

ROWS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7]]
ONE, ANY = np.array([2, 0, 3]), np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], np.float32)  # K = 4


def with_head(tiny, dtype=np.float64):
    rng = np.random.default_rng(0)
    head = dict(w=rng.standard_normal((12, 4)).astype(dtype), b=rng.standard_normal(4).astype(dtype))
    return tiny.params | dict(head=head)


def parts(params, labels):
    """Return the loss of the labels, and of the text, each row computed alone."""
    scores, losses, n = [], 0, 0
    for row in ROWS:
        acts = []
        logits = gpt2([row], params, 3, acts=acts)
        scores.append(ops.linear(acts[-1]["ln_f"][0, -1], **params["head"]))
        losses += ops.cross_entropy(logits[0, :-1], np.array(row[1:])) * (len(row) - 1)
        n += len(row) - 1
    scores = np.array(scores)
    if labels.ndim == 1:
        return ops.cross_entropy(scores, labels), losses / n
    p = 1 / (1 + np.exp(-scores))
    return -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p))), losses / n


@pytest.mark.parametrize("labels", [ONE, ANY], ids=["one", "any"])
@pytest.mark.parametrize("lm_weight", [0, 0.5])
def test_the_loss_is_that_of_the_labels_plus_a_share_of_the_texts(labels, lm_weight, tiny):
    params = with_head(tiny)
    loss, _ = classifier.loss_and_grads(params, (ROWS, labels), 3, lm_weight)
    of_labels, of_text = parts(params, labels)
    assert loss == pytest.approx(of_labels + lm_weight * of_text, rel=1e-12)


@pytest.mark.parametrize("labels", [ONE, ANY], ids=["one", "any"])
@pytest.mark.parametrize("p_drop", [0.0, 0.3])
def test_gradients_of_every_leaf_are_the_derivatives(labels, p_drop, tiny):
    params, rng = with_head(tiny), np.random.default_rng(1)

    def loss_and_grads():
        return classifier.loss_and_grads(params, (ROWS, labels), 3, 0.5, p_drop, np.random.default_rng(2))

    _, grads = loss_and_grads()
    assert list(flatten(grads)) == list(flatten(params))
    for path, w in walk(params):
        step = 1e-5 * rng.standard_normal(w.shape)
        before, losses = w.copy(), []
        for sign in (1, -1):
            w += sign * step
            losses.append(loss_and_grads()[0])
            w[...] = before
        assert losses[0] - losses[1] == pytest.approx(2 * (flatten(grads)[path] * step).sum(), rel=1e-5), path


def test_what_the_head_sees_is_dropped_out_too(tiny, monkeypatch):
    """PyTorch computes what follows the model, whose own dropout is left out here, with the same mask."""
    torch = pytest.importorskip("torch")
    params, asked = with_head(tiny), []
    keep = 2.0 * (np.random.default_rng(5).random((3, 12)) < 0.5)

    def mask(shape, dtype, p_drop, rng):
        asked.append((shape, p_drop, rng))
        return keep

    def plain(ids, params, n_head, acts, p_drop, rng):
        return gpt2(ids, params, n_head, acts=acts)

    monkeypatch.setattr(classifier, "dropout_mask", mask)
    monkeypatch.setattr(classifier, "gpt2", plain)
    rng = np.random.default_rng(1)
    loss, grads = classifier.loss_and_grads(params, (ROWS, ONE), 3, 0.0, 0.5, rng)
    assert asked == [((3, 12), 0.5, rng)]
    last = []
    for row in ROWS:
        acts = []
        gpt2([row], params, 3, acts=acts)
        last.append(acts[-1]["ln_f"][0, -1])
    head = {name: torch.from_numpy(w.copy()).requires_grad_() for name, w in params["head"].items()}
    scores = torch.from_numpy(np.array(last) * keep) @ head["w"] + head["b"]
    theirs = torch.nn.functional.cross_entropy(scores, torch.from_numpy(ONE))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    for name, w in head.items():
        assert relative_error(grads["head"][name], w.grad.numpy()) < 1e-10, name


def test_a_head_is_drawn_as_gpt2s_matrices_are():
    head = classifier.init_head(200, 100, np.random.default_rng(0))
    assert head["w"].std() == pytest.approx(0.02, rel=0.02)
    assert abs(head["w"].mean()) < 0.001
    assert (head["b"].tolist(), head["w"].dtype, head["b"].dtype) == ([0] * 100, np.float32, np.float32)


def test_rows_are_scored_in_batches_to_the_last(tiny):
    params = with_head(tiny)
    rows = [row for row in ROWS for _ in range(3)]
    whole = classifier.score(params, rows, 3)
    for batch_size in (2, 3, 8, 9, 10):
        found = classifier.score(params, rows, 3, batch_size)
        np.testing.assert_allclose(found, whole, atol=1e-12)


@pytest.mark.parametrize("labels", [ONE, ANY], ids=["one", "any"])
def test_loss_and_gradients_are_pytorchs(labels, tiny):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from record import pytorch

    params = with_head(tiny)
    model = pytorch.hugging_face({path: w.copy() for path, w in walk(tiny.params)}, **pytorch.TINY)
    head = {name: torch.from_numpy(w.copy()).requires_grad_() for name, w in params["head"].items()}
    last, of_text = [], []
    for row in ROWS:
        ids = torch.tensor([row])
        last.append(model.transformer(ids).last_hidden_state[0, -1])
        of_text.append(
            torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="sum")
        )
    scores, targets = torch.stack(last) @ head["w"] + head["b"], torch.from_numpy(labels)
    if labels.ndim == 1:
        loss = torch.nn.functional.cross_entropy(scores, targets)
    else:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets.double())
    loss = loss + 0.5 * sum(of_text) / sum(len(row) - 1 for row in ROWS)
    loss.backward()
    theirs = pytorch.by_path(model, lambda parameter: parameter.grad)
    theirs |= {f"head.{name}": w.grad.numpy() for name, w in head.items()}
    ours, grads = classifier.loss_and_grads(params, (ROWS, labels), 3)
    assert ours == pytest.approx(loss.item(), rel=1e-12)
    assert theirs.keys() == flatten(grads).keys()
    for path, dx in walk(grads):
        assert relative_error(dx, theirs[path]) < 1e-10, path


def test_scores_do_not_depend_on_the_rows_beside_them(tiny):
    params = with_head(tiny)
    together = classifier.score(params, ROWS, 3)
    assert together.shape == (3, 4)
    np.testing.assert_allclose(classifier.score(params, ROWS, 3, batch_size=1), together, atol=1e-12)
    for row, scores in zip(ROWS, together, strict=True):
        acts = []
        gpt2([row], params, 3, acts=acts)
        np.testing.assert_allclose(ops.linear(acts[-1]["ln_f"][0, -1], **params["head"]), scores, atol=1e-12)


def test_binary_cross_entropy_does_not_overflow():
    scores, labels = np.array([[1000.0, -1000.0, 1000.0]]), np.array([[1.0, 0.0, 0.0]])
    assert classifier.binary_cross_entropy(scores, labels) == pytest.approx(1000 / 3)
    np.testing.assert_allclose(classifier.binary_cross_entropy_backward(1.0, scores, labels), [[0, 0, 1 / 3]])


@pytest.mark.parametrize("labels", [ONE, ANY], ids=["one", "any"])
def test_float32_stays_float32(labels, tiny32):
    params = tree_map(lambda w: w.view(NoFloat64), with_head(tiny32, np.float32))
    loss, grads = classifier.loss_and_grads(params, (ROWS, labels), 3, 0.5, 0.1, np.random.default_rng(0))
    assert loss.dtype == np.float32
    assert {dx.dtype for _, dx in walk(grads)} == {np.dtype(np.float32)}


W, B, LABELS = np.ones((12, 2), np.float32), np.ones(2, np.float32), dict(labels='["a", 3]', multi="false")


@pytest.mark.parametrize(
    ("head", "metadata"),
    [
        (dict(w=W, b=B), {}),
        (dict(w=W, b=B), dict(labels=LABELS["labels"])),
        (dict(w=W, b=B), LABELS | dict(labels="a, b")),
        (dict(w=W, b=B), LABELS | dict(labels="[" * 100_000)),
        (dict(w=W, b=B), LABELS | dict(labels='{"a": 0, "b": 1}')),
        (dict(w=W, b=B), LABELS | dict(labels='"ab"')),
        (dict(w=W, b=B), LABELS | dict(labels='["a"]')),
        (dict(w=W, b=B), LABELS | dict(labels='["a", "b", "c"]')),
        (dict(w=W, b=B), LABELS | dict(labels='["a", ["b"]]')),
        (dict(w=W[:, :0], b=B[:0]), LABELS | dict(labels="[]")),
        (dict(w=W, b=B), LABELS | dict(multi='"no"')),
        (dict(w=W), LABELS),
        (dict(w=W, b=B, x=B), LABELS),
        (dict(w=W[0], b=B), LABELS),
        (dict(w=W, b=B[:1]), LABELS),
        (dict(w=W.astype(np.float16), b=B), LABELS),
        (dict(w=W, b=narrow.to_bfloat16(B).view(narrow.BF16)), LABELS),
    ],
    ids=lambda x: str(x)[:40] if "labels" in x else "",
)
def test_what_is_no_head_is_one_line(tmp_path, head, metadata):
    safetensors.write(tmp_path / classifier.HEAD, head, metadata)
    with pytest.raises(
        ValueError, match=r"head\.safetensors is no head of a classifier, or damaged: train it"
    ):
        classifier.load_head(tmp_path)


def test_a_head_with_nan_is_one_line(tmp_path):
    safetensors.write(tmp_path / classifier.HEAD, dict(w=W * np.nan, b=B), LABELS)
    with pytest.raises(ValueError, match=r"head\.safetensors has NaN or infinity in w"):
        classifier.load_head(tmp_path)


def test_a_head_is_saved_and_read_back(tmp_path):
    head = classifier.init_head(12, 4, np.random.default_rng(0))
    classifier.save_head(tmp_path, head, ["Baum", "Nesbit", 3, "é"], False)
    again, names, multi = classifier.load_head(tmp_path)
    assert (names, multi) == (["Baum", "Nesbit", 3, "é"], False)
    assert all(np.array_equal(again[name], head[name]) for name in head)
