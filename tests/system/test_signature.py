"""Flags as signatures tell them: what is allowed, what the help says, what a dataclass makes of it."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

import pytest

from picogpt import cli
from picogpt.evaluate import cli as evaluate
from picogpt.explain import cli as explain
from picogpt.finetune import classify
from picogpt.finetune import cli as finetune
from picogpt.projects import adder, chars, images, masked_images, sorter, words
from picogpt.sizing import cli as sizing
from picogpt.system import command
from picogpt.system.signature import (
    CALL,
    FREE,
    Flag,
    OneOf,
    Range,
    Section,
    Usual,
    help_lines,
    names_of,
    parameters,
)
from picogpt.train import cli as train

COMMANDS = [
    cli.continue_text,
    evaluate.evaluate,
    explain.explain,
    sizing.sizing,
    train.train,
    finetune.finetune,
]
COMMANDS += [classify.classify, adder.adder, sorter.sorter, words.words, chars.chars, images.images]
COMMANDS += [masked_images.masked_images]


@dataclass(kw_only=True)
class Common:
    seed: Annotated[int, Range(0, below=2**31), "of the draws"] = 7
    tokens: int = 0


@dataclass
class Bakery(Common):
    flour: Annotated[str, "what bread is made of"]
    _: KW_ONLY
    out: Annotated[str, CALL, "FOLDER", "where the bread goes"] = "bread"
    salt: Annotated[float | None, Range(above=0), Usual(0.02), "share of salt"] = None
    crust: Annotated[
        Annotated[str, "crust"], OneOf("thin", "thick"), FREE, Section("the look"), "{}, or thick"
    ] = "thin"
    slice: Annotated[bool, "slice it"] = False


def bake(bakery: Bakery):
    """Note what is baked."""
    command.check(bake, bakery)
    bake.baked = bakery


def test_the_help_is_made_of_the_annotations():
    assert "\n".join(help_lines(bake)).split("\n") == [
        "  FLOUR               what bread is made of",
        "  --out FOLDER        where the bread goes (bread)",
        "  --salt X            share of salt (0.02)",
        "",
        " the look",
        "  --crust NAME        thin, or thick",
        "  --slice             slice it",
        "  --seed N            of the draws (7)",
    ]
    assert (names_of(bake, CALL), names_of(bake, CALL, FREE)) == ({"out"}, {"out", "crust"})


def test_a_command_gets_the_dataclass_of_its_flags(call_command):
    done = call_command(bake, "rye", "--salt", "0.1", "--slice")
    assert done == (0, "", "")
    assert bake.baked == Bakery("rye", salt=0.1, slice=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rye", "--salt=0"], "--salt must be more than 0 and finite, not 0.0"),
        (["rye", "--salt=nan"], "--salt must be more than 0 and finite, not nan"),
        (["rye", "--salt=inf"], "--salt must be more than 0 and finite, not inf"),
        (["rye", "--crust=soft"], "--crust must be thin or thick, not soft"),
        (["rye", "--seed=-1"], "--seed must be at least 0 and less than 2**31, not -1"),
        (["rye", "--tokens=1"], "there is no flag --tokens; a text that begins with - goes after --"),
        ([], "FLOUR is missing"),
    ],
)
def test_what_is_not_allowed_is_named(words, said, call_command):
    assert call_command(bake, *words) == (2, "", f"picogpt: {said} (--help shows all flags)\n")


def test_ranges_end_where_they_say():
    assert [n in Range(1, below=3) for n in (0, 1, 2, 3, math.nan)] == [False, True, True, False, False]
    assert [x in Range(above=0) for x in (0.0, 1e-30, math.inf)] == [False, True, False]


@pytest.mark.parametrize("function", COMMANDS, ids=lambda function: function.__name__)
def test_each_flag_of_each_command_has_a_meaning_and_a_default_that_is_allowed(function):
    page = command.page(function)
    assert "{flags}" not in page
    for name, flag in parameters(function).items():
        assert flag.meaning.strip("() "), name
        assert (name.upper() if flag.by_place else f"--{name}") in page
        assert flag.default is None or flag.allowed is None or flag.usual in flag.allowed, name


def test_of_several_notes_of_a_kind_the_last_one_counts():
    notes = [Range(1), "A", "one", Usual(2), Range(0, below=5), "B", "two", Usual(3)]
    flag = Flag("n", int, 1, False, notes)
    assert (flag.allowed, flag.usual) == (Range(0, below=5), 3)
    assert (flag.placeholder, flag.meaning) == ("B", "two (3)")
