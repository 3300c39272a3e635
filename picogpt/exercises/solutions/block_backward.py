"""A right backward of a block, and the usual mistakes: below each line, what is written in its place."""

import numpy as np

from picogpt.gpt2 import merge_heads, split_heads
from picogpt.grad import attention_backward, gelu_backward, layer_norm_backward, linear_backward


def attend_backward(dy, act, c_proj, n_head, mask=None):
    d, dc_proj = linear_backward(dy, act["heads"], **c_proj)
    dq, dk, dv = attention_backward(split_heads(d, n_head), act["q"], act["k"], act["v"], mask)
    # wrong: dq, dk, dv = attention_backward(split_heads(d, n_head), act["q"], act["k"], act["v"])
    # The mask is not handed on to attention_backward.
    # wrong: dq, dk, dv = attention_backward(d, act["q"], act["k"], act["v"], mask)
    # The gradient by the heads' output is to be split into heads, as the forward merged them.
    return dq, dk, dv, dc_proj


def project_qkv_backward(dq, dk, dv, x, c_attn):
    d = np.concatenate([merge_heads(each) for each in (dq, dk, dv)], axis=-1)
    # wrong: d = np.concatenate([merge_heads(each) for each in (dk, dq, dv)], axis=-1)
    # dq and dk are swapped: the columns of c_attn are q, k, v.
    # wrong: d = np.concatenate([merge_heads(each) for each in (dv, dk, dq)], axis=-1)
    # dq and dv are swapped: the columns of c_attn are q, k, v.
    # wrong: d = np.concatenate([merge_heads(each) for each in (dq, dk, dv)])
    # dq, dk and dv belong side by side, along the channels, as q, k and v in c_attn's columns: axis=-1.
    # wrong: d = np.concatenate([merge_heads(each) for each in (dq, dk, dv)], axis=1)
    # dq, dk and dv belong side by side, along the channels, as q, k and v in c_attn's columns: axis=-1.
    return linear_backward(d, x, **c_attn)


def self_attention_backward(dy, act, c_attn, c_proj, n_head, mask=None):
    dq, dk, dv, dc_proj = attend_backward(dy, act, c_proj, n_head, mask)
    dx, dc_attn = project_qkv_backward(dq, dk, dv, act["ln_1"], c_attn)
    return dx, dict(c_attn=dc_attn, c_proj=dc_proj)


def feed_forward_backward(dy, act, c_fc, c_proj):
    d, dc_proj = linear_backward(dy, act["gelu"], **c_proj)
    d = gelu_backward(d, act["c_fc"])
    # wrong: d = gelu_backward(d, act["gelu"])
    # gelu_backward is given what gelu made; it asks for what gelu took.
    # wrong: d = d
    # The backward pass through gelu is left out.
    dx, dc_fc = linear_backward(d, act["ln_2"], **c_fc)
    return dx, dict(c_fc=dc_fc, c_proj=dc_proj)


def transformer_block_backward(dy, act, ln_1, attn, ln_2, mlp, n_head, mask=None):
    d, dmlp = feed_forward_backward(dy, act, **mlp)
    d, dln_2 = layer_norm_backward(d, act["x_mid"], **ln_2)
    # wrong: dln_2 = layer_norm_backward(d, act["x_mid"], **ln_2)[1]
    # The gradient does not go through ln_2: its layer_norm_backward makes the dx that goes on.
    # wrong: d, dln_2 = layer_norm_backward(d, act["x"], **ln_2)
    # ln_2 normalised the stream after attention, not the block's input.
    # wrong: d, dln_2 = layer_norm_backward(d, act["ln_2"], **ln_2)
    # layer_norm_backward is given what the norm made; it asks for what the norm took.
    dx = dy + d
    # wrong: dx = d
    # The gradient goes past the feed-forward layer too: dx + dy, as the forward adds.
    d, dattn = self_attention_backward(dx, act, **attn, n_head=n_head, mask=mask)
    # wrong: d, dattn = self_attention_backward(d, act, **attn, n_head=n_head, mask=mask)
    # Attention gets only what came through the feed-forward layer; it gets the sum, the stream's dx.
    # wrong: d, dattn = self_attention_backward(dx, act, **attn, n_head=n_head)
    # The mask is not handed on to attention_backward.
    d, dln_1 = layer_norm_backward(d, act["x"], **ln_1)
    # wrong: dln_1 = layer_norm_backward(d, act["x"], **ln_1)[1]
    # The gradient does not go through ln_1: its layer_norm_backward makes the dx that goes on.
    return dx + d, dict(ln_1=dln_1, attn=dattn, ln_2=dln_2, mlp=dmlp)
    # wrong: return d, dict(ln_1=dln_1, attn=dattn, ln_2=dln_2, mlp=dmlp)
    # The gradient goes past attention too: dx + dy, as the forward adds.
    # wrong: return dy + d, dict(ln_1=dln_1, attn=dattn, ln_2=dln_2, mlp=dmlp)
    # What came through the feed-forward layer is lost: past attention goes the sum, not dy alone.
