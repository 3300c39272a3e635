"""What descendants of GPT-2 do in other ways, part by part; docs/options.md lists the options.

Each function stands in for the part of the same name in gpt2.py or grad.py, if the tree has an array there
that the part has not; see seam.py. It does what is different before and after, and leaves the rest to that
part. An option that learns nothing has an empty array in the tree, whose length is its setting, if it has
one.
"""

from picogpt import gpt2, grad
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

GELUS = dict(tanh=gelu, erf=gelu_erf, quick=gelu_quick)
GELU_BACKWARDS = dict(tanh=grad.gelu_backward, erf=gelu_erf_backward, quick=gelu_quick_backward)


@overrides
def self_attention(
    x, c_attn, c_proj, n_head, mask, cache=None, layer=0, draw=gpt2.no_dropout, act=None,
    time_weighting=None, time_mixing=None, band=None, adapter=None,
):  # fmt: skip
    """Mix x, narrow the mask, multiply the probabilities by learned factors, add what an adapter says."""
    act, places = {} if act is None else act, places_of(mask)
    if time_mixing is not None:
        x = mix_time(x, places, cache, layer)
    if band is not None:
        mask = banded(mask, places, len(band))
    if time_weighting is not None:
        draw = weighted(draw, time_weights(places, **time_weighting), act)
    y = gpt2.self_attention(x, c_attn, c_proj, n_head, mask, cache, layer, draw, act)
    return y if adapter is None else adapt(y, adapter, act, "adapter_attn")


@overrides
def self_attention_backward(
    dy, act, c_attn, c_proj, n_head, mask, time_weighting=None, time_mixing=None, band=None, adapter=None
):
    """Go back through all of it, the last first. -> dx, gradients; an empty array is its own gradient."""
    places, more = places_of(mask), dict(time_weighting=None, time_mixing=time_mixing, band=band)
    if adapter is not None:
        dy, more["adapter"] = adapt_backward(dy, act["adapter_attn"], adapter)
    if band is not None:
        mask = banded(mask, places, len(band))
    if time_mixing is not None:
        act = act | dict(ln_1=mix_time(act["ln_1"], places))
    dx, grads = grad.self_attention_backward(dy, act, c_attn, c_proj, n_head, mask)
    if time_mixing is not None:
        dx = mix_time_backward(dx)
    if time_weighting is not None:
        dheads = gpt2.split_heads(linear(dy, c_proj["w"].T), n_head)
        dprobs = grad.dropout_backward(dheads @ act["v"].swapaxes(-1, -2), act["keep"])
        dfactors = (dprobs * attention_probs(act["q"], act["k"], mask)).sum(axis=0)  # [H, T, T]
        more["time_weighting"] = time_weights_backward(dfactors, places, **time_weighting)
    return dx, grads | {name: found for name, found in more.items() if found is not None}


def more_shapes(layer, n_head, n_ctx, time_weighting, time_mixing, band, gelu, adapter):
    """Return the shapes of what a block's attention and feed-forward layer have besides GPT-2's arrays."""
    attn, mlp = {}, {}
    if time_weighting == "full":
        attn["time_weighting"] = dict(full=(n_head, n_ctx, n_ctx))
    if time_weighting == "circulant":
        attn["time_weighting"] = dict(distance=(n_head, n_ctx), key=(n_head, n_ctx))
    if time_mixing:
        attn["time_mixing"] = (0,)
    if band and layer % 2 == 1:
        attn["band"] = (band, 0)
    if gelu != "tanh":
        mlp[gelu] = (0,)
    if adapter:
        attn["adapter"], mlp["adapter"] = adapter, adapter
    return dict(attn=attn, mlp=mlp)


def weighted(draw, factors, act):
    """Let dropout's factors of the probabilities be learned ones, too; keep what it drew for the way back."""

    def draw_weighted(place, shape):
        act["keep"] = draw(place, shape)
        return factors if act["keep"] is None else factors * act["keep"]

    return draw_weighted


@overrides
def feed_forward(x, c_fc, c_proj, act=None, adapter=None, **form):
    """Take another gelu, whose name is that of an empty array; add what an adapter says."""
    act = {} if act is None else act
    act["c_fc"] = linear(x, **c_fc)
    act["gelu"] = GELUS[next(iter(form), "tanh")](act["c_fc"])
    y = linear(act["gelu"], **c_proj)
    return y if adapter is None else adapt(y, adapter, act, "adapter_mlp")


@overrides
def feed_forward_backward(dy, act, c_fc, c_proj, adapter=None, **form):
    """Go back through it. -> dx, gradients."""
    more = dict(form)
    if adapter is not None:
        dy, more["adapter"] = adapt_backward(dy, act["adapter_mlp"], adapter)
    dgelu, dc_proj = grad.linear_backward(dy, act["gelu"], **c_proj)
    dc_fc = GELU_BACKWARDS[next(iter(form), "tanh")](dgelu, act["c_fc"])
    dx, dc_fc = grad.linear_backward(dc_fc, act["ln_2"], **c_fc)
    return dx, dict(c_fc=dc_fc, c_proj=dc_proj) | more


def adapt(y, adapter, act, name):
    """Add to what a layer puts out what a narrow feed-forward layer makes of it; see adapters.py."""
    act[name] = dict(ln_2=y)  # where the way back looks for what a feed-forward layer took
    return y + gpt2.feed_forward(y, **adapter, act=act[name])


def adapt_backward(dy, act, adapter):
    """Back through an adapter, and past it. -> dx [B, T, C], gradients."""
    dx, grads = grad.feed_forward_backward(dy, act, **adapter)
    return dy + dx, grads
