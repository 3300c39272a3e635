"""The whole idea on one page: equal to PyTorch, and to the files that say the same again."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from compare import NoFloat64, gradient_error, relative_error

from picogpt import grad, pico
from picogpt.checkpoints import weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, nest, tree_map, walk

SHAKESPEARE = Path(__file__).parents[1] / "data" / "tinyshakespeare.txt"


def rows(x):
    """Return [B, T, n] as the rows [N, n] that pico.py computes on."""
    return x.reshape(-1, x.shape[-1])


def grads_of(params, ids, targets, n_head):
    """Return the gradients, also where targets of -1 do not count: pico.py's, from the logits on."""
    logits, back = pico.gpt2(ids, params, n_head)
    dlogits = grad.cross_entropy_backward(1.0, logits.reshape(*ids.shape, -1), targets)
    return back(rows(dlogits))


def assert_same_tree(ours, theirs, bound):
    """Fail where two trees have other names, or arrays further apart than `bound`, relatively."""
    theirs = flatten(theirs)
    assert set(flatten(ours)) == set(theirs)
    for path, array in walk(ours):
        assert array.shape == theirs[path].shape, path
        size = max(np.linalg.norm(theirs[path]), 1e-6 * np.sqrt(array.size))  # the keys' biases have none
        assert np.linalg.norm(array - theirs[path]) < bound * size, path


@pytest.fixture(scope="module")
def tales():
    params, hparams, encoder = weights.load("tales")
    return params, hparams["n_head"], encoder


# PyTorch says the same


@pytest.mark.parametrize("name", ["linear", "layer_norm"])
def test_operations_with_arrays_are_pytorchs(name, pytorch_says):
    r = pytorch_says["operations"][name]
    arrays = {key: r[key] for key in ("w", "g", "b") if key in r}
    y, back = getattr(pico, name)(rows(r["x"]), **arrays)
    dx, grads = back(rows(r["dy"]))
    assert relative_error(y, rows(r["y"])) < 1e-12
    assert relative_error(dx, rows(r["dx"])) < 1e-12
    assert set(grads) == set(arrays)
    for key, dw in grads.items():
        assert relative_error(dw, r[f"d{key}"]) < 1e-12, key


def test_gelu_is_pytorchs(pytorch_says):
    r = pytorch_says["operations"]["gelu"]
    y, back = pico.gelu(r["x"])
    assert relative_error(y, r["y"]) < 1e-12
    assert relative_error(back(r["dy"]), r["dx"]) < 1e-12


def test_softmax_is_pytorchs(pytorch_says):
    r = pytorch_says["operations"]["softmax"]
    assert relative_error(pico.softmax(r["x"]), r["y"]) < 1e-12


def test_attention_is_pytorchs(pytorch_says):
    r = pytorch_says["operations"]["attention"]  # [B, H, T, D]

    def side_by_side(*heads):
        merged = [x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1) for x in heads]
        return rows(np.concatenate(merged, axis=-1))

    y, back = pico.attention(side_by_side(r["q"], r["k"], r["v"]), n_head=3, T=7)
    assert relative_error(y, side_by_side(r["y"])) < 1e-12
    assert relative_error(back(side_by_side(r["dy"])), side_by_side(r["dq"], r["dk"], r["dv"])) < 1e-12


def test_logits_are_hugging_faces(tiny, tiny32, pytorch_says):
    for model, bound in ((tiny, 1e-12), (tiny32, 1e-5)):
        logits, _ = pico.gpt2(model.ids, model.params, model.n_head)
        assert logits.dtype == model.params["wte"].dtype
        assert np.abs(logits - rows(pytorch_says["tiny"]["logits"])).max() < bound


def test_loss_is_that_of_hugging_faces_logits(tiny, pytorch_says):
    targets = np.maximum(tiny.targets, 0)
    logits = pytorch_says["tiny"]["logits"]
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    loss, _ = pico.loss_and_grads(tiny.params, tiny.ids, targets, tiny.n_head)
    assert abs(loss + np.take_along_axis(log_p, targets[..., None], axis=-1).mean()) < 1e-12


def test_gradients_are_pytorchs(tiny, pytorch_says):
    grads = grads_of(tiny.params, tiny.ids, tiny.targets, tiny.n_head)
    assert_same_tree(grads, pytorch_says["tiny"]["grads"], 1e-9)


def test_ten_steps_of_adamw_follow_pytorch(tiny, pytorch_says):
    theirs = pytorch_says["training"]["unclipped64"]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in pico.leaves(tiny.params)]
    for step, (ids, targets) in enumerate(zip(theirs["ids"], theirs["targets"], strict=True), start=1):
        grads = grads_of(tiny.params, ids, targets, tiny.n_head)
        pico.adamw_step(tiny.params, grads, moments, step, lr=0.01)
    for path, w in walk(theirs["params"]):
        assert relative_error(flatten(tiny.params)[path], w) < 1e-9, path


def test_greedy_text_is_hugging_faces(tiny, pytorch_says):
    theirs = pytorch_says["continuations"]
    for prompt, new in zip(theirs["prompts"].tolist(), theirs["new"].tolist(), strict=True):
        assert list(pico.generate(prompt, tiny.params, tiny.n_head, 7)) == new


# The files that say the same again


def test_loss_and_gradients_are_those_of_grad(tiny, tiny32):
    for model, bound in ((tiny, 1e-12), (tiny32, 1e-4)):
        batch = model.ids, np.maximum(model.targets, 0)
        loss, grads = pico.loss_and_grads(model.params, *batch, model.n_head)
        again, grads_again = grad.loss_and_grads(model.params, *batch, model.n_head)
        assert abs(loss - again) < bound
        assert_same_tree(grads, grads_again, bound)


def test_gradients_are_the_slopes_of_the_loss(tiny):
    targets = np.maximum(tiny.targets, 0)
    _, grads = pico.loss_and_grads(tiny.params, tiny.ids, targets, tiny.n_head)
    for path, w in walk(tiny.params):

        def loss(w, path=path):
            params = nest(flatten(tiny.params) | {path: w})
            return pico.loss_and_grads(params, tiny.ids, targets, tiny.n_head)[0]

        if not path.endswith("c_attn.b"):  # a third of it, the keys', changes no loss
            assert gradient_error(loss, w, flatten(grads)[path]) < 1e-6, path


def test_the_bundled_model_says_the_same(tales):
    params, n_head, encoder = tales
    ids = encoder.encode("There was once a poor woodcutter who lived with his wife")
    logits, _ = pico.gpt2(np.array([ids]), params, n_head)
    again = gpt2([ids], params, n_head)[0]
    assert np.abs(logits - again).max() < 1e-4 * np.abs(again).max()
    assert [list(pico.generate(ids, params, n_head, 40))] == generate(params, n_head, [ids], 40)
    batch = np.array([ids[:-1]]), np.array([ids[1:]])
    loss, grads = pico.loss_and_grads(params, *batch, n_head)
    loss_again, grads_again = grad.loss_and_grads(params, *batch, n_head)
    assert abs(loss - loss_again) < 1e-5
    assert_same_tree(grads, grads_again, 1e-3)


def test_all_arithmetic_is_in_float32(tiny32):
    params = tree_map(lambda w: w.view(NoFloat64), tiny32.params)
    targets = np.maximum(tiny32.targets, 0)
    loss, grads = pico.loss_and_grads(params, tiny32.ids, targets, tiny32.n_head)
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in pico.leaves(params)]
    pico.adamw_step(params, grads, moments, 1, lr=0.01)
    assert loss.dtype == np.float32
    for tree in (params, grads):
        assert {w.dtype for _, w in walk(tree)} == {np.dtype(np.float32)}


def test_text_goes_on_beyond_the_context(tiny):
    ids = list(pico.generate([3], tiny.params, tiny.n_head, 30))
    window = ids[-12:-1]  # all 11 positions
    assert ids[-1] == gpt2([window], tiny.params, tiny.n_head)[0, -1].argmax()


# The page itself


def test_it_is_one_page_and_needs_numpy_alone():
    source = Path(pico.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 150
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported - sys.stdlib_module_names == {"numpy"}


def test_main_learns_a_text_and_goes_on_with_it(tmp_path, capsys):
    verse = "the quick brown fox jumps over the lazy dog.\n"
    Path(tmp_path, "verse.txt").write_text(verse * 20)
    pico.main(str(tmp_path / "verse.txt"), steps=200, B=4, n_layer=1)
    first, last, text = capsys.readouterr().out.split("\n", 2)
    assert first.startswith("step 100 of 200: loss ")
    assert last.startswith("step 200 of 200: loss ")
    assert float(last.split()[-1]) < 0.3  # from 3.3, the logarithm of the number of letters
    assert text.count(verse) > 3
    assert len(text) == 501


def test_main_trains_a_small_gpt2_on_windows_of_the_text(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(pico, "loss_and_grads", lambda params, *batch: seen.append((params, batch)) or exit())
    with pytest.raises(SystemExit):
        pico.main(str(SHAKESPEARE))
    [(params, (ids, targets, n_head))] = seen
    hparams = dict(n_vocab=65, n_ctx=32, n_embd=64, n_head=n_head, n_layer=2)
    assert {path: w.shape for path, w in walk(params)} == flatten(param_shapes(**hparams))
    assert {w.dtype for _, w in walk(params)} == {np.dtype(np.float32)}
    for path, w in walk(params):
        wanted = dict(g=(1, 0), b=(0, 0)).get(path.rpartition(".")[2], (0, 0.02))  # mean, standard deviation
        assert np.abs(np.subtract((w.mean(), w.std()), wanted)).max() < 0.002, path
    assert ids.shape == targets.shape == (32, 32)
    assert np.array_equal(ids[:, 1:], targets[:, :-1])
    text = SHAKESPEARE.read_text()
    chars = sorted(set(text))
    assert all("".join(chars[i] for i in row) in text for row in ids[:4])


@pytest.mark.parametrize("content", [None, "", "too short"])
def test_a_text_that_is_missing_or_too_short_is_one_clear_line(content, tmp_path):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit) as end:
        pico.main(str(path))
    said = f"picogpt: {path} is no text of more than 32 characters: python -m picogpt.pico TEXT.txt"
    assert end.value.code == said
