"""Reading a prompt in pieces, by several threads, gives what one call gives."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.gpt2 import KVCache, gpt2
from picogpt.speed import prefill
from picogpt.system import machine


@pytest.fixture(params=[1, 2, 5, 256])
def piece(request, monkeypatch):
    """Pieces of so many tokens."""
    monkeypatch.setattr(prefill, "PIECE", request.param)


@pytest.mark.parametrize("pad", [None, [0, 2], [3, 1]])
def test_pieces_give_the_logits_and_the_cache_of_one_call(tiny, threads, piece, pad):
    pad = None if pad is None else np.array(pad)
    whole, pieces = KVCache(tiny.params, tiny.n_head, 2), KVCache(tiny.params, tiny.n_head, 2)
    expected = gpt2(tiny.ids, tiny.params, tiny.n_head, whole, pad=pad)[:, -1:]
    found = prefill.prefill(tiny.ids, tiny.params, tiny.n_head, pieces, pad)
    assert pieces.length == whole.length == 7
    assert np.abs(found - expected).max() < 1e-12
    for b, begin in enumerate([0, 0] if pad is None else pad):  # what stands at the padding means nothing
        assert np.abs((pieces.kv - whole.kv)[:, :, b, :, begin:7]).max() < 1e-12


def test_pieces_follow_what_the_cache_holds(tiny, threads, piece):
    row = tiny.ids[:1]
    cache = KVCache(tiny.params, tiny.n_head)
    gpt2(row[:, :3], tiny.params, tiny.n_head, cache)
    found = prefill.prefill(row[:, 3:], tiny.params, tiny.n_head, cache)
    assert np.abs(found - gpt2(row, tiny.params, tiny.n_head)[:, -1:]).max() < 1e-12
    assert cache.length == 7
    assert found.shape == (1, 1, 17)


def test_a_piece_waits_for_the_keys_of_the_one_before(tiny, keep_threads, monkeypatch):
    """The first piece does nothing until the second is through, or stands and waits as it should."""
    machine.set_threads(2)
    monkeypatch.setattr(prefill, "PIECE", 4)
    row, second_is_through = tiny.ids[:1], threading.Event()

    def late(ids, *args, **how):
        first = args[2].length == 0
        if first:
            second_is_through.wait(0.2)
        logits = gpt2(ids, *args, **how)
        if not first:
            second_is_through.set()
        return logits

    monkeypatch.setattr(prefill, "gpt2", late)
    found = prefill.prefill(row, tiny.params, tiny.n_head, KVCache(tiny.params, tiny.n_head))
    assert np.abs(found - gpt2(row, tiny.params, tiny.n_head)[:, -1:]).max() < 1e-12


def test_an_error_amid_a_piece_is_not_waited_for(tiny, keep_threads, monkeypatch):
    """The second piece fails when the third stands and waits for it."""
    machine.set_threads(2)
    monkeypatch.setattr(prefill, "PIECE", 2)
    third_has_begun, waited = threading.Event(), []

    class Impatient(threading.Event):
        def wait(self):
            waited.append(super().wait(1))

    def fails(ids, params, n_head, piece, **how):
        if piece.length == 1:  # 7 tokens in pieces of 1, 2, 2 and 2
            third_has_begun.wait(5)
            raise KeyError("the second")
        if piece.length == 3:
            third_has_begun.set()
        return gpt2(ids, params, n_head, piece, **how)

    monkeypatch.setattr(prefill, "gpt2", fails)
    monkeypatch.setattr(prefill, "threading", SimpleNamespace(Event=Impatient))
    with pytest.raises(KeyError, match="the second"):
        prefill.prefill(tiny.ids[:1], tiny.params, tiny.n_head, KVCache(tiny.params, tiny.n_head))
    assert False not in waited


def test_a_cache_with_room_for_no_more_is_enough(tiny):
    cache = KVCache(tiny.params, tiny.n_head, 2, n_ctx=7)
    found = prefill.prefill(tiny.ids, tiny.params, tiny.n_head, cache)
    assert np.abs(found - gpt2(tiny.ids, tiny.params, tiny.n_head)[:, -1:]).max() < 1e-12
    with pytest.raises(ValueError, match="7 \\+ 1 tokens do not fit into a cache made for 7"):
        gpt2(tiny.ids[:, :1], tiny.params, tiny.n_head, cache)


def test_an_error_in_one_piece_ends_them_all(tiny, threads, piece):
    ids = tiny.ids.copy()
    ids[0, 4] = 99
    with pytest.raises(ValueError, match="token id 99 is not in this model's vocabulary"):
        prefill.prefill(ids, tiny.params, tiny.n_head, KVCache(tiny.params, tiny.n_head, 2))


def test_reading_float32_makes_float32(tiny32, piece):
    cache = KVCache(tiny32.params, tiny32.n_head, 2)
    assert prefill.prefill(tiny32.ids, tiny32.params, tiny32.n_head, cache).dtype == np.float32
