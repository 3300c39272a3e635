"""The presets have the parameters that were published."""

import numpy as np
import pytest

from picogpt.gpt2 import gpt2
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.sizing.presets import PRESETS, preset

EXACT = {
    "openai-gpt": 116_534_784,  # Hugging Face's
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}
MILLIONS = {  # of the papers, as far as they are given
    "gpt3-125M": 125,  # Brown et al. 2020, table D.1
    "gpt3-350M": 356,
    "gpt3-760M": 760,
    "gpt3-1.3B": 1320,
    "gpt3-2.7B": 2650,
    "gpt3-6.7B": 6660,
    "gpt3-13B": 12850,
    "gpt3-175B": 174600,
    "gopher-44m": 44,  # Rae et al. 2021, table 1; relative positions are among them
    "igpt-s": 76,  # Chen et al. 2020, section 3.2 and image-gpt
    "igpt-m": 455,
    "igpt-l": 1362,
    "igpt-xl": 6801,
}
TEXTS = {  # minGPT's own: tasks with so many tokens and places
    ("gpt-nano", 3, 11): 85_584,  # its demo, sorting
    ("gpt-nano", 10, 6): 85_680,  # its adder
    ("gpt-mini", 65, 128): 2_706_624,  # its characters
    ("gpt-micro", 65, 128): 4 * (12 * 128**2 + 13 * 128) + (65 + 128 + 2) * 128,
}


HEADS = {  # of the same papers; the counts do not tell them
    "openai-gpt": 12,
    "gpt2": 12,
    "gpt2-medium": 16,
    "gpt2-large": 20,
    "gpt2-xl": 25,
    "gpt3-125M": 12,  # Brown et al. 2020, table 2.1; XL: see sizing/presets.py
    "gpt3-350M": 16,
    "gpt3-760M": 16,
    "gpt3-1.3B": 16,
    "gpt3-2.7B": 32,
    "gpt3-6.7B": 32,
    "gpt3-13B": 40,
    "gpt3-175B": 96,
    "gopher-44m": 16,
    "gpt-mini": 6,
    "gpt-micro": 4,
    "gpt-nano": 3,
    "igpt-s": 8,
    "igpt-m": 8,
    "igpt-l": 16,
    "igpt-xl": 16,
}


def test_heads_are_the_published_ones():
    assert {name: preset["n_head"] for name, preset in PRESETS.items()} == HEADS


def test_counts_are_the_published_ones():
    assert {name: n_params(PRESETS[name]) for name in EXACT} == EXACT
    for name, millions in MILLIONS.items():
        bound = 0.04 if name == "gopher-44m" else 0.01
        assert n_params(PRESETS[name]) == pytest.approx(millions * 1e6, rel=bound), name
    for (name, n_vocab, n_ctx), n in TEXTS.items():
        assert n_params(PRESETS[name] | dict(n_vocab=n_vocab, n_ctx=n_ctx)) == n
    assert PRESETS.keys() == EXACT.keys() | MILLIONS.keys() | {name for name, _, _ in TEXTS}


@pytest.mark.parametrize(
    ("n", "shape"),
    [
        (400_128, dict(n_vocab=10, n_ctx=6, n_embd=128, n_head=4, n_layer=2)),  # play_math
        (25_352_192, dict(n_vocab=65, n_ctx=128, n_embd=512, n_head=8, n_layer=8)),  # play_char
        (10_001_664, dict(n_vocab=512, n_ctx=1023, n_embd=256, n_head=8, n_layer=12)),  # play_image
    ],
)
def test_minGPTs_notebooks_have_as_many_parameters_as_they_report(n, shape):
    assert n_params(dict(**shape, tied=False)) == n


def test_gpt3s_table_is_settled_by_its_counts():
    assert n_params(PRESETS["gpt3-13B"] | dict(n_embd=5140, n_head=4)) > 12.93e9  # and 12.85e9 were published
    assert PRESETS["gpt3-1.3B"]["n_embd"] == 16 * 128 != 24 * 128


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_model(name):
    whole = dict(n_vocab=17, n_ctx=8) | PRESETS[name]
    check_hparams(whole)
    small = whole | dict(n_vocab=17, n_ctx=8, n_layer=2, n_embd=2 * whole["n_head"])
    params = init_params(small, np.random.default_rng(0))
    assert gpt2([[1, 2, 3]], params, small["n_head"]).shape == (1, 3, 17)


def test_a_name_that_is_none_is_reported():
    with pytest.raises(
        ValueError, match=r"'gpt-pico' is not a preset; there are openai-gpt, gpt2, .*igpt-xl"
    ):
        preset("gpt-pico")
