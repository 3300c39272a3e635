"""Learning a byte-pair encoding, against the record of Hugging Face's trainer and its definition."""

import json
import random
from collections import Counter
from itertools import pairwise

import pytest
from record import learned_merges as record
from record.bpe import HOSTILE

from picogpt.text.bpe import Encoder, load_encoder
from picogpt.text.bpe_train import count_words, join, learn, train


@pytest.fixture(scope="module")
def recorded():
    return json.loads(record.RECORD.read_text(encoding="utf-8"))


def our_merges(text, n_vocab):
    encoder = train(text, n_vocab)
    return [(encoder.decoder[a], encoder.decoder[b]) for a, b in encoder.merges]


def test_the_merges_are_those_that_hugging_face_learns_ties_included(recorded):
    ours = record.facts(lambda name, text: our_merges(text, 257 + recorded[name]["merges"]))
    assert ours == {name: recorded[name] for name in ours}


def test_there_is_no_merge_left_where_hugging_face_ends(recorded):
    for name in ("hostile", "few_letters", "runs"):
        text, _ = record.texts()[name]
        most = 257 + recorded[name]["merges"]
        with pytest.raises(ValueError, match=rf"^the text makes no more than {most} tokens: .* n_vocab$"):
            train(text, most + 1)


def test_the_record_is_what_hugging_face_says_today(recorded):
    pytest.importorskip("tokenizers")
    live = record.facts(lambda name, text: record.tokenizers_learn(text, record.texts()[name][1]))
    assert live == {name: recorded[name] for name in live}


def test_each_merge_is_the_most_frequent_pair_of_what_there_is_by_then():
    rng = random.Random(0)
    for _ in range(30):
        text = "".join(rng.choice("aab c") for _ in range(200))
        counts = count_words(text)
        words = [([ord(c) - 33 if c != " " else 220 for c in word], n) for word, n in counts.items()]
        for new, pair in enumerate(learn(counts, 12), start=256):
            pairs = Counter()
            for word, n in words:
                for neighbours in pairwise(word):
                    pairs[neighbours] += n
            assert pair == min(pairs, key=lambda pair: (-pairs[pair], pair))
            words = [(join(word, pair, new), n) for word, n in words]


def test_words_are_counted_as_gpt2_cuts_them():
    assert count_words("it's a dog, a  dog") == {"it": 1, "'s": 1, " a": 2, " dog": 2, ",": 1, " ": 1}


def test_endoftext_divides_documents_and_is_never_learned():
    text = "<|endoftext|>".join(["abc"] * 50)
    assert count_words(text) == {"abc": 50}
    encoder = train(text, 259)
    assert encoder.encode(text, allow_eot=True)[:3] == [257, 258, 257]
    assert encoder.decode([257, 258, 257]) == "abc<|endoftext|>abc"


def test_a_learned_tokenizer_gives_every_text_back():
    encoder = train("".join(HOSTILE), 600)
    assert encoder.n_vocab == 600
    for text in HOSTILE:
        assert encoder.decode(encoder.encode(text)) == text


def test_encoding_the_text_makes_the_merges_in_the_order_learned():
    text = "the cat sat on the mat, the other cat that sat there"
    counts = count_words(text)
    merges = learn(counts, 15)
    encoder = train(text, 272)
    assert list(encoder.merges) == merges
    ids = {ord(symbol): i for symbol, i in encoder.encoder.items() if len(symbol) == 1} | {32: 220}
    for word in counts:
        expected = [ids[ord(c)] for c in word]
        for new, pair in enumerate(merges, start=256):
            expected = join(expected, pair, new)
        assert encoder.encode(word) == expected


def test_a_saved_tokenizer_loads_as_the_same(tmp_path):
    encoder = train("".join(HOSTILE), 400)
    encoder.save(tmp_path)
    assert isinstance(load_encoder(tmp_path), Encoder)
    assert load_encoder(tmp_path).encoder == encoder.encoder
    assert load_encoder(tmp_path).merges == encoder.merges


def test_a_tokenizer_without_merges_has_257_tokens():
    assert train("", 257).encode("ab") == [64, 65]
    with pytest.raises(ValueError, match=r"^n_vocab must be at least 257, .* not 256$"):
        train("text", 256)
