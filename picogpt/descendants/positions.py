"""Positions without a table: told by turning queries and keys (rotary), or by a bias on distance (ALiBi).

Neither learns anything, and neither ends at a last position. `places` number the tokens: [T], or with
padding [B, T].
"""

import math

import numpy as np

BASE = 10_000.0  # the slowest pair of channels turns around once in 2 pi times about so many tokens


def rotate(x, places, back=False):
    """Turn each pair of channels of a head by an angle that grows with the token's place.

    x [B, H, T, D] -> [B, H, T, D]. Channel i and channel i + D/2 are a point in the plane, as GPT-NeoX pairs
    them, turned by place / BASE^(2 i / D). A turned query and key have a dot product that depends on the
    distance of their places alone (Su et al. 2021, section 3.2).

    A turn keeps lengths, so its derivative is the turn back: `back`, which makes dx of dy.
    """
    half = x.shape[-1] // 2
    speeds = np.asarray([BASE ** (-i / half) for i in range(half)], like=x).astype(x.dtype)  # radians
    angles = places[..., None].astype(x.dtype) * (-speeds if back else speeds)  # [T, D/2] or [B, T, D/2]
    angles = angles if angles.ndim == 2 else angles[:, None]  # the same for all heads
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def alibi(places, n_head, mask):
    """Take from each score of attention the distance of key and query, times a slope for each head.

    places ([T], [S]) or ([B, T], [B, S]) -> the mask with it, [H, T, S] or [B, H, T, S] (Press et al. 2022,
    section 3). Later keys are hidden by the mask in any case.
    """
    distances = places[0][..., None, :, None] - places[1][..., None, None, :]  # [(B,) 1, T, S]
    each = np.asarray(slopes(n_head), like=mask).astype(mask.dtype)[:, None, None]  # [H, 1, 1]
    return mask - each * distances.astype(mask.dtype)


def slopes(n_head):
    """Return ALiBi's slope for each head: 2^(-8 i / n_head) for i from 1 on, if n_head is a power of two.

    Else those of the largest power below, and then every second one of the power above, from its first on
    (Press et al. 2022, their code).

    >>> slopes(4), slopes(3)
    ([0.25, 0.0625, 0.015625, 0.00390625], [0.0625, 0.00390625, 0.25])
    """
    power = 2 ** int(math.log2(n_head))
    regular = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    return regular if power == n_head else regular + slopes(2 * power)[::2][: n_head - power]
