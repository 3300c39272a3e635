"""What descendants of GPT-2 do in other ways, part by part; docs/options.md lists the options.

Each function replaces the function of the same name in gpt2.py or grad.py where the tree has arrays that this
one does not take; see seam.py. It computes what differs, and calls the pieces of gpt2.py and grad.py for the
rest. An option without parameters has an empty array in the tree; its length is the option's value, if it has
one.
"""

import numpy as np

from picogpt import gpt2, grad
from picogpt.descendants import positions, post_norm
from picogpt.descendants import rezero as factors
from picogpt.descendants import rms as rms  # which overrides layer_norm
from picogpt.descendants.activations import relu, relu_backward, silu, silu_backward, tanh_backward
from picogpt.descendants.erf import gelu_erf, gelu_erf_backward
from picogpt.descendants.tricks import (
    banded,
    gelu_quick,
    gelu_quick_backward,
    mix_time,
    mix_time_backward,
    places_of,
    time_weights,
    time_weights_backward,
)
from picogpt.ops import attention_probs, gelu, linear
from picogpt.seam import overrides

ACTIVATIONS = dict(gelu=gelu, erf=gelu_erf, quick=gelu_quick, relu=relu, silu=silu, tanh=np.tanh)
BACKWARDS = dict(
    gelu=grad.gelu_backward, erf=gelu_erf_backward, quick=gelu_quick_backward,
    relu=relu_backward, silu=silu_backward, tanh=tanh_backward,
)  # fmt: skip


@overrides
def self_attention(
    x, c_attn, c_proj, n_head, mask, cache=None, layer=0, draw=gpt2.no_dropout, act=None,
    time_weighting=None, time_mixing=None, band=None, alibi=None, rotary=None, both_ways=None, adapter=None,
    rezero=None, **scale,
):  # fmt: skip
    """Attention, and what a descendant changes: x, queries, keys, mask, probabilities; adapter, factor."""
    act, places = {} if act is None else act, places_of(mask)
    if time_mixing is not None:
        x = mix_time(x, places, len(time_mixing), cache, layer)
    if time_weighting is not None:
        draw = weighted(draw, time_weights(places, **time_weighting), act)
    q, k, v = gpt2.project_qkv(x, scale_queries(c_attn, n_head, **scale), n_head)
    if rotary is not None:
        q, k = positions.rotate(q, places[0]), positions.rotate(k, places[0])  # the cache holds turned keys
    mask = mask_with(mask, n_head, band, alibi, both_ways, cache)
    y = gpt2.attend(q, k, v, c_proj, mask, cache, layer, draw, act)
    y = y if adapter is None else add_adapter(y, adapter, act, "adapter_attn")
    return y if rezero is None else factors.scale(y, rezero, act, "rezero_attn")


@overrides
def self_attention_backward(
    dy, act, c_attn, c_proj, n_head, mask,
    time_weighting=None, time_mixing=None, band=None, alibi=None, rotary=None, both_ways=None, adapter=None,
    rezero=None, **scale,
):  # fmt: skip
    """Back through each of these, in reverse order. -> dx, gradients; an empty array is its own gradient."""
    places, x, mask = places_of(mask), act["ln_1"], mask_with(mask, n_head, band, alibi, both_ways)
    grads = dict.fromkeys(("c_attn", "c_proj", "time_weighting"))
    grads |= dict(
        time_mixing=time_mixing, alibi=alibi, rotary=rotary, band=band, both_ways=both_ways, **scale
    )
    if rezero is not None:
        dy, grads["rezero"] = factors.scale_backward(dy, rezero, act["rezero_attn"])
    if adapter is not None:
        dy, grads["adapter"] = add_adapter_backward(dy, act["adapter_attn"], adapter)
    if time_mixing is not None:
        x = mix_time(x, places, len(time_mixing))
    dq, dk, dv, grads["c_proj"] = grad.attend_backward(dy, act, c_proj, n_head, mask)
    if rotary is not None:
        dq, dk = positions.rotate(dq, places[0], back=True), positions.rotate(dk, places[0], back=True)
    dx, dc_attn = grad.project_qkv_backward(dq, dk, dv, x, scale_queries(c_attn, n_head, **scale))
    grads["c_attn"] = scale_queries(dc_attn, n_head, **scale)  # dw = dw' times what made w' of w
    if time_mixing is not None:
        dx = mix_time_backward(dx, len(time_mixing))
    if time_weighting is not None:
        dheads = gpt2.split_heads(linear(dy, c_proj["w"].T), n_head)
        dprobs = grad.dropout_backward(dheads @ act["v"].swapaxes(-1, -2), act["keep"])
        dfactors = (dprobs * attention_probs(act["q"], act["k"], mask)).sum(axis=0)  # [H, T, T]
        grads["time_weighting"] = time_weights_backward(dfactors, places, **time_weighting)
    return dx, {name: dw for name, dw in grads.items() if dw is not None}


def mask_with(mask, n_head, band=None, alibi=None, both_ways=None, cache=None, **others):
    """Return the mask with what a layer adds to it: the edge of a band, a bias on distance.

    Where attention looks both ways, every query gets the last one's row, which hides padding alone.
    """
    places = places_of(mask)
    if both_ways is not None:
        if cache:
            raise ValueError(
                "in this model tokens look at later ones too, so it can continue no text: use a causal one"
            )
        mask = mask[..., -1:, :]
    if band is not None:
        mask = banded(mask, places, len(band))
    return mask if alibi is None else positions.alibi(places, n_head, mask)


def more_shapes(
    layer, n_head, n_ctx, places, time_weighting, time_mixing, time_mixed, band, causal, gelu, activation,
    scale_by_layer, scale_by_width, adapter,
):  # fmt: skip
    """Return the shapes of what a block's attention and feed-forward layer have besides GPT-2's arrays."""
    attn, mlp = {}, {}
    if time_weighting == "full":
        attn["time_weighting"] = dict(full=(n_head, n_ctx, n_ctx))
    if time_weighting == "circulant":
        attn["time_weighting"] = dict(distance=(n_head, n_ctx), key=(n_head, n_ctx))
    if time_mixing or time_mixed:
        attn["time_mixing"] = (time_mixed, 0) if time_mixed else (0,)
    if places in ("rotary", "alibi"):
        attn[places] = (0,)
    if band and layer % 2 == 1:
        attn["band"] = (band, 0)
    if not causal:
        attn["both_ways"] = (0,)
    if scale_by_layer and layer:
        attn["divisor"] = (layer + 1, 0)
    if not scale_by_width:
        attn["unscaled"] = (0,)
    if (form := activation if activation != "gelu" else gelu) != "tanh" or activation == "tanh":
        mlp[form] = (0,)
    if adapter:
        attn["adapter"], mlp["adapter"] = adapter, adapter
    return dict(attn=attn, mlp=mlp)


def scale_queries(c_attn, n_head, divisor=None, unscaled=None):
    """Scale the part of c_attn that makes the queries, and so attention's scores.

    `divisor` [layer, 0] divides them by the number of the layer, from 1 on. `unscaled` [0] takes back the
    division by the square root of the head size. (Stanford's Mistral has the first, see docs/options.md.)
    """
    factor = 1 / (1 if divisor is None else len(divisor))
    C = c_attn["w"].shape[1] // 3
    factor *= 1 if unscaled is None else (C // n_head) ** 0.5
    if factor == 1:
        return c_attn
    return {
        name: np.concatenate([array[..., :C] * factor, array[..., C:]], -1) for name, array in c_attn.items()
    }


def weighted(draw, factors, act):
    """Multiply the factors of attention's dropout by learned ones; note those drawn for the backward pass."""

    def draw_weighted(place, shape):
        act["keep"] = draw(place, shape)
        return factors if act["keep"] is None else factors * act["keep"]

    return draw_weighted


def name_of(form):
    """Return the name of the activation: that of the empty array in the tree, or gelu if there is none."""
    return next(iter(form)) if form else "gelu"


@overrides
def transformer_block(x, **arrays):
    """Compute a block that is joined to the stream in another way than GPT-2's. [B, T, C] -> [B, T, C]

    One that has both options comes here twice: ReZero hands its factor to the parts, and asks again.
    """
    return (factors if "rezero" in arrays else post_norm).transformer_block(x, **arrays)


@overrides
def transformer_block_backward(dy, act, **arrays):
    """Back through it. dy [B, T, C] -> dx [B, T, C], gradients."""
    return (factors if "rezero" in arrays else post_norm).transformer_block_backward(dy, act, **arrays)


@overrides
def feed_forward(x, c_fc, c_proj, act=None, adapter=None, rezero=None, **form):
    """Use the activation that `form` names, then the adapter and the factor, if there are any. [B, T, C]"""
    act = {} if act is None else act
    act["c_fc"] = linear(x, **c_fc)
    act["gelu"] = ACTIVATIONS[name_of(form)](act["c_fc"])
    y = linear(act["gelu"], **c_proj)
    y = y if adapter is None else add_adapter(y, adapter, act, "adapter_mlp")
    return y if rezero is None else factors.scale(y, rezero, act, "rezero_mlp")


@overrides
def feed_forward_backward(dy, act, c_fc, c_proj, adapter=None, rezero=None, **form):
    """Back through the factor, the adapter, c_proj, the activation and c_fc. -> dx, gradients."""
    more = dict(form)
    if rezero is not None:
        dy, more["rezero"] = factors.scale_backward(dy, rezero, act["rezero_mlp"])
    if adapter is not None:
        dy, more["adapter"] = add_adapter_backward(dy, act["adapter_mlp"], adapter)
    dgelu, dc_proj = grad.linear_backward(dy, act["gelu"], **c_proj)
    dc_fc = BACKWARDS[name_of(form)](dgelu, act["c_fc"])
    dx, dc_fc = grad.linear_backward(dc_fc, act["ln_2"], **c_fc)
    return dx, dict(c_fc=dc_fc, c_proj=dc_proj) | more


def add_adapter(y, adapter, act, name):
    """Add to the output of a layer what a narrow feed-forward layer makes of it; see finetune/adapters.py."""
    act[name] = dict(ln_2=y)  # where the backward pass looks for what a feed-forward layer took
    return y + gpt2.feed_forward(y, **adapter, act=act[name])


def add_adapter_backward(dy, act, adapter):
    """Back through an adapter, and past it. -> dx [B, T, C], gradients."""
    dx, grads = grad.feed_forward_backward(dy, act, **adapter)
    return dy + dx, grads
