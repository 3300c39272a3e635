"""A right block and its two layers, and the usual mistakes: below each line, what is written in its place."""

from picogpt.gpt2 import merge_heads, split_heads
from picogpt.ops import attention, gelu, layer_norm, linear


def project_qkv(x, c_attn, n_head):
    qkv, C = linear(x, **c_attn), x.shape[-1]  # [B, T, 3C]
    q, k, v = (split_heads(qkv[..., i * C : (i + 1) * C], n_head) for i in range(3))  # [B, H, T, D]
    # wrong: k, q, v = (split_heads(qkv[..., i * C : (i + 1) * C], n_head) for i in range(3))
    # q and k are swapped: q, k, v stand in c_attn's columns in this order.
    # wrong: v, k, q = (split_heads(qkv[..., i * C : (i + 1) * C], n_head) for i in range(3))
    # q and v are swapped: q, k, v stand in c_attn's columns in this order.
    # wrong: q, v, k = (split_heads(qkv[..., i * C : (i + 1) * C], n_head) for i in range(3))
    # k and v are swapped: q, k, v stand in c_attn's columns in this order.
    # wrong: q, k, v = (split_heads(qkv, 3 * n_head)[:, i::3] for i in range(3))
    # q, k and v alternate from head to head; they are the thirds of c_attn's columns.
    # wrong: q, k, v = (split_heads(qkv[..., i::3], n_head) for i in range(3))
    # q, k and v alternate from channel to channel; they are the thirds of c_attn's columns.
    return q, k, v


def attend(q, k, v, c_proj, mask=None, cache=None, layer=0, draw=None, act=None):
    act = {} if act is None else act
    if cache:
        k, v = cache.extend(layer, k, v)  # [B, H, S, D]
        # wrong: pass
        # The cache is left out: cache.extend(layer, k, v) returns the keys and values of all tokens so far.
        # wrong: cache.extend(layer, k, v)
        # The cache is left out: cache.extend(layer, k, v) returns the keys and values of all tokens so far.
    y = attention(q, k, v, mask)
    # wrong: y = attention(q, k, v)
    # The mask is not handed on to attention.
    act.update(q=q, k=k, v=v, heads=merge_heads(y))
    return linear(act["heads"], **c_proj)
    # wrong: return act["heads"]
    # The projection c_proj is forgotten.


def self_attention(x, c_attn, c_proj, n_head, mask=None, cache=None, layer=0, draw=None, act=None):
    q, k, v = project_qkv(x, c_attn, n_head)
    return attend(q, k, v, c_proj, mask, cache, layer, draw, act)


def feed_forward(x, c_fc, c_proj, act=None):
    act = {} if act is None else act
    act["c_fc"] = linear(x, **c_fc)
    act["gelu"] = gelu(act["c_fc"])
    # wrong: act["gelu"] = act["c_fc"]
    # The gelu between the two linears is forgotten.
    return linear(act["gelu"], **c_proj)
    # wrong: return gelu(linear(act["gelu"], **c_proj))
    # There is a gelu after the second linear, too; there is only the one in between.


def transformer_block(x, ln_1, attn, ln_2, mlp, n_head, mask=None, cache=None, layer=0, draw=None, act=None):
    act = {} if act is None else act
    act.update(x=x, ln_1=layer_norm(x, **ln_1))
    # wrong: act.update(x=x, ln_1=x)
    # The first layer norm, ln_1, is forgotten.
    y = self_attention(act["ln_1"], **attn, n_head=n_head, mask=mask, cache=cache, layer=layer, act=act)
    # wrong: y = self_attention(act["ln_1"], **attn, n_head=n_head, cache=cache, layer=layer, act=act)
    # The mask is not handed on to self_attention.
    x = x + y
    # wrong: x = y
    # The residual is forgotten: what attention says is added to x.
    # wrong: x = act["ln_1"] + y
    # Added to the normalised copy; it is added to the stream x itself.
    act.update(x_mid=x, ln_2=layer_norm(x, **ln_2))
    # wrong: act.update(x_mid=x, ln_2=x)
    # The second layer norm, ln_2, is forgotten.
    # wrong: act.update(x_mid=x, ln_2=layer_norm(x, **ln_1))
    # ln_1 is used twice; the second norm has its own, ln_2.
    # wrong: act.update(x_mid=x, ln_2=layer_norm(act["x"], **ln_2))
    # The feed-forward layer sees the stream as it was before attention; it comes after.
    y = feed_forward(act["ln_2"], **mlp, act=act)
    return x + y
    # wrong: return y
    # The residual is forgotten: what the feed-forward layer says is added to x.
    # wrong: return act["ln_2"] + y
    # Added to the normalised copy; it is added to the stream x itself.
    # wrong: return act["x"] + y
    # Added to the block's input; what attention added before is lost.
    # wrong: return layer_norm(x + y, **ln_2)
    # A norm comes after the sum; GPT-2's come before, on the way into the branches.
