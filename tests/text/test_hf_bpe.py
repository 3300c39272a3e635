import json
import shutil
from pathlib import Path

import pytest

from picogpt.checkpoints import weights
from picogpt.text import bpe, hf_bpe

REPOSITORY = Path(__file__).parents[2]
GPT2 = REPOSITORY / "models" / "gpt2-bpe"
RECORDED = REPOSITORY / "tests" / "references" / "hf_tokenizer"
TEXTS = json.loads((RECORDED / "ids.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gpt2():
    return bpe.load_encoder(GPT2)


@pytest.fixture(scope="module")
def recorded():
    return hf_bpe.load_encoder(RECORDED)


@pytest.fixture
def folder(tmp_path, recorded):
    """A folder with the recorded tokenizer as vocab.json, merges.txt and added_tokens.json."""
    recorded.save(tmp_path)
    return tmp_path


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_hugging_faces_tokenizers(recorded, text):
    assert recorded.encode(text) == TEXTS[text]
    assert recorded.decode(TEXTS[text]) == text
    assert "".join(recorded.stream(TEXTS[text])) == text


def test_special_tokens_have_their_ids_and_are_written_as_they_are(recorded):
    assert (recorded.n_vocab, recorded.eot, recorded.start) == (500, 0, 0)
    a, b = recorded.encode("a"), recorded.encode("b")
    assert recorded.encode("a<|endoftext|>b", allow_eot=True) == [*a, 0, *b]
    assert recorded.decode(recorded.encode("a<|endoftext|>b")) == "a<|endoftext|>b"
    assert 0 not in recorded.encode("a<|endoftext|>b")
    assert recorded.decode([0, 1, *a]) == "<|endoftext|><pad>a"


@pytest.mark.parametrize("bad", [-1, 500])
def test_an_id_outside_the_vocabulary_is_named(recorded, bad):
    with pytest.raises(ValueError, match=rf"{bad} is not an id of this tokenizer: its ids are 0..499"):
        recorded.decode([bad])


def test_what_is_saved_is_loaded(recorded, folder):
    assert sorted(path.name for path in folder.iterdir()) == ["added_tokens.json", "merges.txt", "vocab.json"]
    again = hf_bpe.load_encoder(folder)
    assert again.encoder == recorded.encoder
    for text, ids in TEXTS.items():
        assert again.encode(text) == ids


def test_gpt2s_own_tokenizer_is_saved_as_hugging_face_has_it_and_loaded_as_openais(gpt2, tmp_path):
    hf_bpe.save(tmp_path, gpt2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    assert (tmp_path / "merges.txt").read_bytes() == (GPT2 / "vocab.bpe").read_bytes()
    again = hf_bpe.load_encoder(tmp_path)
    assert type(again) is bpe.Encoder
    assert again.encoder == gpt2.encoder and again.merges == gpt2.merges


def test_a_models_folder_is_read_with_such_a_tokenizer(folder):
    text = "The rest is silence."
    assert weights.read_encoder(folder, {"n_vocab": 500}).encode(text) == TEXTS[text]
    with pytest.raises(ValueError, match="has 500 tokens, but the model has n_vocab 501"):
        weights.read_encoder(folder, {"n_vocab": 501})


def test_without_endoftext_it_is_text_like_any_other(folder):
    numbers = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    numbers["</s>"] = numbers.pop("<|endoftext|>")
    (folder / "vocab.json").write_text(json.dumps(numbers), encoding="utf-8")
    (folder / "added_tokens.json").write_text('{"</s>": 0, "<pad>": 1}')
    encoder = hf_bpe.load_encoder(folder)
    assert (encoder.eot, encoder.start) == (None, 0)
    text = "a<|endoftext|>b"
    assert encoder.encode(text, allow_eot=True) == encoder.encode(text)
    assert encoder.decode(encoder.encode(text)) == text


@pytest.mark.parametrize("form", [list, " ".join])
def test_merges_may_be_pairs_or_lines(tmp_path, form):
    whole = json.loads((RECORDED / "tokenizer.json").read_text(encoding="utf-8"))
    whole["model"]["merges"] = [form(pair) for pair in whole["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    assert hf_bpe.load_encoder(tmp_path).encode("The rest is silence.") == TEXTS["The rest is silence."]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "does not cut text into words as GPT-2's does"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "does not cut"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "does not cut"),
        ({"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}}, "does not cut"),
        ({"pre_tokenizer": None}, "not subscriptable"),
        ({"model": {"type": "WordPiece", "vocab": {}, "merges": []}}, "does not cut"),
        ({"model": {"vocab": {}, "merges": []}}, "which is a byte or made by a merge, has no id"),
        ({"added_tokens": []}, "'<pad>' is made by no merge, and is not an added token"),
        ({"added_tokens": [{"content": "<pad>", "id": 2}]}, "the ids are not 0, 1, 2 and so on"),
        ({"added_tokens": 3}, "not iterable"),
    ],
)
def test_a_tokenizer_that_works_otherwise_is_reported(tmp_path, changes, says):
    shutil.copy(RECORDED / "tokenizer.json", tmp_path)
    change(tmp_path / "tokenizer.json", **changes)
    with pytest.raises(ValueError, match=rf"tokenizer.json cannot be used as a tokenizer \(.*{says}.*\)"):
        hf_bpe.load_encoder(tmp_path)


def test_merges_that_are_cut_short_are_noticed(folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    (folder / "merges.txt").write_text("\n".join([*lines[:-5], ""]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab.json cannot .* is made by no merge"):
        hf_bpe.load_encoder(folder)


@pytest.mark.parametrize("content", ["{", "[]", "3", "null", '{"a": []}'])
def test_a_vocabulary_that_is_none_is_reported(folder, content):
    (folder / "vocab.json").write_text(content)
    with pytest.raises(ValueError, match=r"vocab.json cannot be used as a tokenizer \(.*\): download it"):
        hf_bpe.load_encoder(folder)


def test_the_record_is_what_tokenizers_says_today(recorded):
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(RECORDED / "tokenizer.json"))
    text = (REPOSITORY / "tests" / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")[:20_000]
    for given in [*TEXTS, text]:
        assert recorded.encode(given) == theirs.encode(given).ids


@pytest.mark.parametrize("name", ["gpt2", "recorded"])
def test_hugging_face_reads_what_is_saved(name, request, tmp_path):
    transformers = pytest.importorskip("transformers")
    encoder = request.getfixturevalue(name)
    hf_bpe.save(tmp_path, encoder)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs) == encoder.n_vocab
    for text in TEXTS:
        assert theirs(text).input_ids == encoder.encode(text)
    assert theirs("a<|endoftext|>b").input_ids == encoder.encode("a<|endoftext|>b", allow_eot=True)
