"""The loop that asks the model for the next logits: what it computes, and how much of it."""

import numpy as np
import pytest

from picogpt.generate import generate
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.speed import decode

HPARAMS = dict(n_vocab=17, n_ctx=16, n_embd=12, n_head=3, n_layer=2)


def test_left_padding_is_counted():
    ids, pad = decode.left_pad([[1, 2, 3], [4]])
    assert ids.tolist() == [[1, 2, 3], [0, 0, 4]]
    assert pad.tolist() == [0, 2]
    assert decode.left_pad([[1], [2]])[1] is None


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_text_beyond_the_context_reads_about_one_token_more_for_each(monkeypatch, n_rows):
    params = tree_map(lambda w: w * 20, init_params(HPARAMS, np.random.default_rng(5)))
    read, n_read = decode.read, []
    monkeypatch.setattr(decode, "read", lambda ids, *more: n_read.append(ids.shape[1]) or read(ids, *more))
    generate(params, 3, [[1, 2]] * n_rows, 200, guesser=False)
    assert set(n_read[1:]) == {8}  # half the context, each time
    assert sum(n_read) <= 200 + 16


def test_the_cache_has_no_more_room_than_is_needed(monkeypatch):
    params, made = init_params(HPARAMS, np.random.default_rng(0)), []

    class Cache(decode.KVCache):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self.kv.shape[-2])

    monkeypatch.setattr(decode, "KVCache", Cache)
    generate(params, 3, [[1, 2, 3], [4]], 5)
    generate(params, 3, [[1, 2, 3]], 14)
    generate(params, 3, [[1, 2, 3]], 15)
    assert made == [8, 16, 16, 16]  # the last text outgrows the context, and all is read anew
