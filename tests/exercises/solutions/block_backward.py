"""Another right form of what the rung block_backward asks for."""

import numpy as np

from picogpt.gpt2 import merge_heads, split_heads
from picogpt.grad import attention_backward, gelu_backward, layer_norm_backward, linear_backward


def self_attention_backward(dy, act, c_attn, c_proj, n_head, mask=None):
    d, dc_proj = linear_backward(dy, act["heads"], **c_proj)
    d = attention_backward(split_heads(d, n_head), act["q"], act["k"], act["v"], mask)
    d, dc_attn = linear_backward(np.concatenate(list(map(merge_heads, d)), axis=2), act["ln_1"], **c_attn)
    return d, dict(c_attn=dc_attn, c_proj=dc_proj)


def feed_forward_backward(dy, act, c_fc, c_proj):
    d, dc_proj = linear_backward(dy, act["gelu"], **c_proj)
    d, dc_fc = linear_backward(gelu_backward(d, act["c_fc"]), act["ln_2"], **c_fc)
    return d, dict(c_proj=dc_proj, c_fc=dc_fc)


def transformer_block_backward(dx, act, ln_1, attn, ln_2, mlp, n_head, mask=None):
    grads = {}
    d, grads["mlp"] = feed_forward_backward(dx, act, **mlp)
    d, grads["ln_2"] = layer_norm_backward(d, act["x_mid"], **ln_2)
    dx = d + dx
    d, grads["attn"] = self_attention_backward(dx, act, n_head=n_head, mask=mask, **attn)
    d, grads["ln_1"] = layer_norm_backward(d, act["x"], **ln_1)
    return d + dx, grads
