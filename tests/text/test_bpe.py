"""GPT-2's tokenizer against published ids, and against the record of tiktoken and Hugging Face."""

import hashlib
import json
import random
from pathlib import Path

import pytest
import regex
from record import bpe as record

from picogpt.text.bpe import LETTER, NUMBER, Encoder, load_encoder

TESTS = Path(__file__).parents[1]
GPT2 = TESTS.parent / "models" / "gpt2-bpe"
MERGES = (GPT2 / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(GPT2)


@pytest.fixture(scope="module")
def recorded():
    return json.loads(record.RECORD.read_text(encoding="utf-8"))


def published_cases():
    cases = json.loads((TESTS / "references" / "tokenizer_cases.json").read_text(encoding="utf-8"))
    return [
        pytest.param(case["text"], case["ids"], id=f"{n} {case['source']}") for n, case in enumerate(cases)
    ]


def write(folder, merges, header="#version: 0.2"):
    (folder / "vocab.bpe").write_text("\n".join([header, *merges, ""]), encoding="utf-8", newline="\n")
    return folder


def random_ids(encoder, n, seed=3):
    rng = random.Random(seed)
    return [int(rng.random() * encoder.n_vocab) for _ in range(n)]


# Equal to the others


@pytest.mark.parametrize("text, ids", published_cases())
def test_published_ids_are_ours(encoder, text, ids):
    assert encoder.encode(text) == ids
    assert encoder.decode(ids) == text


def test_every_text_has_the_ids_that_tiktoken_and_hugging_face_give_it(encoder, recorded):
    ours = record.text_facts(encoder.encode)
    assert ours["hostile"] == recorded["plain"]["hostile"]
    assert ours == recorded["plain"]


def test_tinyshakespeare_has_as_many_tokens_as_nanogpt_counts(recorded):
    parts = recorded["plain"]["tinyshakespeare"]
    assert (parts["train"]["tokens"], parts["validation"]["tokens"]) == (301_966, 36_059)


def test_endoftext_is_one_id_where_it_is_allowed(encoder, recorded):
    assert record.eot_facts(lambda text: encoder.encode(text, allow_eot=True)) == recorded["eot"]
    assert encoder.encode("a<|endoftext|>b", allow_eot=True) == [64, 50256, 65]


def test_endoftext_is_plain_text_elsewhere(encoder):
    assert encoder.encode("<|endoftext|>") == [27, 91, 437, 1659, 5239, 91, 29]


def test_letters_numbers_and_spaces_are_those_of_unicode_16(recorded):
    kinds = dict(L=LETTER, N=NUMBER, s=r"\s")
    found = record.unicode_facts(
        lambda kind: "".join(regex.findall(kinds[kind], record.CHARACTERS, flags=regex.VERSION1))
    )
    assert found == recorded["unicode"], "`regex` knows a newer Unicode, or one before 16: see bpe.LATER"


def test_tokenizers_with_fewer_merges_equal_tiktoken_with_fewer_merges(recorded):
    smaller = record.smaller_facts(lambda n: load_encoder(GPT2, n_vocab=n).encode)
    assert smaller == recorded["smaller"]


def test_the_record_is_what_tiktoken_says_today(recorded):
    pytest.importorskip("tiktoken")
    live = record.tiktoken_facts()
    assert live == {key: recorded[key] for key in live}


def test_the_record_is_what_hugging_face_says_today(recorded):
    pytest.importorskip("tokenizers")
    assert record.tokenizers_facts() == recorded["plain"]


# Why it is equal


def test_every_token_encodes_to_itself(encoder):
    """tiktoken joins any two neighbours that make a token, we only the pair of the merge that made it.

    Neighbours that make a token in another way than its merge would leave that token's own bytes unmerged,
    too; as there is no such token, both rules give the same ids for every text.
    """
    for i in range(encoder.eot):
        assert encoder.merge(encoder.token_bytes(i)) == (i,)


def test_encoder_json_follows_from_the_merges_byte_for_byte(encoder):
    text = json.dumps(encoder.encoder)
    published = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
    assert hashlib.sha256(text.encode()).hexdigest() == published


def test_ids_count_bytes_then_merges_then_endoftext(encoder):
    assert encoder.n_vocab == 50257 and encoder.eot == 50256
    assert encoder.encoder["<|endoftext|>"] == 50256 and encoder.decoder[50256] == "<|endoftext|>"
    assert encoder.encoder == {token: i for i, token in encoder.decoder.items()}
    assert [encoder.decode([i]) for i in (0, 220, 256, 258, 50255)] == ["!", " ", " t", "he", " gazed"]


def test_the_cache_is_bounded_and_keeps_no_long_words():
    encoder = load_encoder(GPT2)
    assert encoder.encode(" heroes" * 3) == [10281] * 3
    encoder.encode("z" * 1000)
    info = encoder.cached_merge.cache_info()
    assert (info.currsize, info.hits, info.misses, info.maxsize) == (1, 2, 1, 2**17)


# Decoding


def test_decoding_gives_the_text_back(encoder):
    for text in [*record.HOSTILE, *record.random_texts(1000)]:
        assert encoder.decode(encoder.encode(text)) == text
        assert encoder.decode(encoder.encode(text, allow_eot=True)) == text


def test_streamed_pieces_join_to_the_decoded_text(encoder):
    for seed in range(500):
        ids = random_ids(encoder, 40, seed)  # mostly not UTF-8
        ids = [i % 256 if seed % 2 else i for i in ids]
        assert "".join(encoder.stream(ids)) == encoder.decode(ids)


def test_stream_never_shows_half_a_character(encoder):
    ids = encoder.encode("a🤗é")
    assert [encoder.decode([i]) for i in ids] == ["a", "\ufffd", "\ufffd", "\ufffd", "é"]
    assert list(encoder.stream(ids)) == ["a", "🤗", "é"]
    assert list(encoder.stream(ids[:2])) == ["a", "\ufffd"]


def test_stream_yields_before_the_next_id_is_made(encoder):
    made = []

    def live():
        for i in encoder.encode("one two three"):
            made.append(i)
            yield i

    assert next(encoder.stream(live())) == "one"
    assert len(made) == 1


@pytest.mark.parametrize("bad", [-1, 50257])
def test_an_id_outside_the_vocabulary_is_named(encoder, bad):
    with pytest.raises(ValueError, match=rf"^{bad} is not an id .* 0\.\.50256"):
        encoder.decode([0, bad])
    with pytest.raises(ValueError, match=f"^{bad} is not an id"):
        list(encoder.stream([0, bad]))


def test_a_lone_surrogate_is_named_with_its_place(encoder):
    with pytest.raises(ValueError, match=r"lone surrogate '\\ud83e' at index 3"):
        encoder.encode("abc\ud83e")


# Files


@pytest.mark.parametrize("n_vocab", [257, 1000, 50257])
def test_a_saved_tokenizer_loads_as_the_same(tmp_path, n_vocab):
    encoder = load_encoder(GPT2, n_vocab=n_vocab)
    encoder.save(tmp_path)
    again = load_encoder(tmp_path)
    assert again.encoder == encoder.encoder and again.merges == encoder.merges
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.bpe"]


def test_saving_gives_openais_file_byte_for_byte(encoder, tmp_path):
    encoder.save(tmp_path)
    assert (tmp_path / "vocab.bpe").read_bytes() == (GPT2 / "vocab.bpe").read_bytes()


def test_the_first_lines_of_vocab_bpe_are_a_smaller_tokenizer(tmp_path):
    smaller = load_encoder(write(tmp_path, MERGES[:743]))
    assert smaller.n_vocab == 1000 and smaller.eot == 999
    assert smaller.encoder == load_encoder(GPT2, n_vocab=1000).encoder
    assert smaller.decode(smaller.encode("Not all heroes wear capes.")) == "Not all heroes wear capes."


def test_no_merges_give_a_tokenizer_of_bytes():
    encoder = Encoder([])
    assert encoder.n_vocab == 257
    assert encoder.encode("é") == [encoder.encoder["Ã"], encoder.encoder["©"]]


def test_an_encoder_json_that_agrees_is_accepted(encoder, tmp_path):
    encoder.save(tmp_path)
    (tmp_path / "encoder.json").write_text(json.dumps(encoder.encoder), encoding="utf-8")
    assert load_encoder(tmp_path, n_vocab=300).n_vocab == 300


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is not JSON"),
        ("[]", "different ids"),
        ('{"!": 1}', "different ids"),
        ("\ufeff{}", "different ids"),  # a byte order mark does no harm
    ],
)
def test_another_encoder_json_is_an_error(tmp_path, content, message):
    write(tmp_path, MERGES[:10])
    (tmp_path / "encoder.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"encoder\.json.*{message}"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "line", ["Ġ", "", "Ġ t h", "Ġ  t", "Ġthe re", "\u2028 t", "h e", "Ġ\u00a0t", "<| endoftext|>"]
)
def test_a_malformed_merge_is_named(tmp_path, line):
    write(tmp_path, [*MERGES[:3], line, *MERGES[3:9]])
    with pytest.raises(ValueError, match=r"vocab\.bpe is damaged \(merge 4, .*download it again") as error:
        load_encoder(tmp_path)
    assert repr(line) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>\n", b"#version: 0.2\n\xff\xfe t\n"])
def test_what_is_no_merges_file_is_an_error(tmp_path, content):
    (tmp_path / "vocab.bpe").write_bytes(content)
    with pytest.raises(ValueError, match=r"vocab\.bpe is damaged"):
        load_encoder(tmp_path)


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vocab\.bpe is missing: copy"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("n_vocab", [0, 3, 256, 50258])
def test_a_vocabulary_of_impossible_size_is_an_error(n_vocab):
    with pytest.raises(ValueError, match=f"257 to 50257 tokens, not of {n_vocab}"):
        load_encoder(GPT2, n_vocab=n_vocab)
