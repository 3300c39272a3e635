"""The tokenizer of characters."""

import json

import pytest
from record.bpe import tinyshakespeare

from picogpt.text import chars
from picogpt.text.chars import CharEncoder


def test_tinyshakespeare_has_the_65_characters_of_nanogpt():
    train, validation = tinyshakespeare()
    encoder = CharEncoder.from_text(train + validation)
    assert encoder.n_vocab == 65
    assert encoder.chars == "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert (len(encoder.encode(train)), len(encoder.encode(validation))) == (1_003_854, 111_540)
    assert encoder.decode(encoder.encode(validation)) == validation


def test_ids_are_places_in_the_alphabet():
    encoder = CharEncoder("cba")
    assert encoder.encode("abc") == [2, 1, 0]
    assert encoder.encoder == {"c": 0, "b": 1, "a": 2} and encoder.decoder == {0: "c", 1: "b", 2: "a"}


def test_nothing_stands_between_documents():
    encoder = CharEncoder.from_text("<|endoftext|>")
    assert encoder.eot is None
    assert encoder.encode("<|endoftext|>", allow_eot=True) == encoder.encode("<|endoftext|>")


def test_a_text_begins_after_a_newline_or_else_the_first_character():
    assert CharEncoder("a\nb").start == 1
    assert CharEncoder("ab").start == 0


@pytest.mark.parametrize("n", [200, 201])
def test_of_many_characters_the_first_two_hundred_are_shown(n):
    chars = "".join(map(chr, range(0x4E00, 0x4E00 + n)))
    assert CharEncoder(chars).shown() == (repr(chars) if n == 200 else f"{chars[:200]!r} ...")


def test_stream_yields_each_character_at_once():
    encoder = CharEncoder("ab🤗")
    ids = iter([0, 2, 1])
    stream = encoder.stream(ids)
    assert next(stream) == "a"
    assert list(ids) == [2, 1]
    assert list(encoder.stream([0, 2, 1])) == ["a", "🤗", "b"]


def test_an_unknown_character_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="does not know 'é', only the characters 'ab'"):
        CharEncoder("ab").encode("abé")


@pytest.mark.parametrize("bad", [-1, 2])
def test_an_id_outside_the_alphabet_is_named(bad):
    with pytest.raises(ValueError, match=rf"^{bad} is not an id .* 0\.\.1$"):
        CharEncoder("ab").decode([0, bad])


def test_a_character_that_occurs_twice_is_an_error():
    with pytest.raises(ValueError, match="twice in 'aba'"):
        CharEncoder("aba")


def test_a_saved_tokenizer_loads_as_the_same(tmp_path):
    chars = "\n\r\u2028 \x00\"\\'é🤗"
    CharEncoder(chars).save(tmp_path)
    assert CharEncoder.load(tmp_path).chars == chars
    assert json.loads((tmp_path / "chars.json").read_text(encoding="utf-8")) == chars
    assert [path.name for path in tmp_path.iterdir()] == ["chars.json"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"chars\.json is missing"):
        CharEncoder.load(tmp_path)


@pytest.mark.parametrize("content", ['"ab', "3", "[1, 2]", '"aa"'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "chars.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"chars\.json is damaged"):
        CharEncoder.load(tmp_path)


def test_a_file_of_more_characters_than_there_are_is_refused_shortly(tmp_path):
    (tmp_path / "chars.json").write_bytes(b'"' + b"a" * (chars.MOST + 1) + b'"')
    with pytest.raises(ValueError, match=r"chars\.json is damaged \(it has more than 8,388,608 bytes\)"):
        CharEncoder.load(tmp_path)
    (tmp_path / "chars.json").write_bytes(b'"' + b"ab" * 1_000_000 + b'"')
    with pytest.raises(ValueError, match="a character occurs twice") as error:
        CharEncoder.load(tmp_path)
    assert len(str(error.value)) < 500


def test_of_many_characters_some_are_quoted():
    encoder = CharEncoder("".join(map(chr, range(0x4E00, 0x9FFF))))
    with pytest.raises(ValueError, match="the model does not know 'a', only the characters") as error:
        encoder.encode("a")
    assert len(str(error.value)) < 500
