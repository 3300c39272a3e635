"""GPT-1's block: each norm comes after an addition, on the stream itself (Radford et al. 2018, section 4.1).

    x = ln_1(x + attention(x))
    x = ln_2(x + feed_forward(x))

GPT-2 moved the norms before its parts and added one at the end (Radford et al. 2019, section 2.3). So that
both models end alike, the last block here has no ln_2 of its own: it is the model's ln_f.
"""

from picogpt import gpt2, grad
from picogpt.ops import dropout


def transformer_block(
    x, ln_1, attn, mlp, n_head, mask=None, cache=None, layer=0, draw=gpt2.no_dropout, act=None,
    ln_2=None, post_norm=None,
):  # fmt: skip
    """Add attention's output and normalise the sum; do the same with the feed-forward layer's. [B, T, C]

    `act` has under "ln_1" and "ln_2" what the two parts took, as in GPT-2; here that is the stream.
    """
    act = {} if act is None else act
    act["x"] = act["ln_1"] = x
    y = gpt2.self_attention(x, **attn, n_head=n_head, mask=mask, cache=cache, layer=layer, draw=draw, act=act)
    act["keep_attn"] = draw("stream", y.shape)
    act["sum_attn"] = x + dropout(y, act["keep_attn"])
    x = act["x_mid"] = act["ln_2"] = gpt2.layer_norm(act["sum_attn"], **ln_1)
    y = gpt2.feed_forward(x, **mlp, act=act)
    act["keep_mlp"] = draw("stream", y.shape)
    act["sum_mlp"] = x + dropout(y, act["keep_mlp"])
    return act["sum_mlp"] if ln_2 is None else gpt2.layer_norm(act["sum_mlp"], **ln_2)


def transformer_block_backward(dy, act, ln_1, attn, mlp, n_head, mask=None, ln_2=None, post_norm=None):
    """Back through the feed-forward layer, then attention, each between its norm and a fork.

    dy [B, T, C] -> dx [B, T, C], gradients. Unlike in GPT-2, no way past the norms is left unchanged.
    """
    grads = dict.fromkeys(("ln_1", "attn") if ln_2 is None else ("ln_1", "attn", "ln_2"))
    if ln_2 is not None:
        dy, grads["ln_2"] = grad.layer_norm_backward(dy, act["sum_mlp"], **ln_2)
    dmlp_out = grad.dropout_backward(dy, act["keep_mlp"])
    dbranch, grads["mlp"] = grad.feed_forward_backward(dmlp_out, act, **mlp)
    dsum, grads["ln_1"] = grad.layer_norm_backward(dy + dbranch, act["sum_attn"], **ln_1)
    dattn_out = grad.dropout_backward(dsum, act["keep_attn"])
    dbranch, grads["attn"] = grad.self_attention_backward(dattn_out, act, **attn, n_head=n_head, mask=mask)
    return dsum + dbranch, grads | dict(post_norm=post_norm)
