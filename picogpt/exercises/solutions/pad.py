"""A right causal_mask with padding, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def causal_mask(T, S, dtype, pad=None):
    hidden = np.arange(S) > np.arange(S - T, S)[:, None]  # [T, S]
    if pad is not None:
        # wrong: if pad:
        # `if pad` asks whether an array is true, which has no answer; ask `if pad is not None`.
        # wrong: if True:
        # Without padding pad is None, and the mask is [T, S].
        padding = np.arange(S) < pad[:, None, None, None]  # [B, 1, 1, S]
        # wrong: padding = np.arange(S) >= S - pad[:, None, None, None]
        # The padding is hidden at the right; it stands at the left.
        # wrong: padding = np.arange(S) <= pad[:, None, None, None]
        # One key too many is hidden: the first pad[b] are padding.
        # wrong: padding = np.arange(S) < pad[:, None, None]
        # With pad the shape is [B, 1, T, S]: an axis for the heads.
        # wrong: padding = np.arange(S) < pad[:, None]
        # With pad the shape is [B, 1, T, S]: an axis for the heads, and one for the queries.
        # wrong: padding = np.arange(S - T, S)[:, None] < pad[:, None, None, None]
        # The queries that are padding see nothing; it is the keys that are hidden, from all queries.
        hidden = hidden | padding  # [B, 1, T, S]
        # wrong: hidden = hidden & padding
        # A key is hidden if it is later or padding, not only if it is both.
        # wrong: hidden = padding
        # With pad, later tokens are seen: a key is hidden if it is later or padding.
        # wrong: pass
        # pad is ignored: its first pad[b] keys are hidden in row b.
    return np.where(hidden, -1e10, 0).astype(dtype)
    # wrong: return np.where(hidden, -1e10, 0).astype(dtype) if pad is None else np.where(hidden, -1e10, 0.0)
    # The mask is float64, and would turn the scores into it: give it the dtype asked for.
