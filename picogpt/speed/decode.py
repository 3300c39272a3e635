"""The logits of the next token, over and over: with a cache, a window that slides, and guesses."""

import logging

import numpy as np

from picogpt.gpt2 import KVCache, gpt2
from picogpt.speed.prefill import read

log = logging.getLogger(__name__)


def left_pad(rows):
    """Stack lists of ids of unequal length, filled up with 0 at the left -> ids [B, T], pad [B] or None.

    >>> left_pad([[5, 6, 7], [8]])
    (array([[5, 6, 7],
           [0, 0, 8]]), array([0, 2]))
    """
    T = max(len(row) for row in rows)
    pad = np.array([T - len(row) for row in rows])
    ids = np.array([[0] * (T - len(row)) + row for row in rows])
    return ids, pad if pad.any() else None


def next_logits(rows, done, params, n_head, n_new, overflow="slide", use_cache=True, guesser=None):
    """Yield the logits [B, V] of each row's next token, over and over; the caller appends its choice.

    The first turn reads the whole rows, each later one only the new tokens. A row that outgrows the
    context is cut to its newest half, and all are read again, since their positions have changed: by then
    half a context of tokens has been made, so that for each of them about one is read again. A row b that
    is `done[b]` may outgrow the context unnoticed: nobody reads what follows. The cache has room for n_new
    tokens. `guesser`, see guess.py, is for a single row.
    """
    n_ctx = len(params["wpe"])
    cache = pad = slid = None
    while True:
        too_long = [b for b, row in enumerate(rows) if len(row) > n_ctx]
        if not slid and not all(done[b] for b in too_long):
            if overflow == "error":
                raise ValueError(f"the text has filled all {n_ctx} positions of this model")
            log.warning("the context of %d tokens is full: going on from its newest half", n_ctx)
            slid = True
        for b in too_long:
            del rows[b][: -max(1, n_ctx // 2)]
        guesses = []
        if too_long or not cache:
            ids, pad = left_pad(rows)  # [B, T], [B]
            if not use_cache:
                yield gpt2(ids, params, n_head, pad=pad, n_last=1)[:, -1]
                continue
            cache = KVCache(params, n_head, len(rows), min(n_ctx, ids.shape[1] + n_new))
            logits = read(ids, params, n_head, cache, pad)  # [B, 1, V]
        else:
            if guesser:
                guesses = guesser.guess(rows[0])[: cache.kv.shape[-2] - cache.length - 1]
            ids = np.array([row[-1:] + guesses for row in rows])  # [B, 1 + guesses]
            logits = gpt2(ids, params, n_head, cache, pad=pad)  # [B, 1 + guesses, V]
        n_right = 0
        try:
            yield logits[:, 0]
            while n_right < len(guesses) and rows[0][-1] == guesses[n_right]:
                n_right += 1
                yield logits[:, n_right]
        finally:  # also when nobody asks for more
            if guesses:
                guesser.learn(len(guesses), n_right)
                cache.length -= len(guesses) - n_right  # the cache forgets what was guessed wrongly
