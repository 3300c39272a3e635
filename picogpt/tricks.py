"""What descendants of GPT-2 do in other ways, forward and backward; docs/options.md lists all of them.

Each acts where its parameter stands in the tree, and costs nothing elsewhere. One that learns nothing has an
empty array there, whose length is its setting, if it has one. `places` are those of the queries and of the
keys, ([T], [S]), or with padding ([B, T], [B, S]), as `ops.positions` counts them.
"""

import numpy as np

from picogpt.ops import positions


def before_attention(
    x, mask, past=0, pad=None, recall=None, *, time_weighting=None, time_mixing=None, band=None
):
    """Do what attention begins with: mix x, narrow the mask. -> x, mask, factors of the probabilities.

    x [B, T, C] and `mask` are what GPT-2 would take; `recall` is of the cache, if there is one.
    """
    places = both_places(x, past, pad)
    if time_mixing is not None:
        x = mix_time(x, places, recall)
    if band is not None:
        mask = banded(mask, places, len(band), x.dtype)
    return x, mask, None if time_weighting is None else time_weights(places, **time_weighting)


def before_attention_backward(dx, dtime=None, *, time_weighting=None, time_mixing=None, band=None):
    """Go back through it, from dx and the derivative by the factors. -> dx, gradients.

    The gradient of an empty array is that array.
    """
    dweighting = None if dtime is None else time_weights_backward(dtime, both_places(dx), **time_weighting)
    grads = dict(time_weighting=dweighting, time_mixing=time_mixing, band=band)
    dx = dx if time_mixing is None else mix_time_backward(dx)
    return dx, {name: grad for name, grad in grads.items() if grad is not None}


def both_places(x, past=0, pad=None):
    """Number the tokens of x [B, T, C], the queries, and all so far, the keys; beside x, wherever that is."""
    T = x.shape[1]
    return tuple(np.asarray(positions(*those, pad), like=x) for those in ((past, T), (0, past + T)))


def time_weights(places, full=None, distance=None, key=None):
    """Return by what to multiply each probability of attention: learned, for each head, query and key place.

    `full` [H, n_ctx, n_ctx] has a number for each pair. Else `distance` [H, n_ctx] has one for each distance,
    the last for distance 0, and `key` [H, n_ctx] one for each key: a circulant matrix, its columns scaled.
    -> [H, T, S], or with padding [B, H, T, S].
    """
    queries, keys = places[0][..., None], places[1][..., None, :]
    if full is not None:
        return np.moveaxis(full[:, queries, keys], 0, -3)
    return by_distance(distance, places) * np.moveaxis(key[:, keys], 0, -3)


def by_distance(distance, places):
    """Return the number for each query's distance from each key: [H, n_ctx] -> [.., H, T, S].

    A key after its query counts as at distance 0: its probability is 0 anyway.
    """
    steps = np.maximum(places[0][..., None] - places[1][..., None, :], 0)
    return np.moveaxis(distance[:, distance.shape[-1] - 1 - steps], 0, -3)


def time_weights_backward(dfactors, places, full=None, distance=None, key=None):
    """Give each number what comes back from all places where it stood: dfactors [H, T, T] -> gradients.

    dfull = dfactors, ddistance = sums of diagonals, dkey = sums of columns. Laid flat and cut into rows of
    T + 1 numbers, a matrix [T, T] has each diagonal in one column: the main one in the first, those below it
    in the last, the last but one, and so on. Those above it, which land there too, are 0.
    """
    H, T, _ = dfactors.shape
    more = (0, (key if full is None else full).shape[-1] - T)  # places that no token had
    if full is not None:
        return dict(full=np.pad(dfactors, ((0, 0), more, more)))
    rows = np.pad((dfactors * key[:, None, :T]).reshape(H, T * T), ((0, 0), (0, T)))
    sums = rows.reshape(H, T, T + 1).sum(axis=1)
    ddistance = np.concatenate([sums[:, 2:], sums[:, :1]], axis=1)  # of T - 1, .., 1, and 0
    dkey = (dfactors * by_distance(distance, places)).sum(axis=1)
    return dict(distance=np.pad(ddistance, ((0, 0), more[::-1])), key=np.pad(dkey, ((0, 0), more)))


def mix_time(x, places, recall=None):
    """Let each token's first half of channels be that of the token before it, zeros for the first token.

    x [B, T, C] -> [B, T, C]. `recall(half)` has a cache remember the halves [B, T, C // 2] of these tokens,
    and returns those of the tokens before them.
    """
    half = x[..., : x.shape[-1] // 2]
    before = recall(half) if recall else later(half)
    before = np.where(places[0][..., None] > 0, before, 0)
    return np.concatenate([before, x[..., half.shape[-1] :]], axis=-1)


def mix_time_backward(dy):
    """What came from the token before goes back to it, and to none after the last: dy [B, T, C] -> dx."""
    half = dy[..., : dy.shape[-1] // 2]
    return np.concatenate([later(half[:, ::-1])[:, ::-1], dy[..., half.shape[-1] :]], axis=-1)


def later(x):
    """Move each token's row to the next one; the first gets zeros. [B, T, C] -> [B, T, C]"""
    return np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def banded(mask, places, width, dtype):
    """Hide the keys that are `width` tokens or more before a query, besides what `mask` hides."""
    far = places[0][..., None] - places[1][..., None, :] >= width  # [T, S] or [B, T, S]
    band = np.where(far if far.ndim == 2 else far[:, None], -1e10, 0).astype(dtype)
    return band if mask is None else np.minimum(mask, band)


def gelu_quick(x):
    """Come close to gelu with a sigmoid: x / (1 + e^(-1.702 x)) (Hendrycks & Gimpel 2016, section 2).

    The sigmoid is (1 + tanh of half its argument) / 2, in which nothing overflows. Any shape.

    >>> gelu_quick(np.array([[1, 2], [-2, 0.5]])).round(5)
    array([[ 0.8458 ,  1.93566],
           [-0.06434,  0.35039]])
    """
    return 0.5 * x * (1 + np.tanh(0.851 * x))


def gelu_quick_backward(dy, x):
    """With t = tanh(0.851 x), the forward is y = x / 2 * (1 + t).

    dx = dy / 2 * (1 + t + 0.851 x * (1 - t^2))
    """
    t = np.tanh(0.851 * x)
    return 0.5 * dy * (1 + t + 0.851 * x * (1 - t * t))
