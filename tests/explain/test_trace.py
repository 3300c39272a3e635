"""The lines that are shown are those that ran, and stand in the source where they are said to."""

import sys
from pathlib import Path

import numpy as np
import pytest

from picogpt import gpt2, ops
from picogpt.descendants import erf, tricks
from picogpt.explain import trace
from picogpt.params.init import init_params
from picogpt.params.shapes import param_shapes

MODULES = [gpt2, ops, tricks, erf]
HPARAMS = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)


def steps_of(**options):
    params = init_params(HPARAMS | options, np.random.default_rng(0))
    return trace.follow(lambda: gpt2.gpt2([[1, 2, 3, 4, 5]], params, 3), MODULES)


def test_every_text_stands_at_its_line_of_its_file():
    files = {Path(module.__file__).name: Path(module.__file__) for module in MODULES}
    steps = steps_of()
    assert len(steps) > 50
    for step in steps:
        lines = files[step["file"]].read_text(encoding="utf-8").splitlines()[step["line"] - 1 :]
        said = step["text"].splitlines()
        assert [line.strip() for line in lines[: len(said)]] == [line.strip() for line in said]


def test_the_shapes_are_those_that_the_model_makes():
    made = {(step["function"], name): shape for step in steps_of() for name, shape in step["made"]}
    assert made["self_attention", "q"] == [1, 3, 5, 4]
    assert made["attention_weights", "scores"] == [1, 3, 5, 5]
    assert made["feed_forward", 'act["gelu"]'] == [1, 5, 48]
    assert made["transformer_block", 'act["ln_1"]'] == [1, 5, 12]
    assert made["gpt2", "x"] == [1, 5, 12]
    assert made["gpt2", "return"] == [1, 5, 17]


def test_a_loop_is_followed_once_and_counted():
    steps = steps_of()
    calls = [step for step in steps if step["text"].startswith("x = transformer_block(")]
    assert [step["times"] for step in calls] == [HPARAMS["n_layer"]]
    assert sum(step["function"] == "feed_forward" for step in steps) == 3


def test_calls_stand_inside_the_line_that_calls():
    depths = {(step["function"], step["depth"]) for step in steps_of()}
    assert {
        ("gpt2", 0),
        ("transformer_block", 1),
        ("self_attention", 2),
        ("attend", 3),
        ("attention", 4),
    } <= depths
    assert ("attention_weights", 5) in depths


def test_what_only_passes_an_array_on_is_no_step():
    assert not {"dropout", "dropout_mask", "check"} & {step["function"] for step in steps_of()}


@pytest.mark.parametrize(
    ("options", "function"),
    [
        (dict(gelu="erf"), "gelu_erf"),
        (dict(gelu="quick"), "gelu_quick"),
        (dict(time_mixing=True), "mix_time"),
        (dict(time_weighting="circulant"), "time_weights"),
    ],
    ids=str,
)
def test_the_lines_are_those_of_the_models_kind(options, function):
    assert function in {step["function"] for step in steps_of(**options)}
    assert param_shapes(**HPARAMS | options)  # the option exists


def test_following_changes_no_result_and_ends_with_the_call():
    params = init_params(HPARAMS, np.random.default_rng(0))
    results = []
    trace.follow(lambda: results.append(gpt2.gpt2([[1, 2]], params, 3)), MODULES)
    np.testing.assert_array_equal(results[0], gpt2.gpt2([[1, 2]], params, 3))

    before = trace.sys.gettrace()
    with pytest.raises(ValueError, match="token id 99"):
        trace.follow(lambda: gpt2.gpt2([[99]], params, 3), MODULES)
    assert trace.sys.gettrace() is before


def test_who_followed_the_program_before_follows_it_again():
    def tracer(*_):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        trace.follow(lambda: None, [])
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is tracer
