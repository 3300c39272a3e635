"""Right attention, and the usual mistakes: below each line, what is written in its place."""

import math

import numpy as np


def attention_weights(q, k, mask=None):
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    # wrong: scores = q @ k.swapaxes(-1, -2)
    # The scores are not divided by sqrt(D).
    # wrong: scores = q @ k.swapaxes(-1, -2) / q.shape[-1]
    # The scores are divided by D; it should be sqrt(D).
    # wrong: scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[1] * q.shape[-1])
    # Divided by the root of H * D, all channels; D is the size of one head.
    # wrong: scores = q @ k.swapaxes(-1, -2) * math.sqrt(q.shape[-1])
    # The scores are multiplied by sqrt(D); they are divided by it.
    # wrong: scores = q @ k / math.sqrt(q.shape[-1])
    # k is not transposed: q k^T, over the last two axes.
    # wrong: scores = q @ k.T / math.sqrt(q.shape[-1])
    # k.T reverses all axes, the heads' and the batch's too; swapaxes(-1, -2) swaps the last two.
    # wrong: scores = k @ q.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    # q and k are swapped: row i of the scores belongs to query i.
    scores = scores if mask is None else scores + mask
    # wrong: scores = scores
    # The mask is ignored: a query sees keys that it may not.
    # wrong: scores = scores if mask is None else scores * mask
    # The mask multiplies the scores; it is added to them.
    # wrong: scores = scores if mask is None else scores - mask
    # The mask is subtracted; it is added: -1e10 where a query may not look.
    # wrong: scores = scores + mask
    # Without a mask mask is None, and nothing is added.
    # wrong: scores = scores + mask if mask else scores
    # `if mask` asks whether an array is true, which has no answer; ask `if mask is not None`.
    return np.exp(scores - scores.max(axis=-1, keepdims=True))
    # wrong: return np.exp(scores)
    # The largest score of a row is not subtracted first: e^x overflows.
    # wrong: return scores
    # Those are the scores themselves; e^(score - the row's largest) is asked for.
    # wrong: return np.exp(scores - scores.max())
    # The largest score of the whole array is subtracted: all of a row far below it becomes 0.


def attention_probs(q, k, mask=None):
    weights = attention_weights(q, k, mask)
    # wrong: weights = attention_weights(q, k)
    # The mask is ignored: a query sees keys that it may not.
    # wrong: weights = attention_weights(k, q, mask)
    # q and k are swapped: row i of the scores belongs to query i.
    return weights / weights.sum(axis=-1, keepdims=True)
    # wrong: return weights / weights.sum(axis=-2, keepdims=True)
    # Normalised over the queries; the probabilities of one query, over its keys, sum to 1: axis=-1.
    # wrong: return weights / weights.sum(axis=1, keepdims=True)
    # Axis 1 is that of the heads; the probabilities of one query, over its keys, sum to 1: axis=-1.
    # wrong: return weights / weights.sum()
    # All numbers together sum to 1; the probabilities of each query have to: sum over axis=-1.
    # wrong: return weights
    # The weights are not divided by their sum over the keys.
    # wrong: return softmax(weights)
    # softmax is taken of e^score; the weights have only to be divided by their sum.


def attention(q, k, v, mask=None, keep=None):
    return attention_probs(q, k, mask) @ v
    # wrong: return attention_probs(q, k) @ v
    # The mask is ignored: a query sees keys that it may not.
    # wrong: return attention_probs(q, k, mask) @ k
    # The keys are averaged; it should be the values, v.
    # wrong: return attention_weights(q, k, mask) @ v
    # The weights are not divided by their sum over the keys.
    # wrong: return attention_probs(q, k, mask) @ v.swapaxes(-1, -2)
    # v is transposed; the probabilities [T, S] meet the values [S, D] as they are.
