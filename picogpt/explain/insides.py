"""What a model does while it reads a text: where it looks, what each layer adds, what it would say by then.

All of it comes from `acts`, which `gpt2([ids], params, n_head, acts=acts)` leaves for one text of T tokens.
`page.py` shows it.
"""

import math

import numpy as np

from picogpt.descendants.parts import add_adapter, mask_with
from picogpt.gpt2 import feed_forward, merge_heads, split_heads, transformer_block
from picogpt.ops import layer_norm, linear, row_dot, softmax


def attention_scores(params, acts):
    """Return how well each query matches each key, q k^T / sqrt(D) + mask: [n_layer, H, T, T].

    Rows are the tokens that look. Where they may not, the score is -1e10.
    """
    scores = []
    for block, act in zip(params["blocks"], acts, strict=False):
        mask = mask_with(acts[-1]["mask"], act["q"].shape[1], **block["attn"])
        q, k = act["q"], act["k"]  # [1, H, T, D]
        scores.append(((q * (1 / math.sqrt(q.shape[-1]))) @ k.swapaxes(-1, -2) + mask)[0])
    return np.stack(scores)


def attention_maps(params, acts):
    """Return how much each token attends to each token, in every layer and head: [n_layer, H, T, T].

    Rows are the tokens that look, and sum to 1. The learned factors of time-weighting are not in it.
    """
    return softmax(attention_scores(params, acts))


def streams(acts):
    """Return the residual stream before the first block and after each: [n_layer + 1, T, C]."""
    return np.stack([act["x"][0] for act in acts])


def contributions(params, acts, ids):
    """Return {who: what it adds to the residual stream}, each [T, C]; their sum is the stream at its end."""
    added = {"token embedding": params["wte"][ids]}
    if params["wpe"].size:
        added["position embedding"] = params["wpe"][: len(ids)]
    for n, (block, act) in enumerate(zip(params["blocks"], acts, strict=False), start=1):
        added[f"attention {n}"] = project(act["heads"], **block["attn"])[0]
        added[f"feed-forward {n}"] = project(act["gelu"], **block["mlp"])[0]
    return added


def project(x, c_proj, adapter=None, **others):
    """Do what attention and the feed-forward layer end with: [.., C] or [.., 4C] -> [.., C]."""
    y = linear(x, **c_proj)
    return y if adapter is None else add_adapter(y, adapter, {}, "adapter")


def logit_lens(params, x):
    """Return the logits that the model's end makes of a residual stream: [..., C] -> [..., V].

    For the stream after a middle layer that is the "logit lens" (nostalgebraist 2020): what the model would
    say if it had to stop there.
    """
    return linear(layer_norm(x, **params["ln_f"]), params.get("lm_head", params["wte"]).T)


def streams_without_heads(params, acts, n_head, layer):
    """Return the stream at the model's end, had one head of `layer` put out zeros: [H, T, C], for each head.

    From where its layer projects the heads, the model is computed again: a batch, in whose every row
    another head is off.
    """
    act, block = acts[layer], params["blocks"][layer]
    heads = split_heads(act["heads"], n_head)  # [1, H, T, D]
    on = 1 - np.eye(n_head, dtype=heads.dtype)[:, :, None, None]
    x = act["x"] + project(merge_heads(heads * on), **block["attn"])  # [H, T, C]
    x = x + feed_forward(layer_norm(x, **block["ln_2"]), **block["mlp"])
    for block in params["blocks"][layer + 1 :]:
        x = transformer_block(x, **block, n_head=n_head, mask=acts[-1]["mask"])
    return x


def likeliest(logits, k):
    """Return the ids of the k largest logits of each row, the largest first: [..., V] -> [..., k]."""
    return np.argsort(-logits, axis=-1, kind="stable")[..., :k]


def log_sum_rest(logits, kept, temperatures):
    """Return ln of the sum of e^((logit - largest) / temperature) over all but the `kept` ids of each row.

    logits [T, V], kept [T, k] -> [T, number of temperatures]. With it, the probabilities of the kept are
    exact at each of these temperatures without the others; it is -inf where there are no others.
    """
    shifted = (logits - logits.max(axis=-1, keepdims=True)).astype(np.float64)
    np.put_along_axis(shifted, kept, -np.inf, axis=-1)
    sums = np.stack([np.exp(shifted / t).sum(axis=-1) for t in temperatures], axis=-1)
    with np.errstate(divide="ignore"):
        return np.log(sums)


def direct_effect(params, acts, x_added):
    """Return what a vector that was added to the stream adds to each logit: [T, C] -> [T, V].

    The final norm divides by the stream's standard deviation, which is kept as it was. With that, logits are
    a sum over all that was ever added, of which this is one part ("direct logit attribution", Elhage et al.
    2021).
    """
    x, head = acts[-1]["x"][0], params.get("lm_head", params["wte"])
    centred = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt(row_dot(centred, centred) * (1 / x.shape[-1]) + 1e-5)  # as in layer_norm
    normed = (x_added - x_added.mean(axis=-1, keepdims=True)) / std * params["ln_f"]["g"]
    return linear(normed, head.T)


def firing(params, acts, layer, k):
    """Return the k neurons of a layer that fire most at each token, how much, and what each then writes.

    A neuron is a channel of the feed-forward layer's inside; what it writes into the stream is its
    activation times its row of c_proj. -> ids [T, k], activations [T, k], written [T, k, C].
    """
    fired = acts[layer]["gelu"][0]  # [T, 4C]
    ids = likeliest(fired, k)
    values = np.take_along_axis(fired, ids, axis=-1)
    c_proj = params["blocks"][layer]["mlp"]["c_proj"]
    return ids, values, values[..., None] * c_proj["w"][ids]
