"""A right causal_mask, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def causal_mask(T, S, dtype, pad=None):
    queries = np.arange(S - T, S)[:, None]  # the last T of S tokens
    # wrong: queries = np.arange(T)[:, None]
    # The offset S - T is forgotten: the triangle stands in the lower right corner.
    hidden = np.arange(S) > queries  # [T, S]
    # wrong: hidden = np.arange(S) >= queries
    # A token cannot see itself; it may.
    # wrong: hidden = np.arange(S) < queries
    # The wrong triangle: the past is hidden and the future seen.
    # wrong: hidden = np.arange(S) <= queries
    # Allowed and hidden are swapped.
    return np.where(hidden, -1e10, 0).astype(dtype)
    # wrong: return np.where(hidden, -np.inf, 0).astype(dtype)
    # Hidden is -inf; -1e10 does the same, and a row of nothing else makes no nan.
    # wrong: return np.where(hidden, 0, 1).astype(dtype)
    # 1 where a query may look and 0 where not; what is added to scores is 0 and -1e10.
    # wrong: return np.tril(np.ones((T, S)))
    # 1 where a query may look and 0 where not; what is added to scores is 0 and -1e10.
    # wrong: return np.tril(np.ones((T, S), dtype))
    # 1 where a query may look and 0 where not; what is added to scores is 0 and -1e10.
    # wrong: return np.tril(np.ones((T, S), bool))
    # 1 where a query may look and 0 where not; what is added to scores is 0 and -1e10.
    # wrong: return np.triu(np.ones((T, S), dtype), 1)
    # 1 where a query may not look; what is added to scores there is -1e10.
    # wrong: return hidden
    # True where a query may not look; what is added to scores there is -1e10.
    # wrong: return np.triu(np.full((T, S), -1e10, dtype))
    # A token cannot see itself; it may.
    # wrong: return np.triu(np.full((T, S), -1e10, dtype), 1)
    # The offset S - T is forgotten: the triangle stands in the lower right corner.
    # wrong: return np.where(hidden, 1e10, 0).astype(dtype)
    # The sign: the hidden scores must become very small, -1e10.
    # wrong: return np.where(hidden, -1e10, 0.0)
    # The mask is float64, and would turn the scores into it: give it the dtype asked for.
