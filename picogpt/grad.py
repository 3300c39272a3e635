"""The backward pass: for every operation of `ops.py` and every part of `gpt2.py`, its derivative.

`dx` is the derivative of the loss with respect to x, and has x's shape. The chain rule turns the
derivative by what an operation made into the derivative by what it took, and one rule names all:

    op_backward(dy, <what op took>) -> dx            or dx and the gradients of its parameters,
                                                     a dict under the parameters' names

softmax_backward is handed what softmax made, as that is all it needs; the parts of the model are handed
`act`, the activations that their forward left.
"""

import math

import numpy as np

from picogpt.gpt2 import gpt2, merge_heads, split_heads
from picogpt.ops import attention_probs, cross_entropy, dropout, linear, row_dot, softmax
from picogpt.seam import overridable


def gelu_backward(dy, x):
    """With t = tanh(u), u = sqrt(2 / pi) * (x + 0.044715 * x^3), the forward is y = x / 2 * (1 + t).

    dx = dy * ((1 + t) / 2 + x / 2 * (1 - t^2) * du/dx),   du/dx = sqrt(2 / pi) * (1 + 3 * 0.044715 * x^2)

    The code takes x and 1/2 out of the brackets, and makes dx in place, from the inside outwards:

    dx = dy / 2 * (x du/dx * (1 - t^2) + t + 1),   u = (a c x^2 + c) x,   x du/dx = (3 a c x^2 + c) x
    """
    a, c = 0.044715, math.sqrt(2 / math.pi)
    xx = x * x
    t = np.tanh((xx * (a * c) + c) * x)
    dx = (xx * (3 * a * c) + c) * x
    dx *= 1 - t * t
    dx += t
    dx += 1
    dx *= 0.5
    dx *= dy
    return dx


def softmax_backward(dy, y):
    """With y = softmax(x): dx = y * (dy - sum(y * dy))

    The derivative of y_j by x_i is y_j * ((i == j) - y_i); times dy_j and summed over j, that is the
    formula. The sum in it is the mean of dy, weighted by y: without it, dx would not add up to 0, as it
    must, because raising all x alike changes no y.
    """
    dx = dy - row_dot(y, dy)
    dx *= y
    return dx


@overridable
def layer_norm_backward(dy, x, g, b=None, eps=1e-5):
    """With n = (x - mean) / std and dn = g * dy: dx = (dn - mean(dn) - n * mean(n * dn)) / std

    The two means are the parts of dn that a shift and a stretch of the row would undo; the norm
    removes both from x, so no gradient flows along them. dy, x [..., C] -> [..., C].
    """
    C = x.shape[-1]
    centred = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt(row_dot(centred, centred) * (1 / C) + eps)
    n = np.divide(centred, std, out=centred)  # in the same memory
    dn = g * dy
    dx = dn - dn.mean(axis=-1, keepdims=True)
    dx -= n * (row_dot(n, dn) * (1 / C))
    dx /= std
    rows = tuple(range(x.ndim - 1))  # all axes but the last
    grads = dict(g=(n * dy).sum(axis=rows))
    if b is not None:
        grads["b"] = dy.sum(axis=rows)
    return dx, grads


def linear_backward(dy, x, w, b=None):
    """With y = x w + b: dx = dy w^T, dw = x^T dy, db = sum of dy over the rows.

    Row i of x meets every column of w, so each derivative is again a matrix product, with the factor
    that stays transposed. dy [..., n], x [..., m] -> [..., m], w [m, n], b [n].
    """
    dy = dy.reshape(-1, dy.shape[-1])
    grads = dict(w=x.reshape(-1, x.shape[-1]).T @ dy)
    if b is not None:
        grads["b"] = dy.sum(axis=0)
    return (dy @ w.T).reshape(x.shape), grads


def dropout_backward(dy, keep):
    """What was dropped has no gradient, what was scaled up has a scaled one: dx = dy * keep."""
    return dropout(dy, keep)


def attention_backward(dy, q, k, v, mask=None, keep=None):
    """With p = softmax(s) and s = q k^T / sqrt(D) + mask, the forward is y = p v.

    dv = p^T dy, dp = dy v^T, ds by softmax, dq = ds k / sqrt(D), dk = ds^T q / sqrt(D)

    p [.., T, S] is computed again rather than kept: all layers' would be most of the memory.
    """
    probs = attention_probs(q, k, mask)  # [B, H, T, S]
    dv = dropout(probs, keep).swapaxes(-1, -2) @ dy  # [B, H, S, D]
    dprobs = dropout_backward(dy @ v.swapaxes(-1, -2), keep)
    dscores = softmax_backward(dprobs, probs)
    scale = 1 / math.sqrt(q.shape[-1])
    return (dscores @ k) * scale, dscores.swapaxes(-1, -2) @ (q * scale), dv


def cross_entropy_backward(dloss, logits, targets):
    """With n targets that count: dlogits = (softmax(logits) - 1 at the target) / n * dloss.

    The model is pushed from what it predicted to what came; rows whose target is -1 stay at 0.
    """
    counted = targets != -1
    dlogits = softmax(logits)
    here = np.where(counted, targets, 0)[..., None]
    np.put_along_axis(dlogits, here, np.take_along_axis(dlogits, here, axis=-1) - 1, axis=-1)
    dlogits *= counted[..., None] * (dloss / counted.sum(dtype=logits.dtype))
    return dlogits


def embedding_backward(dy, ids, dw):
    """With y = w[ids]: add each row of dy [..., C] to the row of dw [n, C] that it was a copy of.

    `dw[ids] += dy` would count a repeated id once.
    """
    np.add.at(dw, ids, dy)


@overridable
def self_attention_backward(dy, act, c_attn, c_proj, n_head, mask=None):
    """Back through c_proj, the heads and c_attn. `act` is the block's. -> dx [B, T, C], gradients."""
    dq, dk, dv, dc_proj = attend_backward(dy, act, c_proj, n_head, mask)
    dx, dc_attn = project_qkv_backward(dq, dk, dv, act["ln_1"], c_attn)
    return dx, dict(c_attn=dc_attn, c_proj=dc_proj)


def attend_backward(dy, act, c_proj, n_head, mask=None):
    """Back through c_proj and the heads: dy [B, T, C] -> dq, dk, dv [B, H, T, D], gradients of c_proj."""
    dheads, dc_proj = linear_backward(dy, act["heads"], **c_proj)
    dqkv = attention_backward(
        split_heads(dheads, n_head), act["q"], act["k"], act["v"], mask, act["keep_probs"]
    )
    return *dqkv, dc_proj


def project_qkv_backward(dq, dk, dv, x, c_attn):
    """Lay the three side by side again, and go back through c_attn. -> dx [B, T, C], its gradients."""
    dqkv = np.concatenate([merge_heads(d) for d in (dq, dk, dv)], axis=-1)  # [B, T, 3C]
    return linear_backward(dqkv, x, **c_attn)


@overridable
def feed_forward_backward(dy, act, c_fc, c_proj):
    """Back through c_proj, gelu and c_fc. -> dx [B, T, C], gradients."""
    dgelu, dc_proj = linear_backward(dy, act["gelu"], **c_proj)
    dx, dc_fc = linear_backward(gelu_backward(dgelu, act["c_fc"]), act["ln_2"], **c_fc)
    return dx, dict(c_fc=dc_fc, c_proj=dc_proj)


@overridable
def transformer_block_backward(dy, act, ln_1, attn, ln_2, mlp, n_head, mask=None):
    """Back through the feed-forward layer, then attention. dy [B, T, C] -> dx [B, T, C], gradients.

    Where the forward adds a branch to the stream, the gradient is a sum: what came through the branch, and
    dy itself, unchanged. That second term is why deep models train at all.
    """
    dmlp_out = dropout_backward(dy, act["keep_mlp"])
    dnormed_mid, dmlp = feed_forward_backward(dmlp_out, act, **mlp)
    dbranch_mid, dln_2 = layer_norm_backward(dnormed_mid, act["x_mid"], **ln_2)
    dx_mid = dy + dbranch_mid
    dattn_out = dropout_backward(dx_mid, act["keep_attn"])
    dnormed, dattn = self_attention_backward(dattn_out, act, **attn, n_head=n_head, mask=mask)
    dbranch, dln_1 = layer_norm_backward(dnormed, act["x"], **ln_1)
    return dx_mid + dbranch, dict(ln_1=dln_1, attn=dattn, ln_2=dln_2, mlp=dmlp)


def gpt2_backward(dlogits, ids, params, n_head, acts, dnormed=0, dstream=None):
    """Turn the derivative by the logits [B, T, V] into the gradients of all parameters.

    `acts` is what the forward call `gpt2(ids, params, n_head, acts=acts)` left, without cache, pad or
    n_last. It is used up, so that each block's activations are freed once it is done. -> a tree like
    `params`.

    The table `wte` is used twice, as embedding and, unless there is an `lm_head`, as head: its gradient is
    the sum of both. `dnormed` [B, T, C] is added to the derivative by the output of ln_f, if the loss also
    uses that in another way, as a classifier does. A list `dstream` receives the derivatives by the residual
    stream, each [B, T, C]: that after the last block first, that before the first block last.
    """
    act, dstream = acts.pop(), [] if dstream is None else dstream
    rows, untied = dlogits.reshape(-1, dlogits.shape[-1]), "lm_head" in params  # [B * T, V]
    dhead = rows.T @ act["ln_f"].reshape(len(rows), -1)  # [V, C]: linear_backward's dw, transposed like wte
    dx = linear(dlogits, params.get("lm_head", params["wte"])) + dnormed
    dx, dln_f = layer_norm_backward(dx, act["x"], **params["ln_f"])
    dstream.append(dx)
    dblocks = []
    for block in reversed(params["blocks"]):
        dx, dblock = transformer_block_backward(dx, acts.pop(), **block, n_head=n_head, mask=act["mask"])
        dblocks.insert(0, dblock)
        dstream.append(dx)
    dx = dropout_backward(dx, act["keep"])
    dwte = np.zeros_like(dhead) if untied else dhead
    embedding_backward(dx, ids, dwte)
    dwpe = np.zeros_like(params["wpe"])
    if dwpe.size:
        dwpe[: ids.shape[1]] = dx.sum(axis=0)
    grads = dict(wte=dwte, wpe=dwpe, blocks=dblocks, ln_f=dln_f)
    return grads | (dict(lm_head=dhead) if untied else {})


def loss_and_grads(params, ids, targets, n_head, p_drop=0.0, rng=None, scale=1.0):
    """Return the mean cross-entropy in nats per token, and its gradients, a tree like `params`.

    ids [B, T] -> targets [B, T], the ids that should come next; a target of -1 does not count.
    p_drop, rng: dropout, see `gpt2`. `scale`: a factor of both results, for a part of a batch.
    ValueError if no target counts or one is not in the vocabulary.
    """
    ids, targets = (np.asarray(a, like=params["wte"]) for a in (ids, targets))  # where the parameters are
    if targets.shape != ids.shape or targets.dtype.kind not in "iu":
        given = f"{targets.dtype} {list(targets.shape)}"
        raise ValueError(f"targets must be integers like ids, but are {given}, and ids {list(ids.shape)}")
    if targets.size == 0 or targets.min() < -1 or not -1 < targets.max() < len(params["wte"]):
        raise ValueError(f"targets must be ids below {len(params['wte'])}, or -1, and not all of them -1")
    acts = []
    logits = gpt2(ids, params, n_head, acts=acts, p_drop=p_drop, rng=rng)
    loss = cross_entropy(logits, targets) * scale
    dlogits = cross_entropy_backward(scale, logits, targets)
    return loss, gpt2_backward(dlogits, ids, params, n_head, acts)
