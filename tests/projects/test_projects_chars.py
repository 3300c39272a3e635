"""The character project: its recipes are the ancestors' to the number, and it stops, resumes and reports."""

import importlib.util
import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from strict_array import StrictArray

from picogpt.checkpoints import weights
from picogpt.params.shapes import n_params
from picogpt.params.tree import flatten
from picogpt.projects import chars
from picogpt.text import data
from picogpt.text.chars import CharEncoder
from picogpt.train import optim, runs
from picogpt.train.journal import LOG, read_log
from picogpt.train.schedule import rate

TINY = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=50)


@pytest.fixture(scope="module")
def text():
    return data.read_text(runs.SHAKESPEARE)


@pytest.fixture
def short(tmp_path, text):
    path = tmp_path / "short.txt"
    path.write_text(text[:2000], encoding="utf-8")
    return str(path)


def settings(recipe, text):
    return chars.settings(recipe, text, CharEncoder.from_text(text), {}, {}, seed=0)


@pytest.mark.parametrize(
    ("recipe", "parameters"), [("nanogpt", 804_096), ("mingpt", 9_590_272), ("tuned", 9_983_488)]
)
def test_a_model_has_as_many_parameters_as_its_ancestor_reports(text, recipe, parameters):
    assert n_params(settings(recipe, text).hparams) == parameters


def test_the_rates_are_the_printed_ones_of_minGPT_tuned(text):
    c = settings("tuned", text)
    assert c.windows == 8647
    tokens = [chars.windows_by(epoch * c.per_epoch, c) * 128 for epoch in chars.EPOCHS]
    assert [f"{rate(c, 0, n):e}" for n in tokens] == chars.LR.split()


def test_what_minGPT_begins_with_and_what_of_it_decays(text):
    """Its _init_weights: N(0, 0.02) everywhere; its optimiser's groups: all but biases and layer norms."""
    c = settings("tuned", text)
    began = flatten(chars.initial(c, 0))
    assert not began["wpe"].any()
    for path, w in began.items():
        if path.endswith((".w", "wte", "lm_head")):
            assert w.std() == pytest.approx(0.02, rel=0.02), path
    kept = {path for path, w in began.items() if w.size and not optim.DECAYS[c.decay](path, w)}
    assert kept == {path for path in began if path.endswith((".b", ".g"))}
    assert (c.weight_decay, c.beta1, c.beta2, c.clip, c.dropout) == (0.1, 0.9, 0.95, 1.0, 0.1)
    nano = settings("nanogpt", text)
    own = chars.initial(nano, 0)["blocks"][0]["mlp"]["c_proj"]["w"]
    assert own.std() == pytest.approx(0.02 / math.sqrt(8), rel=0.02)


def test_an_epoch_has_its_windows_and_the_last_batch_what_is_left():
    c = SimpleNamespace(windows=10, batch_size=4, per_epoch=3)
    assert np.diff([chars.windows_by(step, c) for step in range(7)]).tolist() == [4, 4, 2, 4, 4, 2]


@pytest.mark.parametrize("recipe", ["nanogpt", "mingpt", "tuned"])
def test_a_recipe_learns_and_leaves_a_model_and_a_result(recipe, short, tmp_path):
    chars.chars(short, recipe=recipe, out=str(tmp_path / "run"), epochs=2, lr=0.01, **TINY)
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    _, hparams, encoder = weights.load(tmp_path / "run")
    assert hparams == result["settings"]["hparams"]
    assert encoder.encode(result["results"]["sample"])
    lines = read_log(tmp_path / "run" / LOG)
    assert [line["step"] for line in lines] == [*range(1, result["settings"]["steps"] + 1)]
    c = SimpleNamespace(**result["settings"])
    assert [line["tokens"] for line in lines] == [8 * chars.windows_by(line["step"], c) for line in lines]
    assert lines[0]["loss"] == pytest.approx(math.log(encoder.n_vocab), abs=0.1)
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.1
    results, part = result["results"], [line["loss"] for line in lines[-result["settings"]["per_epoch"] :]]
    if recipe == "nanogpt":
        assert [*results[chars.HELD_OUT]] == ["250", "500"]
        assert results["protocol"] == "20 batches of 50 windows held out, one seed"
    else:
        assert results[chars.LAST]["2"] == part[-1]
        assert results["mean loss of the epoch"]["2"] == pytest.approx(np.mean(part))


@pytest.mark.parametrize(("minutes", "seconds"), [(2.0, 120), (0.0, math.inf)])
def test_minutes_have_sixty_seconds_and_none_are_no_limit(minutes, seconds, short, tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def see(run, state, c, splits, limit, device):
        raise Seen(limit)

    monkeypatch.setattr(chars, "train", see)
    with pytest.raises(Seen) as seen:
        chars.chars(short, out=str(tmp_path / "run"), minutes=minutes, **TINY)
    assert seen.value.args == (seconds,)


def test_a_stopped_training_says_how_far_it_came_and_resumes_to_the_same_model(short, tmp_path, capsys):
    whole, stopped = str(tmp_path / "whole"), str(tmp_path / "stopped")
    flags = dict(recipe="mingpt", epochs=1, **TINY)
    chars.chars(short, out=whole, **flags)
    chars.chars(short, out=stopped, minutes=1e-9, **flags)  # after one update
    assert "stopped after: 0 epochs and 1 updates, of 1 epochs of 5" in capsys.readouterr().out
    chars.chars(short, out=stopped, resume=True, **flags)
    files = [(tmp_path / run / weights.WEIGHTS).read_bytes() for run in ("whole", "stopped")]
    assert files[0] == files[1]
    losses = [[line["loss"] for line in read_log(tmp_path / run / LOG)] for run in ("whole", "stopped")]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(prompt="Café"), "the model does not know 'é', only the characters"),
        (dict(n_ctx=5000), "a window takes 5001: give a longer file or a smaller --n_ctx$"),
    ],
)
def test_what_the_text_does_not_allow_is_refused_before_the_training(wrong, said, short, tmp_path):
    with pytest.raises(ValueError, match=said):
        chars.chars(short, out=str(tmp_path / "run"), **TINY | wrong)
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_is_none_is_named(short, tmp_path, caplog):
    with pytest.raises(SystemExit):
        chars.chars(short, recipe="gpt5", out=str(tmp_path / "run"))
    assert "--recipe must be nanogpt or mingpt or tuned or text8 or enwik8, not gpt5" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("minutes", -1.0), ("dropout", 1.0), ("batch_size", 0), ("lr", math.nan)]
)
def test_a_number_out_of_range_is_named(name, value, short, tmp_path, caplog):
    with pytest.raises(SystemExit):
        chars.chars(short, out=str(tmp_path / "run"), **TINY | {name: value})
    assert f"--{name} must be at least " in caplog.text
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_a_gpu_needs_cupy(short, tmp_path):
    with pytest.raises(ValueError, match="--device gpu needs CuPy"):
        chars.chars(short, device="gpu", out=str(tmp_path / "run"), **TINY)
    assert not (tmp_path / "run").exists()


def test_a_training_on_a_gpu_computes_there_and_leaves_what_one_on_a_cpu_does(short, tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    generators = SimpleNamespace(
        default_rng=lambda seed: SimpleNamespace(random=lambda *args: StrictArray(generator.random(*args)))
    )
    cupy = SimpleNamespace(asarray=lambda a: StrictArray(np.array(a)), random=generators)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    chars.chars(short, recipe="tuned", out=str(tmp_path / "dropout"), device="gpu", epochs=1, **TINY)
    losses, trees = [], []
    for device in ("cpu", "gpu"):
        folder = tmp_path / device
        chars.chars(short, recipe="tuned", out=str(folder), device=device, epochs=1, dropout=0.0, **TINY)
        losses.append([line["loss"] for line in read_log(folder / LOG)])
        trees.append(flatten(weights.load(folder)[0]))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for path, leaf in trees[0].items():
        np.testing.assert_allclose(leaf, trees[1][path], atol=1e-4, err_msg=path)
