"""From text to batches."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints.weights import shipped
from picogpt.text import data
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder

SHAKESPEARE = Path(__file__).parents[1] / "data" / "tinyshakespeare.txt"


@pytest.fixture(scope="module")
def shakespeare():
    return data.read_text(SHAKESPEARE)


def test_nanogpts_character_split_has_its_published_sizes(shakespeare):
    encoder = CharEncoder.from_text(shakespeare)
    sizes = [len(data.encode(part, encoder)) for part in data.split(shakespeare, 0.1)]
    assert (encoder.n_vocab, sizes) == (65, [1_003_854, 111_540])


def test_nanogpts_bpe_split_has_its_published_sizes(shakespeare):
    encoder = load_encoder(shipped("gpt2-bpe"))
    assert [len(data.encode(part, encoder)) for part in data.split(shakespeare, 0.1)] == [301_966, 36_059]


def test_endoftext_lines_become_the_id_before_each_document():
    encoder = load_encoder(shipped("gpt2-bpe"))
    ids = data.encode("One.\n<|endoftext|>\nTwo\n\nlines.\n<|endoftext|>\n", encoder)
    assert ids.dtype == np.uint16
    assert encoder.decode(ids.tolist()) == "<|endoftext|>One.<|endoftext|>Two\n\nlines."
    assert ids.tolist().count(encoder.eot) == 2


def test_lines_end_as_in_any_text_that_python_opens(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"one\r\ntwo\rthree\nfour\r\r\n")
    assert data.read_text(path) == path.read_text(encoding="utf-8") == "one\ntwo\nthree\nfour\n\n"


@pytest.mark.parametrize("special", [True, False])
def test_control_tokens_in_a_text_are_ids_only_where_the_caller_says_so(special):
    encoder = load_encoder(shipped("gpt2-bpe"))
    encoder.special = special
    ids = data.encode("a<|endoftext|>b", encoder).tolist()
    assert ids == ([50256, 64, 50256, 65] if special else [50256, *encoder.encode("a<|endoftext|>b", False)])
    assert encoder.encode("a<|endoftext|>b", allow_eot=False) == ids[1:] or special


def test_a_batch_is_made_of_windows_and_what_follows_them():
    ids = np.arange(1000, 1020, dtype=np.uint16)
    x, y = data.random_batch(ids, batch_size=500, n_ctx=4, rng=np.random.default_rng(0))
    assert x.shape == y.shape == (500, 4)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(x, x[:, :1] + np.arange(4))
    assert set(x[:, 0].tolist()) == set(range(1000, 1016))  # every place a window fits, and no other


def test_windows_may_begin_where_documents_do():
    ids = np.array([7, 1, 2, 7, 3, 4, 5, 7, 6, 8, 9], np.uint16)
    assert data.document_starts(ids, 7, 3).tolist() == [0, 3, 7]
    assert data.document_starts(ids, 7, 4).tolist() == [0, 3]  # behind the last there are but three more
    assert data.document_starts(ids, 7, 3, piece=4).tolist() == [0, 3, 7]
    assert data.document_starts(ids, 7, 11).tolist() == data.document_starts(ids, 0, 3).tolist() == []
    x, y = data.random_batch(ids, 200, 3, np.random.default_rng(0), data.document_starts(ids, 7, 3))
    assert set(map(tuple, x.tolist())) == {(7, 1, 2), (7, 3, 4), (7, 6, 8)}
    assert set(map(tuple, y.tolist())) == {(1, 2, 7), (3, 4, 5), (6, 8, 9)}


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no text file .*none\.txt"):
        data.read_text(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("Märchen".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8 text: byte 1 is 0xe4"):
        data.read_text(tmp_path / "latin.txt")


def test_a_marker_inside_a_line_is_text():
    assert list(data.documents("The <|endoftext|> mark.\n<|endoftext|>\nTwo.")) == [
        "The <|endoftext|> mark.",
        "Two.",
    ]


def test_documents_keep_the_spaces_at_their_ends():
    assert list(data.documents("\n\n  One. \n\n<|endoftext|>\n\tTwo.\u3000\n")) == ["  One. ", "\tTwo.\u3000"]
    assert list(data.documents("<|endoftext|>\n\n<|endoftext|>\n \n")) == [" "]


@pytest.mark.parametrize(("n_vocab", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_ids_are_kept_in_sixteen_bits_as_long_as_they_fit(n_vocab, dtype):
    def encode(text, template):
        assert template is False
        return [0, n_vocab - 1]

    encoder = SimpleNamespace(n_vocab=n_vocab, eot=1, start=1, encode=encode)
    for text, ids in (("a", [0, n_vocab - 1]), ("a\n<|endoftext|>\n", [1, 0, n_vocab - 1])):
        found = data.encode(text, encoder)
        assert (found.dtype, found.tolist()) == (dtype, ids)
    found = data.encode("<|endoftext|>\n", encoder)
    assert (found.dtype, found.tolist()) == (dtype, [])


def test_a_token_that_ends_a_text_and_begins_none_stands_after_each_document():
    encoder = SimpleNamespace(n_vocab=9, start=1, eot=2, encode=lambda text, template: [5])
    assert data.encode("a\n<|endoftext|>\nb", encoder).tolist() == [1, 5, 2, 1, 5, 2]
    encoder.eot = None
    assert data.encode("a\n<|endoftext|>\nb", encoder).tolist() == [5]


def test_a_marker_at_the_very_cut_goes_to_what_is_held_out():
    text = "aaaa<|endoftext|>bbbb"  # the marker's 13 letters begin at 4 of 21
    for cut in range(1, 21):
        first, second = data.split(text, (21 - cut - 0.5) / 21)
        assert first + second == text
        assert len(first) == (4 if 4 <= cut < 17 else cut)


def test_a_marker_at_the_very_beginning_is_not_cut_either():
    text = "<|endoftext|>bbbb"
    assert data.split(text, 12.5 / 17) == ("", text)
    assert data.split(text, 4 / 17) == ("<|endoftext|>", "bbbb")


def test_the_split_cuts_no_marker():
    text = "aaaa\n<|endoftext|>\nbbbb\n"
    for share in np.linspace(0.05, 0.95, 50):
        assert [part.count("<|endoftext|>") for part in data.split(text, share)] in ([1, 0], [0, 1])


def test_windows_line_ends_and_byte_order_marks_are_no_text(tmp_path):
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert data.read_text(tmp_path / "windows.txt") == "one\ntwo"
    (tmp_path / "mac.txt").write_bytes(b"one\rtwo\r\rthree\r\n")
    assert data.read_text(tmp_path / "mac.txt") == "one\ntwo\n\nthree\n"
