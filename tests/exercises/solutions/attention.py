"""Another right form of what the rung attention asks for."""

import math

import numpy as np

from picogpt.ops import softmax


def attention_probs(q, k, mask=None):
    scores = np.einsum("...td,...sd->...ts", q, k) / math.sqrt(q.shape[-1])
    return softmax(scores if mask is None else scores + mask)


attention_weights = attention_probs


def attention(q, k, v, mask=None, keep=None):
    return attention_probs(q, k, mask) @ v
