import json
import shutil
from pathlib import Path

import pytest
from record import hf_tokenizers as record

from picogpt.checkpoints import weights
from picogpt.text import bpe, data, hf_bpe, hf_files

REPOSITORY = Path(__file__).parents[2]
GPT2 = REPOSITORY / "models" / "gpt2-bpe"
RECORDED = REPOSITORY / "tests" / "references" / "hf_tokenizer"
TEXTS = json.loads((RECORDED / "ids.json").read_text(encoding="utf-8"))
FACTS = json.loads(record.RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gpt2():
    return bpe.load_encoder(GPT2)


@pytest.fixture(scope="module")
def recorded():
    return hf_bpe.load_encoder(RECORDED)


@pytest.fixture
def folder(tmp_path, recorded):
    """A folder with the recorded tokenizer as vocab.json, merges.txt and added_tokens.json."""
    (tmp_path / "vocab.json").write_text(json.dumps(recorded.encoder), encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, recorded.rules.merges), ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "added_tokens.json").write_text('{"<|endoftext|>": 0, "<pad>": 1}')
    return tmp_path


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def put_before(ids):
    """Return a post_processor that puts these ids before each text."""
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    token = {"id": "<s>", "ids": ids, "tokens": ["<s>"]}
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {"<s>": token}}


def load_case(folder, case):
    record.write(folder, case)
    return hf_bpe.load_encoder(folder, FACTS[case]["n"] if "config.json" in record.CASES[case] else None)


@pytest.mark.parametrize("case", record.CASES)
def test_ids_and_text_are_those_of_tokenizers_and_transformers(tmp_path, case):
    encoder, facts = load_case(tmp_path, case), FACTS[case]
    assert encoder.n_vocab == facts["n"]
    assert encoder.decode([*range(facts["n"])]) == facts["decoded"]
    for text, (allowed, not_allowed) in facts["texts"].items():
        assert encoder.encode(text, allow_eot=True) == allowed, text
        assert encoder.encode(text, allow_eot=False) == encoder.encode(text) == not_allowed, text
        encoder.special = True
        assert encoder.encode(text) == allowed, text
        encoder.special = False


@pytest.mark.parametrize("case", [case for case in record.CASES if FACTS[case]["bos"] is not None])
def test_a_text_begins_and_ends_as_transformers_has_it(tmp_path, case):
    encoder = load_case(tmp_path, case)
    assert encoder.start == FACTS[case]["bos"]
    assert encoder.eot == (FACTS[case]["bos"] if FACTS[case]["eos"] is None else FACTS[case]["eos"])


@pytest.mark.parametrize("case", record.CASES)
def test_what_any_of_them_saves_is_loaded(tmp_path, case):
    encoder = load_case(tmp_path, case)
    (tmp_path / "saved").mkdir()
    hf_bpe.save(tmp_path / "saved", encoder)
    again = hf_bpe.load_encoder(tmp_path / "saved", getattr(encoder, "n_rows", None))
    assert type(again) is type(encoder) and again.encoder == encoder.encoder
    assert getattr(again, "rules", None) == getattr(encoder, "rules", None)


@pytest.mark.parametrize("case", record.CASES)
def test_the_record_is_what_the_libraries_say_today(tmp_path, case):
    pytest.importorskip("transformers")
    record.write(tmp_path, case)
    assert json.loads(json.dumps(record.facts(tmp_path))) == FACTS[case]


@pytest.mark.parametrize("changes", [{}, {"ignore_merges": True}, {"unk": 0}, {"unk": 0, "fuse_unk": True}])
def test_what_a_gpt2tokenizer_would_not_heed_is_saved_for_another_class(changes, tmp_path):
    encoder = hf_bpe.NumberedEncoder(hf_files.Rules([], record.symbols(), **changes))
    encoder.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert (config["tokenizer_class"] == "GPT2Tokenizer") == (not changes)


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


def test_what_is_saved_is_loaded(recorded, tmp_path):
    recorded.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    again = hf_bpe.load_encoder(tmp_path)
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
    assert hf_bpe.load_encoder(folder).encode(text) == TEXTS[text]
    assert weights.read_encoder(folder, {"n_vocab": 500}).encode(text) == TEXTS[text]
    assert weights.read_encoder(folder, {"n_vocab": 512}).n_vocab == 500  # 12 rows of padding


def test_a_token_beyond_the_models_rows_is_named_when_it_comes_up(folder):
    encoder = weights.read_encoder(folder, {"n_vocab": 499})
    [last] = [token for token, i in encoder.encoder.items() if i == 499]
    assert encoder.encode("a") == hf_bpe.load_encoder(folder).encode("a")
    text = hf_bpe.load_encoder(folder).decode([499])
    with pytest.raises(ValueError, match=f"token {last!r} has id 499, but the model only knows .* 0 to 498"):
        encoder.encode(text)


def test_gpt2s_tokenizer_is_plain_however_its_end_is_written(gpt2, tmp_path):
    hf_bpe.save(tmp_path, gpt2)
    for more in ({"normalized": True}, {}):  # as in gpt2's own folder, and in others
        end = {"content": "<|endoftext|>", "special": True} | more
        config = record.SLOW | {"added_tokens_decoder": {"50256": end}, "bos_token": end, "eos_token": end}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert type(hf_bpe.load_encoder(tmp_path, 50257)) is bpe.Encoder


@pytest.mark.parametrize("n", [50_000, 50_256])
def test_the_end_of_a_text_beyond_the_models_rows_is_named_when_it_comes_up(n, gpt2, tmp_path):
    hf_bpe.save(tmp_path, gpt2)
    encoder = weights.read_encoder(tmp_path, {"n_vocab": n})
    assert encoder.encode("Not all heroes") == [3673, 477, 10281]
    with pytest.raises(ValueError, match=r"'<\|endoftext\|>' has id 50256, but the model only knows"):
        _ = encoder.start


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


@pytest.mark.parametrize(
    ("config", "model", "start", "end"),
    [  # 256 is <s>, 257 </s>, 258 <|endoftext|>, 64 the letter a
        ({"bos_token": "<s>", "eos_token": "</s>"}, {}, 256, 257),
        ({}, {"bos_token_id": 256, "eos_token_id": [257, 0]}, 256, 257),
        ({"bos_token": "<|endoftext|>"}, {"bos_token_id": 256, "eos_token_id": 256}, 256, 256),
        ({"bos_token": "<s>"}, {"bos_token_id": 257}, 256, 258),
        ({}, {"bos_token_id": 64, "eos_token_id": 64}, 258, 258),  # what nobody has set
        ({"bos_token": {"content": "</s>"}}, {"bos_token_id": 5000}, 257, 258),
        ({}, {"bos_token_id": 5000, "eos_token_id": 5000}, 258, 258),  # which no token has
        ({}, {}, 258, 258),
    ],
)
def test_the_token_before_and_after_a_text(tmp_path, config, model, start, end):
    names = "<s>", "</s>", "<|endoftext|>"
    added = [{"id": 256 + i, "content": name} for i, name in enumerate(names)]
    files = {
        "tokenizer.json": record.whole(added=added),
        "tokenizer_config.json": record.SLOW | config,
        "config.json": record.GPT2 | model,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    encoder = weights.read_encoder(tmp_path, {"n_vocab": 259})
    assert (encoder.start, encoder.eot) == (start, end)
    ids = data.encode("a\n<|endoftext|>\nb", encoder).tolist()
    ends = [end] if end != start else []
    assert ids == [start, 64, *ends, start, 65, *ends]


def test_endoftext_is_added_for_a_model_that_may_have_a_row_for_it(tmp_path):
    for name, content in record.two_files({}, **{"config.json": record.GPT2}).items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert [hf_bpe.load_encoder(tmp_path, n).n_vocab for n in (None, 256, 257)] == [256, 256, 257]


def test_endoftext_that_merges_make_is_a_token_like_any_other(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(record.whole(more=record.ENDS, merges=record.TO_END)))
    encoder = hf_bpe.load_encoder(tmp_path)  # of which tokenizers says no more than it has in its list
    ids = encoder.encode("a<|endoftext|>", allow_eot=True)
    assert ids == encoder.encode("a<|endoftext|>") and record.ENDS["<|endoftext|>"] not in ids


def test_what_the_models_own_file_says_counts_more_than_how_it_is_used(tmp_path):
    names = "<s>", "</s>", "<|endoftext|>"
    added = [{"id": 256 + i, "content": name} for i, name in enumerate(names)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(record.whole(added=added)))
    (tmp_path / "generation_config.json").write_text('{"bos_token_id": 256, "eos_token_id": [257]}')
    for model, expected in (({}, (256, 257)), ({"bos_token_id": 257, "eos_token_id": 256}, (257, 256))):
        (tmp_path / "config.json").write_text(json.dumps(record.GPT2 | model))
        encoder = weights.read_encoder(tmp_path, {"n_vocab": 259})
        assert (encoder.start, encoder.eot) == expected


def test_where_the_model_has_no_row_for_endoftext_an_ordinary_token_may_begin_a_text(tmp_path):
    files = record.two_files({"<|endoftext|>": 256}, **{"config.json": record.GPT2 | {"bos_token_id": 64}})
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    starts = [weights.read_encoder(tmp_path, {"n_vocab": n}).start for n in (256, 257)]
    assert starts == [64, 256]


def test_a_byte_without_a_token_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(record.whole(without="x")))
    encoder = hf_bpe.load_encoder(tmp_path)
    assert encoder.encode("b") == [65]
    with pytest.raises(ValueError, match=r"no token stands for the byte 0x78 in ' axb': leave it out"):
        encoder.encode("no axb")


def test_a_text_that_some_programs_would_cut_is_refused(tmp_path):
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(record.whole(truncation=cut)))
    encoder = hf_bpe.load_encoder(tmp_path)
    assert encoder.encode("abc") == [64, 65, 66]
    encoder.save(tmp_path)
    for each in (encoder, hf_bpe.load_encoder(tmp_path)):
        with pytest.raises(ValueError, match=r'4 tokens, of which tokenizer.json keeps 3.* "truncation" to'):
            each.encode("abcd")


@pytest.mark.parametrize("form", [list, " ".join])
def test_merges_may_be_pairs_or_lines(tmp_path, form):
    whole = json.loads((RECORDED / "tokenizer.json").read_text(encoding="utf-8"))
    whole["model"]["merges"] = [form(pair) for pair in whole["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    assert hf_bpe.load_encoder(tmp_path).encode("The rest is silence.") == TEXTS["The rest is silence."]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "tokenizer.json has normalizer {'type': 'Lowercase'}"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer of tokenizer.json has type 'Whitespace'"),
        ({"pre_tokenizer": record.level() | {"use_regex": False}}, "has use_regex False"),
        ({"pre_tokenizer": None}, "pre_tokenizer of tokenizer.json has type None"),
        ({"decoder": {"type": "WordPiece"}}, "decoder of tokenizer.json has type 'WordPiece'"),
        ({"post_processor": {"type": "Magic"}}, "has a post_processor of type 'Magic'"),
        ({"post_processor": {"type": "TemplateProcessing", "single": [], "special_tokens": {}}}, "than put"),
        ({"post_processor": {"type": "Sequence", "processors": [record.ROBERTA] * 2}}, "than put"),
        (
            {"post_processor": record.TEMPLATE | {"single": record.TEMPLATE["single"] * 2}},
            "than put",  # which reads the text twice
        ),
        ({"model": {"type": "WordPiece", "vocab": {}, "merges": []}}, "has type 'WordPiece'"),
        (
            {"model": {"vocab": {"a": 0}, "merges": [["a", "b"]]}, "added_tokens": []},
            "merge 1, 'a b', is of tokens that are not",
        ),
        (
            {"model": {"vocab": {"a": 3, "b": 1}, "merges": []}, "added_tokens": []},
            "the ids of the tokenizer are not 0, 1, 2",
        ),
        (
            {"model": {"vocab": {"a": 0, "b": 0}, "merges": []}, "added_tokens": []},
            "the ids of the tokenizer are not 0, 1, 2",
        ),
        (
            {"model": {"vocab": {"a": "0"}, "merges": []}, "added_tokens": []},
            "the ids of the tokenizer are not 0, 1, 2",
        ),
        ({"added_tokens": [{"content": "<new>", "id": 600}]}, "'<new>' has id 600, but tokenizers .* 500"),
        ({"added_tokens": [{"content": "<new>", "id": 500, "x": 1}]}, "'<new>' in .* has a key 'x'"),
        ({"future": 1}, "tokenizer.json has a key 'future', and what it means is not known"),
        *(
            ({"post_processor": put_before([i])}, "puts the id .* around a text, but no token has it")
            for i in (-1, 500, 10**30, True, "0", 0.0, None)
        ),
    ],
)
def test_a_tokenizer_that_works_otherwise_is_reported(tmp_path, changes, says):
    shutil.copy(RECORDED / "tokenizer.json", tmp_path)
    change(tmp_path / "tokenizer.json", **changes)
    with pytest.raises(ValueError, match=rf"has a tokenizer that cannot be used: .*{says}"):
        hf_bpe.load_encoder(tmp_path)


FLAG, TEXT = "which must be true or false", "which must be a text or an object or null"
OBJECT = "which must be an object"


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("tokenizer.json", {"model": "BPE"}, f"tokenizer.json has model 'BPE', {OBJECT}"),
        ("tokenizer.json", {"model": {"type": "BPE", "merges": []}}, f"has vocab None, {OBJECT}"),
        ("tokenizer.json", {"model": {"vocab": [["a", 0]], "merges": []}}, f"has vocab .*, {OBJECT}"),
        ("tokenizer.json", {"model": {"vocab": {}, "merges": None}}, "has merges None, which must be a list"),
        ("tokenizer.json", {"model": {"vocab": {}, "merges": [], "ignore_merges": "no"}}, FLAG),
        (
            "tokenizer.json",
            {"model": {"vocab": {}, "merges": ["a b c"]}},
            "merge 1 .* is 'a b c', and not two",
        ),
        ("tokenizer.json", {"model": {"vocab": {}, "merges": ["a b", [1, 2]]}}, r"merge 2 .* is \[1, 2\]"),
        ("tokenizer.json", {"model": {"vocab": {}, "merges": [None]}}, "merge 1 of tokenizer.json is None"),
        ("tokenizer.json", {"truncation": 5}, f"has truncation 5, {OBJECT} or null"),
        (
            "tokenizer.json",
            {"truncation": {"max_length": "8"}},
            "truncation .* has max_length '8', which must",
        ),
        ("tokenizer.json", {"truncation": {"stride": 0}}, "truncation of tokenizer.json has max_length None"),
        ("tokenizer.json", {"decoder": None}, "decoder of tokenizer.json has type None"),
        ("tokenizer.json", {"added_tokens": {}}, "has added_tokens {}, which must be a list or null"),
        ("tokenizer.json", {"added_tokens": [5]}, "tokenizer.json has 5 as an added token"),
        (
            "tokenizer.json",
            {"added_tokens": [{"id": "0", "content": "!"}]},
            "'!' in .* has id '0', which must",
        ),
        ("tokenizer.json", {"added_tokens": [{"id": 0, "content": "!", "special": "no"}]}, FLAG),
        (
            "tokenizer.json",
            {"post_processor": {"type": "TemplateProcessing", "single": "$A"}},
            "or is damaged",
        ),
        (
            "tokenizer.json",
            {"post_processor": {"type": "BertProcessing"}},
            "'BertProcessing', which does more",
        ),
        ("tokenizer_config.json", {"bos_token": ["<s>"]}, rf"has bos_token \['<s>'\], {TEXT}"),
        ("tokenizer_config.json", {"add_bos_token": "false"}, f"has add_bos_token 'false', {FLAG}"),
        ("tokenizer_config.json", {"split_special_tokens": "false"}, FLAG),
        ("tokenizer_config.json", {"added_tokens_decoder": None}, f"has added_tokens_decoder None, {OBJECT}"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"x": {}}},
            "has 'x' in added_tokens_decoder, which",
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"3": "a"}}, "has '3' in added_tokens_decoder"),
        (
            "tokenizer_config.json",
            {"additional_special_tokens": "<s>"},
            "must be a list or an object or null",
        ),
        ("tokenizer_config.json", {"post_processor": {}}, "has post_processor {}, and only None can be read"),
        ("special_tokens_map.json", {"unk_token": 5}, f"special_tokens_map.json has unk_token 5, {TEXT}"),
        (
            "config.json",
            {"tokenizer_class": "BertTokenizer"},
            "config.json has tokenizer_class 'BertTokenizer'",
        ),
        ("tokenizer_config.json", [], r"tokenizer_config.json is damaged .it holds \[\], and not an object"),
        (
            "added_tokens.json",
            3,
            "added_tokens.json is damaged .it holds 3, and not an object.: download it again",
        ),
        ("special_tokens_map.json", "{", "special_tokens_map.json is damaged .*: download it again"),
        ("tokenizer.json", '{"a": 1, "a": 2}', "tokenizer.json is damaged .it gives 'a' twice"),
        ("tokenizer.json", '{"a": 1' + "0" * 5000 + "}", "tokenizer.json is damaged .*limit"),
    ],
)
def test_what_has_another_kind_of_value_is_named_with_its_file(tmp_path, file, changes, says):
    """A "false" that is a text would count as true."""
    shutil.copy(RECORDED / "tokenizer.json", tmp_path)
    if file == "tokenizer.json" and isinstance(changes, dict):
        changes = json.loads((tmp_path / file).read_text(encoding="utf-8")) | changes
    (tmp_path / file).write_text(changes if isinstance(changes, str) else json.dumps(changes))
    with pytest.raises(ValueError, match=f"has a tokenizer that cannot be used: .*{says}"):
        hf_bpe.load_encoder(tmp_path)


def test_a_template_must_put_its_ids_around_the_text(tmp_path):
    """With another than the first text, tokenizers itself fails when it is used."""
    post = put_before([0]) | {"single": [{"Sequence": {"id": "B", "type_id": 0}}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(record.whole(post_processor=post)))
    with pytest.raises(ValueError, match="post_processor of type 'TemplateProcessing', which does more"):
        hf_bpe.load_encoder(tmp_path)


def test_add_prefix_space_must_be_said_as_tokenizers_asks(tmp_path):
    shutil.copy(RECORDED / "tokenizer.json", tmp_path)
    change(tmp_path / "tokenizer.json", pre_tokenizer={"type": "ByteLevel"})
    with pytest.raises(ValueError, match=r"has add_prefix_space None, which must be true or false"):
        hf_bpe.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dropout": 0.1}, "has dropout 0.1, and only None or 0 can be read"),
        ({"continuing_subword_prefix": "##"}, "has continuing_subword_prefix '##'"),
        ({"end_of_word_suffix": "</w>"}, "has end_of_word_suffix '</w>'"),
        ({"byte_fallback": True}, "has byte_fallback True"),
        ({"byte_fallback": "x" * 1000}, "has byte_fallback 'x{79}, and only"),
        ({"future": 1}, "has a key 'future'"),
    ],
)
def test_a_key_of_the_model_that_changes_ids_is_named(tmp_path, changes, says):
    (tmp_path / "tokenizer.json").write_text(json.dumps(record.whole(model=changes)))
    with pytest.raises(ValueError, match=f"model of tokenizer.json {says}"):
        hf_bpe.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("whole", "config", "says"),
    [
        (
            dict(pre_tokenizer=record.level(True)),
            record.SLOW,
            "add_prefix_space true, which .* ignores",
        ),
        (dict(model={"ignore_merges": True}), record.SLOW, "ignore_merges true, which .* ignores"),
        ({}, {"tokenizer_class": "RobertaTokenizerFast"}, "tokenizer_class 'RobertaTokenizerFast'"),
        ({}, {"auto_map": {"AutoTokenizer": "x.X"}}, "has auto_map"),
        ({}, {"init_inputs": ["x"]}, "has init_inputs"),
        ({}, {"added_tokens_decoder": {"256": {"content": "<u>", "lstrip": True}}}, "differ about '<u>'"),
        ({}, {"added_tokens_decoder": {}}, "the added token '<u>', which added_tokens_decoder"),
        ({}, {"added_tokens_decoder": {"9": {"content": "<v>"}}, "tokenizer_class": None}, "'<v>' has id 9"),
    ],
)
def test_files_that_contradict_each_other_are_reported(tmp_path, whole, config, says):
    files = {"tokenizer.json": record.whole(**whole | dict(added=[record.U]))}
    files |= {"tokenizer_config.json": record.SLOW | config, "config.json": record.GPT2 | {}}
    if config.get("tokenizer_class", 1) is None:
        del files["config.json"]
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"has a tokenizer that cannot be used: .*{says}"):
        hf_bpe.load_encoder(tmp_path, 257)


@pytest.mark.parametrize(
    "numbers",
    [{"a": 0.0, "b": 1.0}, {"a": 0, "b": True}, {"a": 0, "b": 2}, {"a": 1, "b": 2}, {"a": 0, "b": 0}],
)
def test_ids_that_do_not_number_the_tokens_are_refused(numbers):
    with pytest.raises(ValueError, match="the ids of the tokenizer are not 0, 1, 2 and so on"):
        hf_bpe.NumberedEncoder(hf_files.Rules([], numbers))


def test_merges_that_are_cut_short_are_noticed(folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    (folder / "merges.txt").write_text("\n".join([*lines[:-5], ""]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges.txt lacks the merge that makes .*: download it again"):
        hf_bpe.load_encoder(folder)
    (folder / "merges.txt").write_text("\n".join([*lines[:5], "", *lines[5:]]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges.txt, line 6, is not two tokens with a space between"):
        hf_bpe.load_encoder(folder)
    (folder / "merges.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"merges.txt is missing: a tokenizer has vocab.json and"):
        hf_bpe.load_encoder(folder)


def test_a_single_merge_that_is_missing_is_noticed(tmp_path):
    for name, content in record.two_files({"ab": 256, "<|endoftext|>": 257}).items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=r"merges.txt lacks the merge that makes 'ab': download it again"):
        hf_bpe.load_encoder(tmp_path)
    (tmp_path / "merges.txt").write_text("a b\n")
    assert hf_bpe.load_encoder(tmp_path).encode("cab") == [66, 256]


@pytest.mark.parametrize("content", ["{", "[]", "3", "null", '{"a": []}'])
def test_a_vocabulary_that_is_none_is_reported(folder, content):
    (folder / "vocab.json").write_text(content)
    with pytest.raises(ValueError, match=r"cannot be used"):
        hf_bpe.load_encoder(folder)


def test_vocabulary_of_save_model_holds_control_tokens_that_no_list_names(tmp_path):
    """As ByteLevelBPETokenizer's save_model writes it: [260, 263] are the ids that tokenizers gives."""
    names = ["<s>", "<pad>", "</s>", *record.symbols(), "lo", "low", "\u0120low", "er"]
    (tmp_path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    merges = "#version: 0.2 - Trained by `huggingface/tokenizers`\nl o\nlo w\n\u0120 low\ne r\n"
    (tmp_path / "merges.txt").write_text(merges, encoding="utf-8")
    encoder = hf_bpe.load_encoder(tmp_path)
    assert encoder.encode("low lower") == [260, 261, 262]
    assert encoder.decode([0, 260, 261, 262, 2]) == "<s>low lower</s>"
    assert encoder.encode("<s>", allow_eot=True) == [3 + 27, 3 + 82, 3 + 29]  # as tokenizers, told nothing


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
