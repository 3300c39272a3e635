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
