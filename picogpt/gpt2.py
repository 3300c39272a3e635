"""GPT-2: from token ids to the logits of the next token, a function of a nested dict of arrays.

`params` is a tree of arrays under OpenAI's names, see `params.shapes`. Each part of the model takes its
own arrays as keyword arguments, so a call reads `self_attention(x, **attn)` and a signature lists
what is learned. The only thing that cannot be read off the arrays is `n_head`.

The optional `acts` list shows the inside. A call appends to it one dict for each block and a last one
for the model itself; what an operation made stands there under the operation's name, the residual
stream as "x". `grad.py` walks back along it.
"""

import functools

import numpy as np

from picogpt.ops import attention, causal_mask, dropout, dropout_mask, gelu, layer_norm, linear, positions
from picogpt.seam import overridable

layer_norm = overridable(layer_norm)  # a part of the model too, as those below


class KVCache:
    """The keys and values of all tokens so far, so that a call pays only for its new tokens.

    A token's keys and values depend on nothing after it; once computed, they stay. `gpt2` writes them
    into this array and advances `length`, the number of tokens in it.
    """

    def __init__(self, params, n_head, batch=1, n_ctx=None):
        """Make room for `n_ctx` tokens, or as many as the model has positions, in `batch` sequences."""
        most, n_embd = len(params["wpe"]), params["wte"].shape[1]
        shape = (len(params["blocks"]), 2, batch, n_head, n_ctx or most, n_embd // n_head)
        self.kv = np.empty_like(params["wte"], shape=shape)  # [n_layer, 2, B, H, n_ctx, D]
        self.length = 0
        self.more = {}  # by layer: what a model keeps besides keys and values; GPT-2 nothing

    def extend(self, layer, k, v):
        """Add the k and v [B, H, T, D] of the new tokens; return those of all tokens, [B, H, S, D]."""
        S = self.length + k.shape[-2]
        self.kv[layer, 0, :, :, self.length : S] = k
        self.kv[layer, 1, :, :, self.length : S] = v
        return self.kv[layer, :, :, :, :S]


def embed(ids, places, wte, wpe):
    """Look up each token, and add where it stands: ids [B, T], places [T] or [B, T] -> [B, T, C]."""
    return wte[ids] + wpe[places] if wpe.size else wte[ids]  # wpe is empty in a model without positions


def split_heads(x, n_head):
    """Cut the channels into heads: [B, T, C] -> [B, H, T, D]."""
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head).swapaxes(1, 2)


def merge_heads(x):
    """Lay the heads side by side again: [B, H, T, D] -> [B, T, C]."""
    B, H, T, D = x.shape
    return x.swapaxes(1, 2).reshape(B, T, H * D)


def no_dropout(place, shape):
    """Drop nothing: the `draw` of a model that is not being trained."""


@overridable
def self_attention(x, c_attn, c_proj, n_head, mask=None, cache=None, layer=0, draw=no_dropout, act=None):
    """Let every token look at the tokens before it and take from them what its heads ask for.

    x [B, T, C] -> [B, T, C]. A `cache` has the keys and values of the tokens before these.
    """
    q, k, v = project_qkv(x, c_attn, n_head)
    return attend(q, k, v, c_proj, mask, cache, layer, draw, act)


def project_qkv(x, c_attn, n_head):
    """Make what each token asks for, is found by, and gives: x [B, T, C] -> q, k, v [B, H, T, D]."""
    heads = split_heads(linear(x, **c_attn), 3 * n_head)  # [B, 3H, T, D]
    return [heads[:, i * n_head : (i + 1) * n_head] for i in range(3)]


def attend(q, k, v, c_proj, mask=None, cache=None, layer=0, draw=no_dropout, act=None):
    """Let the queries meet the keys of all tokens so far, and mix what the heads gather. -> [B, T, C]"""
    act = {} if act is None else act
    if cache:
        k, v = cache.extend(layer, k, v)  # [B, H, S, D]
    act["keep_probs"] = draw("attention", (*q.shape[:-1], k.shape[-2]))
    act["heads"] = merge_heads(attention(q, k, v, mask, act["keep_probs"]))  # [B, T, C]
    act.update(q=q, k=k, v=v)
    return linear(act["heads"], **c_proj)


@overridable
def feed_forward(x, c_fc, c_proj, act=None):
    """Let every token work alone on what it has gathered: [B, T, C] -> [B, T, 4C] -> [B, T, C]."""
    act = {} if act is None else act
    act["c_fc"] = linear(x, **c_fc)
    act["gelu"] = gelu(act["c_fc"])
    return linear(act["gelu"], **c_proj)


@overridable
def transformer_block(
    x, ln_1, attn, ln_2, mlp, n_head, mask=None, cache=None, layer=0, draw=no_dropout, act=None
):
    """Add to the residual stream the output of attention, then that of the feed-forward layer.

    x [B, T, C] -> [B, T, C]. Each sees a normalised copy; the stream itself is only ever added to.
    """
    act = {} if act is None else act
    act["x"] = x
    act["ln_1"] = layer_norm(x, **ln_1)
    y = self_attention(
        act["ln_1"], **attn, n_head=n_head, mask=mask, cache=cache, layer=layer, draw=draw, act=act
    )
    act["keep_attn"] = draw("stream", y.shape)
    x = x + dropout(y, act["keep_attn"])
    act["x_mid"] = x
    act["ln_2"] = layer_norm(x, **ln_2)
    y = feed_forward(act["ln_2"], **mlp, act=act)
    act["keep_mlp"] = draw("stream", y.shape)
    return x + dropout(y, act["keep_mlp"])


def gpt2(ids, params, n_head, cache=None, acts=None, pad=None, n_last=None, p_drop=0.0, rng=None):
    """Score every token of the vocabulary as the next one, after each of the given tokens.

    Parameters
    ----------
    ids : integers [B, T]
    params : tree of arrays, see `params.shapes.param_shapes`
    n_head : int
    cache : KVCache, optional
        Holds the tokens before these. The call adds these to it.
    acts : list, optional
        Receives the activations of each block, then of the model.
    pad : integers [B], optional
        How many tokens at the left of each row, counted from the first call, are padding: nothing
        looks at them, and positions are counted after them. Prompts of unequal length fit into one
        batch that way, and each row gives what it gives alone.
    n_last : int, optional
        Score only after the last n_last tokens of each row; generation needs no more than one.
    p_drop, rng : float or three, np.random.Generator
        Dropout on embeddings, attention probabilities and what is added to the stream: for training.

    Returns
    -------
    logits [B, T, V], or [B, n_last, V]. Their softmax is the distribution of the next token.

    Raises
    ------
    ValueError
        If ids are not of this vocabulary, do not fit into the context, or the heads into n_embd.

    Mirrors `model` of OpenAI's gpt-2/src/model.py (Radford et al. 2019).
    """
    ids, places, mask, draw = prepare(ids, params, n_head, cache, pad, p_drop, rng)
    T = ids.shape[1]
    x = embed(ids, places, params["wte"], params["wpe"])  # [B, T, C]
    keep = draw("embedding", x.shape)
    x = dropout(x, keep)
    for layer, block in enumerate(params["blocks"]):
        act = {}
        x = transformer_block(
            x, **block, n_head=n_head, mask=mask, cache=cache, layer=layer, draw=draw, act=act
        )
        if acts is not None:
            acts.append(act)
    if cache:
        cache.length += T
    if n_last is not None:
        x = x[:, T - n_last :]  # [B, n_last, C]
    normed = layer_norm(x, **params["ln_f"])
    if acts is not None:
        acts.append(dict(x=x, ln_f=normed, keep=keep, mask=mask))
    return linear(normed, params.get("lm_head", params["wte"]).T)


def prepare(ids, params, n_head, cache, pad, p_drop, rng):
    """Check what `gpt2` is given; return ids, positions, mask, and the function that draws dropout.

    The arrays are put where the parameters are, which may be a graphics processor.
    """
    as_params = functools.partial(np.asarray, like=params["wte"])
    ids, pad, dtype = as_params(ids), None if pad is None else np.asarray(pad), params["wte"].dtype
    check(ids, params, n_head, cache, pad, p_drop, rng)
    past, T = cache.length if cache else 0, ids.shape[1]
    p = dict(zip(("embedding", "attention", "stream"), np.broadcast_to(p_drop, 3).tolist(), strict=True))

    def draw(place, shape):
        return dropout_mask(shape, dtype, p[place], rng)

    return ids, as_params(positions(past, T, pad)), as_params(causal_mask(T, past + T, dtype, pad)), draw


def check(ids, params, n_head, cache, pad, p_drop, rng):
    """Raise ValueError, in one sentence, for what would otherwise fail obscurely or give nonsense."""
    n_ctx, (n_vocab, n_embd) = len(params["wpe"]), params["wte"].shape
    if n_head < 1 or n_embd % n_head:
        raise ValueError(f"n_embd {n_embd} does not divide evenly into n_head {n_head} heads")
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(f"ids must be integers [B, T], at least one, not {ids.dtype} {list(ids.shape)}")
    if ids.min() < 0 or ids.max() >= n_vocab:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"token id {wrong} is not in this model's vocabulary of 0 to {n_vocab - 1}")
    (B, T), past = ids.shape, cache.length if cache else 0
    if past + T > n_ctx:
        raise ValueError(f"{past} + {T} tokens do not fit into the {n_ctx} positions of the model")
    if cache and past + T > cache.kv.shape[-2]:
        raise ValueError(f"{past} + {T} tokens do not fit into a cache made for {cache.kv.shape[-2]}")
    if cache and cache.kv.shape[2:4] != (B, n_head):
        rows, heads = cache.kv.shape[2:4]
        raise ValueError(f"the cache is for {rows} rows and {heads} heads, not for {B} and {n_head}")
    if pad is not None and (pad.shape != (B,) or pad.min() < 0):
        raise ValueError(f"pad must be a count for each of {B} rows, not {pad.tolist()}")
    drops = np.ravel(p_drop).tolist()  # one for all three places, or one for each
    if len(drops) not in (1, 3) or not all(0 <= p < 1 for p in drops) or (any(drops) and rng is None):
        raise ValueError(f"p_drop must be at least 0 and below 1, and needs an rng, not {p_drop} and {rng}")
