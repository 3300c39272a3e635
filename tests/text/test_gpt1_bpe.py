"""GPT-1's tokenizer: as Hugging Face's OpenAIGPTTokenizer, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from picogpt.text import gpt1_bpe

FOLDER = Path(__file__).parents[1] / "references" / "hf_gpt1"
RECORDED = json.loads((FOLDER / "ids.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def encoder():
    return gpt1_bpe.load_encoder(FOLDER)


@pytest.mark.parametrize("text", RECORDED, ids=ascii)
def test_ids_and_text_are_those_that_hugging_face_gave(text, encoder):
    ids, again = RECORDED[text]
    assert encoder.encode(text) == ids
    assert encoder.decode(ids) == again
    assert "".join(encoder.stream(iter(ids))) == again


def test_words_are_those_of_hugging_face_for_every_character_of_old_unicode():
    tokenizers = pytest.importorskip("tokenizers")
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    cut = tokenizers.pre_tokenizers.BertPreTokenizer()
    different = 0
    for code in [*range(0x3100), *range(0x4DF0, 0x4E10), *range(0xF8F0, 0x10400), 0x1F600, 0x20000]:
        text = f"A{chr(code)}b"
        theirs = [word for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text))]
        different += gpt1_bpe.words(text) != theirs
        assert code > 0x600 or different == 0, hex(code)
    assert different < 250  # newer than their tables


def test_a_text_of_hugging_face_s_tokenizer_comes_out_alike(encoder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.OpenAIGPTTokenizer.from_pretrained(FOLDER)
    text = (FOLDER.parents[1] / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")[:20_000]
    assert encoder.encode(text) == theirs(text)["input_ids"]


def test_what_is_saved_is_loaded(encoder, tmp_path):
    encoder.save(tmp_path)
    again = gpt1_bpe.load_encoder(tmp_path)
    assert again.encoder == encoder.encoder
    assert again.encode("Speak, speak.") == encoder.encode("Speak, speak.")


def test_one_file_says_the_same_as_two(encoder, tmp_path):
    tokenizers = pytest.importorskip("transformers")
    theirs = tokenizers.OpenAIGPTTokenizer.from_pretrained(FOLDER)
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = gpt1_bpe.load_encoder(tmp_path)
    assert (again.encoder, again.merges) == (encoder.encoder, encoder.merges)
    whole = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    whole["normalizer"]["lowercase"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(ValueError, match="its normalizer is not that of GPT-1"):
        gpt1_bpe.load_encoder(tmp_path)


NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
NORMALIZER |= {"strip_accents": None, "lowercase": True}


def test_one_file_is_read_as_two_are_and_refused_if_it_does_more(encoder, tmp_path):
    merges = [(encoder.decoder[a], encoder.decoder[b]) for a, b in encoder.merges]
    whole = dict(normalizer=NORMALIZER, pre_tokenizer={"type": "BertPreTokenizer"}, post_processor=None)
    for form in (list, " ".join):
        whole["model"] = dict(type="BPE", vocab=encoder.encoder, merges=[form(pair) for pair in merges])
        (tmp_path / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
        assert gpt1_bpe.is_gpt1s(tmp_path)
        again = gpt1_bpe.load_encoder(tmp_path)
        assert (again.encoder, again.merges) == (encoder.encoder, encoder.merges)
    roberta = {"type": "RobertaProcessing", "sep": ["a", 0], "cls": ["a", 0]}
    for key, other in (
        ("normalizer", NORMALIZER | {"lowercase": False}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", roberta),
    ):
        (tmp_path / "tokenizer.json").write_text(json.dumps(whole | {key: other}), encoding="utf-8")
        with pytest.raises(ValueError, match=f"its {key} is not that of GPT-1"):
            gpt1_bpe.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),  # as BertNormalizer and BertPreTokenizer of tokenizers have them
    [
        ("a\u4e00b\u9fffc\ua000", ["a", "\u4e00", "b", "\u9fff", "c\ua000"]),  # the first and last ideograph
        ("a\u33ffb\u3400c\u4dbfd\u4dc0", ["a\u33ffb", "\u3400", "c", "\u4dbf", "d\u4dc0"]),
        ("a\ufffdb\u200bc\u0000d\ue000e", ["abcde"]),
        ("a\rb\tc\nd\u3000e\u00a0f\u2028g", [*"abcdefg"]),
        ("\u0391\u03a3 \u0130", ["\u03b1\u03c3", "i"]),  # no final sigma; a dot that is an accent
        ("a\u0903b\u0301c", ["a\u0903bc"]),  # of the marks only those that take no room
        ("x\u00b2 \ufb01 \u2460", ["x\u00b2", "\ufb01", "\u2460"]),  # nothing is made compatible
        ("$1+2=3``\u00bf\u2026", ["$", "1", "+", "2", "=", "3", "`", "`", "\u00bf", "\u2026"]),
    ],
)
def test_a_text_is_cut_into_words_without_accents_and_capitals(text, words):
    assert gpt1_bpe.words(text) == words


def test_without_a_token_for_unknown_characters_they_are_an_error():
    encoder = gpt1_bpe.Gpt1Encoder([("a", "b</w>")], {"a": 0, "b</w>": 1, "ab</w>": 2})
    assert encoder.encode("AB ab") == [2, 2]
    with pytest.raises(ValueError, match="no token stands for 'c</w>'"):
        encoder.encode("ac")
    with pytest.raises(ValueError, match="merge 1, 'x y', is of tokens that are not in the vocabulary"):
        gpt1_bpe.Gpt1Encoder([("x", "y")], {"x": 0, "y": 1})
    with pytest.raises(ValueError, match=r"3 is not an id of this tokenizer: its ids are 0\.\.2"):
        encoder.decode([3])


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        (["a</w>", "\n</w>", "<unk>"], 1),  # OpenAI's vocabulary has the line end
        (["a</w>", " </w>", "<unk>"], 2),
        (["a</w>", "b</w>"], 0),
    ],
)
def test_a_new_text_begins_after_a_line_end_if_that_is_a_token(tokens, start):
    assert gpt1_bpe.Gpt1Encoder([], {token: i for i, token in enumerate(tokens)}).start == start


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("merges.txt", "#version: 0.2\nx y\n", "merges.txt lacks the merge that makes"),
        ("vocab.json", '{"a</w>": 5}', "the ids of the tokenizer are not 0, 1, 2"),
        ("vocab.json", '{"a</w>": 5', "download it again"),
    ],
)
def test_damaged_files_are_an_error_that_names_the_folder(name, content, says, tmp_path):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=says):
        gpt1_bpe.load_encoder(tmp_path)
