"""How a descendant of GPT-2 may differ from it: one field for each option; docs/options.md explains them.

An option is a hyper-parameter, which hparams.json leaves out where it is as in GPT-2, and a flag of
`picogpt.train` and `picogpt.sizing`, where None means not given. What it does is in descendants/.
"""

import dataclasses
from typing import Annotated

from picogpt.system.flags import Whole
from picogpt.system.signature import OneOf, Usual, parameters


@dataclasses.dataclass(kw_only=True)
class Options:
    """The options: for each the values that it may have, GPT-2's, and what it means."""

    bias: Annotated[bool | None, Usual(True), "whether linear layers and layer norms have biases"] = None
    tied: Annotated[bool | None, Usual(True), "whether the token embedding is the output head too"] = None
    positions: Annotated[
        str | None,
        OneOf("learned", "rotary", "alibi", "none"),
        Usual("learned"),
        "how positions are encoded: learned, as embeddings; rotary, by rotating queries and keys; alibi, as a"
        " bias by distance; or none",
    ] = None
    norm: Annotated[
        str | None,
        OneOf("pre", "post"),
        Usual("pre"),
        "pre: before each part, GPT-2's; post: after it, GPT-1's",
    ] = None
    rms: Annotated[
        bool | None, Usual(False), "whether norms divide by the root mean square, without mean and bias"
    ] = None
    rezero: Annotated[
        bool | None, Usual(False), "whether a learned factor, at first 0, multiplies what each block adds"
    ] = None
    activation: Annotated[
        str | None,
        OneOf("gelu", "relu", "silu", "tanh"),
        Usual("gelu"),
        "of the feed-forward layers: gelu, relu, silu or tanh",
    ] = None
    gelu: Annotated[
        str | None,
        OneOf("tanh", "erf", "quick"),
        Usual("tanh"),
        "tanh, GPT-2's; erf, the exact one; or quick, with a sigmoid",
    ] = None
    n_inner: Annotated[
        Whole | None, Usual(0), "channels inside the feed-forward layers ({}: four times --n_embd)"
    ] = None
    scale_by_width: Annotated[
        bool | None, Usual(True), "whether attention's scores are divided by the root of the head size"
    ] = None
    scale_by_layer: Annotated[
        bool | None, Usual(False), "whether they are divided by the number of the layer, from 1 on"
    ] = None
    time_weighting: Annotated[
        str | None,
        OneOf("none", "full", "circulant"),
        Usual("none"),
        "learned factors of attention by position: full, circulant or none",
    ] = None
    time_mixing: Annotated[
        bool | None, Usual(False), "whether attention sees half of the channels one token late"
    ] = None
    time_mixed: Annotated[
        Whole | None,
        Usual(0),
        "the same, and how many channels ({}: half of them if --time_mixing, else none)",
    ] = None
    band: Annotated[
        Whole | None, Usual(0), "how many tokens every second layer looks back, itself included ({}: all)"
    ] = None


@dataclasses.dataclass(kw_only=True)
class AllOptions(Options):
    """The options and those that are no flags of `picogpt.train`: of a fine-tuning, of another objective."""

    adapter: Annotated[
        Whole | None, Usual(0), "channels of the adapters that a fine-tuning inserts ({}: there are none)"
    ] = None
    causal: Annotated[
        bool | None, Usual(True), "false: tokens look at later ones too, as in BERT, to find hidden ones"
    ] = None


FLAGS = [parameters(AllOptions)[field.name] for field in dataclasses.fields(AllOptions)]
OPTIONS = {flag.name: flag.usual for flag in FLAGS}  # as in GPT-2
ALLOWED = {  # of those that are one of a few; the others are whole numbers from 0 on
    flag.name: (True, False) if flag.kind is bool else tuple(flag.allowed)
    for flag in FLAGS
    if flag.kind is not int
}
