"""Read prompts into a cache on all cores: in pieces, one behind the other, as on an assembly line.

`gpt2` could read a prompt in one call, and what it returns is the definition of what `read` returns. But a
cache lets tokens come in several calls as well, and calls of some hundred tokens are better in three ways.
What one operation hands to the next is then small enough to stay in the processor's own memory. A call
sees no keys after its own tokens: of the causal mask, only the triangle at its own end is computed in
vain. And each core can be in a call of its own, since a piece that has gone through a layer has left there
all that the next piece needs: that one may follow through the same layer at once.
"""

import math
import threading

import numpy as np

from picogpt.gpt2 import KVCache, check, gpt2
from picogpt.machine import n_threads, split, spread

PIECE = 256  # tokens, counted over all rows of a piece


class Piece(KVCache):
    """The part of a cache that one call fills: some rows, and in them the tokens from `begin` on."""

    def __init__(self, cache, rows, begin, before):
        """Follow `before`, the piece of the same rows that ends where this one begins, if any."""
        self.kv, self.halves, self.length = cache.kv[:, :, rows], cache.halves[:, rows], begin
        self.before = before
        self.filled = [threading.Event() for _ in cache.kv]  # for each layer

    def extend(self, layer, k, v):
        """Do as a cache does, as soon as the piece before has done so in this layer."""
        self.wait(layer)
        kv = super().extend(layer, k, v)
        self.filled[layer].set()
        return kv

    def recall(self, layer, half):
        """Do as a cache does, as soon as the piece before is through with this layer's keys and values."""
        self.wait(layer)
        return super().recall(layer, half)

    def wait(self, layer):
        """Wait until the piece before, if there is one, has filled its part of a layer."""
        if self.before:
            self.before.filled[layer].wait()


def read(ids, params, n_head, cache, pad=None):
    """Return gpt2(ids, params, n_head, cache, pad=pad, n_last=1), the logits [B, 1, V], sooner."""
    ids = np.asarray(ids)
    check(ids, params, n_head, cache, pad, 0.0, None)
    past, (B, T) = cache.length, ids.shape
    groups = split(B, min(B, n_threads()))  # of rows
    stretches = split(T, min(T, math.ceil(T * B / len(groups) / PIECE)))  # of tokens
    pieces, before = [], dict.fromkeys(range(len(groups)))
    for tokens in stretches:
        for g, rows in enumerate(groups):
            before[g] = Piece(cache, rows, past + tokens.start, before[g])
            pieces.append((before[g], ids[rows, tokens], None if pad is None else pad[rows]))

    def fill(item):
        piece, ids, pad = item
        try:
            n_last = int(piece.length + ids.shape[1] == past + T)  # nobody asks what follows earlier pieces
            return gpt2(ids, params, n_head, piece, pad=pad, n_last=n_last)
        finally:  # also after an error, lest the next piece wait for this one for ever
            for event in piece.filled:
                event.set()

    logits = spread(fill, pieces)
    cache.length += T
    return np.concatenate(logits[-len(groups) :])
