"""A model that is led step by step learns as `picogpt.train` would have it learn."""

import functools
import math

import numpy as np
import pytest

from picogpt.explain import cli, learning
from picogpt.explain.insides import attention_maps
from picogpt.gpt2 import gpt2
from picogpt.train import cli as training
from picogpt.train import trainer
from picogpt.train.journal import LOG, read_log
from picogpt.train.settings import Settings
from picogpt.train.state import STATE, load_state

TINY = dict(n_layer=2, n_head=2, n_embd=8, n_ctx=8, batch_size=2, eval_batches=1, warmup=2)
TINY |= dict(steps=7, eval_every=4)


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a small model's learning in a folder; all of them end after the test."""
    (tmp_path / "text.txt").write_text("the cat sat on the mat, and the dog sat on the log. " * 20)
    monkeypatch.setattr(cli, "Settings", functools.partial(Settings, **TINY))
    begun = []

    def begin(name):
        begun.append(cli.begin_learning(str(tmp_path / "text.txt"), str(tmp_path / name)))
        return begun[-1]

    yield begin
    for each in begun:
        if not each.ends:
            each.end()


def losses(folder):
    """The step, loss, rate and held-out loss in each line of a log, as far as the line has them."""
    names = "step", "loss", "lr", "val_loss"
    return [[record.get(name) for name in names] for record in read_log(folder / LOG)]


def finish(led):
    led.do("start")
    led.thread.join(60)
    assert led.done and not led.may_go.is_set()


def test_steps_are_those_of_a_training_and_it_is_saved_as_often_and_at_the_end(begin, tmp_path):
    training.train(Settings(str(tmp_path / "text.txt"), out=str(tmp_path / "whole"), sample_every=0, **TINY))
    led = begin("led")
    assert not (tmp_path / "led").exists()
    for n in (1, 2):
        led.do("step")
        assert (led.state["step"], led.done, led.may_go.is_set()) == (n, False, False)
    finish(led)
    assert losses(tmp_path / "led") == losses(tmp_path / "whole")[1:]  # but for the evaluation at step 0
    saved = [load_state(tmp_path / name / STATE, {}) for name in ("led", "whole")]
    assert [state["step"] for state in saved] == [7, 7]
    np.testing.assert_array_equal(*(state["params"]["wte"] for state in saved))


def test_another_rate_scales_that_of_every_step(begin, tmp_path):
    plain, halved = begin("plain"), begin("halved")
    halved.do("rate", plain.c.lr / 2)
    for each in (plain, halved):
        finish(each)
    rates = [[line[2] for line in losses(tmp_path / name) if line[1]] for name in ("plain", "halved")]
    np.testing.assert_allclose(rates[1], np.array(rates[0]) / 2, rtol=1e-12)
    assert len({*rates[0]}) > 4  # as it rises and falls


@pytest.mark.parametrize("rate", [0, 1, 1.0, -0.1, 2, math.nan, "0.1", None])
def test_a_rate_is_more_than_0_and_less_than_1(rate, begin):
    led = begin("led")
    with pytest.raises(ValueError, match="a learning rate must be more than 0 and less than 1"):
        led.do("rate", rate)
    assert led.rate == led.c.lr
    led.do("rate", 0.999)
    assert led.rate == 0.999


def test_what_ends_before_a_step_leaves_nothing_and_after_one_what_goes_on(begin, tmp_path):
    begin("none").end()
    assert not (tmp_path / "none").exists()
    led = begin("led")
    led.do("step")
    led.end()
    assert load_state(tmp_path / "led" / STATE, {})["step"] == 1
    again = begin("led")
    assert again.state["step"] == 1
    finish(again)
    assert [line[0] for line in losses(tmp_path / "led") if line[1]] == [*range(1, 8)]


def test_an_error_is_reported_and_nothing_is_saved_after_it(begin, tmp_path, monkeypatch):
    led = begin("led")
    led.do("step")

    def diverges(*_):
        raise ValueError("the gradient at step 1 is nan")

    monkeypatch.setattr(trainer, "update", diverges)
    led.do("step")
    led.thread.join(60)
    report = led.report()
    assert (report["error"], report["running"]) == ("the gradient at step 1 is nan", False)
    before = (tmp_path / "led" / STATE).read_bytes()
    led.end()
    assert (tmp_path / "led" / STATE).read_bytes() == before


def test_the_report_has_the_newest_texts_and_a_curve_that_ends_with_the_newest_step(begin, monkeypatch):
    monkeypatch.setattr(learning, "POINTS", 3)
    led = begin("led")
    for _ in range(7):
        led.do("step")
    led.thread.join(60)
    report = led.report()
    assert [step for step, _ in report["texts"]] == [2, 3, 4, 5, 6, 7]
    assert [step for step, _ in report["curve"]] == [1, 3, 5, 7, 7]
    assert report["curve"] == [[step, dict(led.curve)[step]] for step in (1, 3, 5, 7, 7)]
    acts = []
    gpt2([led.prompt], led.state["params"], 2, acts=acts)
    expected = attention_maps(led.state["params"], acts) * 255
    assert led.attention.dtype == np.uint8 and np.abs(led.attention - expected).max() <= 0.5 + 1e-4
    largest = [length for _, length in report["lengths"]["neurons"]]
    assert len(largest) == 8 and largest == sorted(largest, reverse=True) and largest[0] > 0
