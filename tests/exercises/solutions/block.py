"""Another right form of what the rung block asks for."""

import numpy as np

from picogpt.gpt2 import merge_heads, split_heads
from picogpt.ops import attention, gelu, layer_norm, linear


def self_attention(x, c_attn, c_proj, n_head, mask=None, cache=None, layer=0, act=None, **_):
    q, k, v = (split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1))
    if cache:
        k, v = cache.extend(layer, k, v)
    return linear(merge_heads(attention(q, k, v, mask)), **c_proj)


def feed_forward(x, c_fc, c_proj, act=None):
    return linear(gelu(linear(x, **c_fc)), **c_proj)


def transformer_block(x, ln_1, attn, ln_2, mlp, n_head, mask=None, cache=None, layer=0, act=None, **_):
    x = x + self_attention(layer_norm(x, **ln_1), **attn, n_head=n_head, mask=mask, cache=cache, layer=layer)
    return x + feed_forward(layer_norm(x, **ln_2), **mlp)
