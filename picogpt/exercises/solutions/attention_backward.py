"""A right attention_backward, and the usual mistakes: below each line, what is written in its place."""

import math

from picogpt.grad import softmax_backward
from picogpt.ops import attention_probs


def attention_backward(dy, q, k, v, mask=None, keep=None):
    p = attention_probs(q, k, mask)
    # wrong: p = attention_probs(q, k)
    # The mask is forgotten when p is computed again: what was hidden gets a gradient.
    dv = p.swapaxes(-1, -2) @ dy
    # wrong: dv = p @ dy
    # p is not transposed in dv = p^T dy: key j gets from all queries that looked at it.
    # wrong: dv = p.T @ dy
    # p.T reverses all axes, the heads' and the batch's too; swapaxes(-1, -2) swaps the last two.
    dp = dy @ v.swapaxes(-1, -2)
    # wrong: dp = dy @ v
    # v is not transposed in dp = dy v^T.
    # wrong: dp = dy @ v.T
    # v.T reverses all axes, the heads' and the batch's too; swapaxes(-1, -2) swaps the last two.
    ds = softmax_backward(dp, p)
    # wrong: ds = dp
    # The backward pass through softmax is left out: ds = softmax_backward(dp, p).
    # wrong: ds = softmax_backward(p, dp)
    # dp and p are swapped: softmax_backward takes the derivative first, then what softmax made.
    scale = 1 / math.sqrt(q.shape[-1])
    # wrong: scale = 1
    # The factor 1 / sqrt(D) is forgotten in dq and dk.
    # wrong: scale = 1 / q.shape[-1]
    # Divided by D; it should be sqrt(D).
    dq = ds @ k * scale
    # wrong: dq = ds @ k
    # The factor 1 / sqrt(D) is forgotten in dq.
    # wrong: dq = ds @ q * scale
    # dq is made of k: dq = ds k / sqrt(D).
    dk = ds.swapaxes(-1, -2) @ q * scale
    # wrong: dk = ds.swapaxes(-1, -2) @ q
    # The factor 1 / sqrt(D) is forgotten in dk.
    # wrong: dk = ds.swapaxes(-1, -2) @ k * scale
    # dk is made of q: dk = ds^T q / sqrt(D).
    # wrong: dk = ds @ q * scale
    # ds is not transposed in dk = ds^T q / sqrt(D).
    return dq, dk, dv
    # wrong: return dq, dv, dk
    # dk and dv are swapped: dq, dk, dv are returned in this order.
