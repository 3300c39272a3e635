"""The operations that GPT-2 is made of, each a function of arrays; `grad.py` mirrors every one.

Shapes are written with single letters, here and in all other files:

    B  batch: sequences side by side        H  heads
    T  tokens in this call                  D  size of a head, C / H
    S  tokens so far, this call's included  V  vocabulary
    C  channels of the residual stream (n_embd)

An operation takes floating-point arrays and returns their dtype. Constants are therefore Python
numbers: a NumPy scalar such as np.sqrt(2) is float64 and would turn all that follows into float64, at
half the speed. `*=` and `+=` work in memory that the function itself has just made, never in its
arguments.

The arrays need not be NumPy's. `np.exp(x)` asks x how it is done, and so does every function that is
called here: arrays that answer, such as those of a graphics processor, are computed on where they lie.
"""

import math

import numpy as np


def gelu(x):
    """Let large inputs through and hold back negative ones, smoothly: x * P(Z <= x), Z normal.

    gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))

    That is the tanh form, with which GPT-2 was trained (Hendrycks & Gimpel 2016, section 2; OpenAI's
    model.py). The exact one, with erf, differs by up to 0.00047. Any shape.

    >>> gelu(np.array([[1, 2], [-2, 0.5]])).round(5)
    array([[ 0.84119,  1.9546 ],
           [-0.0454 ,  0.34571]])
    """
    c = math.sqrt(2 / math.pi)
    y = x * x  # not x**3, which would call pow for every element, 15 times slower
    y *= 0.044715 * c
    y += c
    y *= x  # now c * (x + 0.044715 * x^3)
    y = np.tanh(y)
    y += 1
    y *= x
    y *= 0.5
    return y


def softmax(x):
    """Turn scores into probabilities: softmax(x)_i = e^x_i / sum_j e^x_j over the last axis.

    The largest score is subtracted first. That cancels in the fraction, and e^x cannot overflow.

    >>> softmax(np.array([[2, 10], [-1, 0]])).round(5)
    array([[3.4000e-04, 9.9966e-01],
           [2.6894e-01, 7.3106e-01]])

    "GPT in 60 Lines of NumPy" prints that as the softmax of another array, whose own is:

    >>> softmax(np.array([[2, 100], [-5, 0]])).round(5)
    array([[0.     , 1.     ],
           [0.00669, 0.99331]])
    """
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


def layer_norm(x, g, b=None, eps=1e-5):
    """Shift and stretch each row to mean 0 and variance 1, then by learned gain and bias.

    y = g * (x - mean) / sqrt(variance + eps) + b   over the last axis (Ba, Kiros & Hinton 2016)

    x [..., C], g [C], b [C] -> [..., C]. `eps` keeps a constant row from dividing by zero.

    >>> layer_norm(np.array([[2, 2, 3], [-5, 0, 1]]), g=np.ones(3), b=np.zeros(3)).round(5)
    array([[-0.70709, -0.70709,  1.41418],
           [-1.397  ,  0.508  ,  0.889  ]])
    """
    y = x - x.mean(axis=-1, keepdims=True)
    y /= np.sqrt(row_dot(y, y) * (1 / x.shape[-1]) + eps)
    y *= g
    if b is not None:
        y += b
    return y


def row_dot(a, b):
    """Multiply each row of a by the same row of b and add up: a, b [..., C] -> [..., 1].

    As (a * b).sum(axis=-1, keepdims=True), without making a * b, which would take four times as long.
    """
    return np.einsum("...c,...c->...", a, b)[..., None]


def linear(x, w, b=None):
    """Multiply each row by a matrix and add a bias: y = x w + b.

    x [..., m], w [m, n], b [n] -> [..., n]. All leading axes become the rows of one tall matrix: one
    matrix product then reads `w` once for the whole batch.

    >>> linear(np.ones((64, 784)), np.ones((784, 10)), np.ones(10)).shape
    (64, 10)
    """
    y = x.reshape(-1, x.shape[-1]) @ w
    if b is not None:
        y += b
    return y.reshape(*x.shape[:-1], w.shape[-1])


def attention_weights(q, k, mask=None):
    """Say how much each query attends to each key, up to a factor for each query: e^(score - largest score).

    score = q k^T / sqrt(D) + mask. q [..., T, D], k [..., S, D], mask broadcast to [..., T, S] ->
    [..., T, S]. A mask of -1e10 makes a weight exactly 0, as e^-1e10 is.
    """
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.swapaxes(-1, -2)  # [..., T, S]
    if mask is not None:
        scores += mask
    scores -= scores.max(axis=-1, keepdims=True)
    return np.exp(scores)


def attention_probs(q, k, mask=None):
    """Return the weights made into probabilities: softmax(q k^T / sqrt(D) + mask), rows sum to 1."""
    weights = attention_weights(q, k, mask)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def attention(q, k, v, mask=None, keep=None, time=None):
    """Average the values, each query by its own probabilities: softmax(q k^T / sqrt(D) + mask) v.

    q [..., T, D], k [..., S, D], v [..., S, D] -> [..., T, D] (Vaswani et al. 2017, equation 1).
    `keep` [..., T, S] are the factors of a dropout on the probabilities. The sum that makes weights into
    probabilities divides what came of them, D numbers for each query, and not the S weights themselves.
    `time` are learned factors of the probabilities, see tricks.py.
    """
    weights = attention_weights(q, k, mask)
    factored = weights if time is None else weights * time
    return dropout(factored, keep) @ v / weights.sum(axis=-1, keepdims=True)


def positions(past, T, pad=None):
    """Number the tokens of this call: [T], or with `pad` [B, T], in which the padding is at position 0."""
    count = np.arange(past, past + T)
    return count if pad is None else np.maximum(count - pad[:, None], 0)


def causal_mask(T, S, dtype, pad=None):
    """Return 0 where a query may look and -1e10 where it may not: at later tokens and at padding.

    The last of T queries sees all S keys, the one before it one key less, and so on: the triangle
    stands in the lower right corner, whether or not keys from earlier calls come first. `pad` [B]
    counts the padding tokens at the left of each row. -> [T, S], or [B, 1, T, S] with `pad`.

    >>> causal_mask(2, 3, np.float32) == 0
    array([[ True,  True, False],
           [ True,  True,  True]])
    """
    hidden = np.arange(S) > np.arange(S - T, S)[:, None]  # [T, S]
    if pad is not None:
        hidden = hidden | (np.arange(S) < pad[:, None, None, None])  # [B, 1, T, S]
    return np.where(hidden, -1e10, 0).astype(dtype)


def dropout_mask(shape, dtype, p=0.0, rng=None):
    """Draw the factors of a dropout: 0 with probability p, else 1 / (1 - p). None if p is 0.

    The survivors grow so that the expected value stays (Srivastava et al. 2014, section 10).
    """
    if p == 0:
        return None
    return (rng.random(shape, np.float32) >= p).astype(dtype) * float(1 / (1 - p))


def dropout(x, keep):
    """Multiply by the factors that `dropout_mask` drew; None leaves x as it is."""
    return x if keep is None else x * keep


def cross_entropy(logits, targets):
    """Return how surprised the model is by the targets: the mean of -ln softmax(logits)[target], in nats.

    logits [..., V], targets [...] of ids -> a scalar. Targets of -1 do not count; at least one must.

    >>> round(float(cross_entropy(np.zeros((4, 50257)), np.array([0, 7, 50256, -1]))), 4)  # ln 50257
    10.8249
    """
    counted = targets != -1  # [...]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=-1))  # [...]
    chosen = np.take_along_axis(shifted, np.where(counted, targets, 0)[..., None], axis=-1)[..., 0]
    return ((log_sums - chosen) * counted).sum() / counted.sum(dtype=logits.dtype)
