"""Record what tokenizers and transformers make of tokenizer files: tests/references/hf_tokenizers.json.

    pip install -e ".[reference]"
    python tests/record/hf_tokenizers.py

Each case is a folder of files that say something that GPT-2's own do not. Where it has a config.json the
judge is transformers' AutoTokenizer, else tokenizers' Tokenizer.from_file.
"""

import json
import tempfile
from pathlib import Path

RECORD = Path(__file__).parents[1] / "references" / "hf_tokenizers.json"
TEXTS = [
    "", "a<u> b", "ab bc <u> zebra b c", "  zebra<u>\u3000 \u2003<u>xz", "<|endoftext|>a<s> </s>",
    "b,b b_ b\u00e9 b\u0301 b", " b\n<u>\n", "<u", "<u><u> <u>x<p>",
]  # fmt: skip
GPT2 = {"model_type": "gpt2"}
FAST, SLOW = {"tokenizer_class": "PreTrainedTokenizerFast"}, {"tokenizer_class": "GPT2Tokenizer"}
U = {"id": 256, "content": "<u>"}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<u>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<u>": {"id": "<u>", "ids": [256], "tokens": ["<u>"]}},
}
ROBERTA = {"type": "RobertaProcessing", "sep": ["<u>", 256], "cls": ["a", 64], "trim_offsets": True}
ROBERTA["add_prefix_space"] = False
PADDING = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 256}
PADDING |= {"pad_type_id": 0, "pad_token": "<u>"}


def symbols():
    """Return {symbol: id} of the 256 bytes, written here once more, not to rest on picogpt."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    names = [*map(chr, printable), *(chr(256 + n) for n in range(len(others)))]
    return {name: i for i, name in enumerate(names)}


def level(prefix=False):
    """Return the pre-tokenizer of GPT-2, with a space before the text or not."""
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": True}


def whole(added=(), more=None, merges=(), model=None, without="", **changes):
    """Return a tokenizer.json: the bytes without some, `more` tokens, merges, added tokens, and changes."""
    names = [name for name in symbols() if name not in without]
    vocab = {name: i for i, name in enumerate(names)} | (more or {})
    usual = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=[usual | token for token in added],
        normalizer=None, pre_tokenizer=level(), post_processor=None, decoder=level(),
        model=dict(
            type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None,
            end_of_word_suffix=None, fuse_unk=False, byte_fallback=False, ignore_merges=False,
            vocab=vocab, merges=[*merges],
        ) | (model or {}),
    ) | changes  # fmt: skip


def two_files(more, merges="#version: 0.2\n", **files):
    """Return vocab.json and merges.txt, and other files."""
    return {"vocab.json": symbols() | more, "merges.txt": merges} | files


def alone(**of_whole):
    """Return a folder with a tokenizer.json alone."""
    return {"tokenizer.json": whole(**of_whole)}


def beside(config, **of_whole):
    """Return a folder of a GPT-2 with tokenizer.json and tokenizer_config.json."""
    return {"config.json": GPT2, "tokenizer_config.json": config, "tokenizer.json": whole(**of_whole)}


ABC = {"ab": 256, "bc": 257, "abc": 258}
TWO_WAYS = [["a", "b"], ["b", "c"], ["ab", "c"], ["a", "bc"]]
MARKS = [  # b is a token anyway; <u>x is longer than <u>; the last is sought after the others
    {"id": 65, "content": "b", "single_word": True},
    {"id": 256, "content": "<u>", "lstrip": True, "rstrip": True},
    {"id": 257, "content": "<u>x", "special": False},
    {"id": 258, "content": " zeb", "normalized": True, "special": False},
]
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<p>"}
MAP = {"bos_token": {"content": "<s>", "lstrip": True, "rstrip": False, "normalized": False}}
MAP["bos_token"]["single_word"] = False
UNSAID = {"content": "zeb", "special": False}, {"content": "ebra", "special": False, "normalized": False}
TYPED = {"__type": "AddedToken", "content": "<s>", "normalized": True}
END = "<|endoftext|>"
ENDS = {END[:n]: 254 + n for n in range(2, 14)}
TO_END = [[END[:n], END[n]] for n in range(1, 13)]
CASES = {
    "added tokens": alone(added=[U, {"id": 257, "content": "zebra", "special": False}]),
    "marks": alone(added=MARKS),
    "marks of GPT-2": beside(SLOW, added=MARKS),
    "prefix space": alone(added=[U], pre_tokenizer=level(True)),
    "prefix space, fast": beside(FAST, added=[U], pre_tokenizer=level(True)),
    "prefix space that is not heeded": beside(FAST | {"add_prefix_space": True}, added=[U]),
    "prefix space in the configuration": beside(SLOW | {"add_prefix_space": True}, added=[U]),
    "begun by a template": alone(added=[U], post_processor=TEMPLATE),
    "begun by a template, of GPT-2": beside(SLOW, added=[U], post_processor=TEMPLATE),
    "surrounded": beside(FAST, added=[U], post_processor=ROBERTA),
    "in a sequence": alone(
        added=[U], post_processor={"type": "Sequence", "processors": [level(True), TEMPLATE]}
    ),
    "bos not heeded": beside(SLOW | {"add_bos_token": True, "bos_token": "<u>"}, added=[U]),
    "bos": two_files({"<u>": 256}, **{
        "config.json": GPT2,
        "tokenizer_config.json": SLOW | {"add_bos_token": True, "bos_token": "<u>"},
    }),
    "bos and eos": two_files({"<u>": 256}, **{
        "config.json": GPT2,
        "tokenizer_config.json": SLOW
        | {"add_bos_token": True, "add_eos_token": True, "bos_token": "<u>", "eos_token": "</s>"},
    }),
    "two files": two_files({"<u>": 256}, **{"config.json": GPT2}),
    "merges without version": two_files(
        {"ab": 256, "bc": 257}, "a b\nb c\n", **{"config.json": GPT2}
    ),
    "merges with two versions": two_files(
        {"ab": 256, "bc": 257}, "#version: 0.2\n#version: 0.2\na b\r\nb c", **{"config.json": GPT2}
    ),
    "two merges that make one token": alone(more=ABC, merges=TWO_WAYS),
    "a merge twice": alone(more=ABC, merges=[["a", "b"], ["b", "c"], ["a", "b"], ["ab", "c"]]),
    "unknown bytes": alone(without="xb", more={"<unk>": 254}, model={"unk_token": "<unk>"}),
    "unknown bytes in one": alone(
        without="b,z", more={"<unk>": 253}, model={"unk_token": "<unk>", "fuse_unk": True}
    ),
    "unknown bytes in a row": alone(
        without="xz", more={"<unk>": 254}, model={"unk_token": "<unk>", "fuse_unk": True}
    ),
    "unknown bytes in a row, each": alone(without="xz", more={"<unk>": 254}, model={"unk_token": "<unk>"}),
    "prefix space of two files": two_files({}, **{
        "config.json": GPT2, "tokenizer_config.json": SLOW | {"add_prefix_space": True},
    }),
    "begun by nothing": two_files({}, **{
        "config.json": GPT2,
        "tokenizer_config.json": SLOW
        | {"add_bos_token": True, "add_eos_token": True, "bos_token": None, "eos_token": "<u>"},
    }),
    "words that are tokens": alone(more={"ab": 256, "\u0120zebra": 257}, model={"ignore_merges": True}),
    "padding": beside(FAST, added=[U], padding=PADDING),
    "named tokens": beside(SLOW | NAMES | {"image_token": "<img>", "additional_special_tokens": ["<u>"]}),
    "named tokens, fast": beside(FAST | {"bos_token": "<s>", "extra_special_tokens": ["<u>", "<q>"]}),
    "named and not special": beside(SLOW | {"bos_token": "<u>"}, added=[U | {"special": False}]),
    "a map": {"config.json": GPT2, "tokenizer.json": whole(), "special_tokens_map.json": MAP},
    "added_tokens.json": two_files({}, **{
        "config.json": GPT2,
        "added_tokens.json": {"<u>": 256, "zebra": 257},
        "special_tokens_map.json": dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<u>"),
    }),
    "added_tokens.json besides": {
        "config.json": GPT2, "tokenizer.json": whole(added=[U]), "added_tokens.json": {"zebra": 257},
    },
    "added in the configuration": beside(
        FAST | {"added_tokens_decoder": {"257": {"content": "<s>", "lstrip": True, "special": False}}},
        added=[U],
    ),
    "never found": beside(SLOW | {"split_special_tokens": True}, added=[U]),
    "a key of their own": beside(SLOW | {"do_lower_case": True, "errors": "ignore"}, added=[U]),
    "a token with its type": two_files({}, **{
        "config.json": GPT2, "tokenizer_config.json": SLOW | {"bos_token": TYPED},
    }),
    "normalized unless it is said": beside(
        SLOW | {"added_tokens_decoder": {"256": {"content": "<u>"}, "257": UNSAID[0], "258": UNSAID[1]}},
        added=[U | {"special": False}],
    ),
    "normalized unless it controls": two_files({}, **{
        "config.json": GPT2,
        "added_tokens.json": {"zeb": 256, "ebra": 257},
        "special_tokens_map.json": {"bos_token": "ebra"},
    }),
    "normalized in one of two files": beside(
        SLOW | {"added_tokens_decoder": {"256": {"content": "<u>", "special": True, "normalized": True}}},
        added=[U],
    ),
    "the end made by merges": two_files(
        ENDS, "\n".join(map(" ".join, TO_END)) + "\n", **{"config.json": GPT2}
    ),
    "a map that differs": {
        "config.json": GPT2, "tokenizer.json": whole(added=[U]), "special_tokens_map.json": MAP,
        "tokenizer_config.json": SLOW | {"bos_token": "<u>", "eos_token": "<u>"},
    },
    "no class": {"config.json": {}, "tokenizer.json": whole(added=[U])},
    "a token of no text": alone(added=[U, {"id": 257, "content": ""}]),
    "a name of no text": beside(SLOW | {"bos_token": "", "extra_special_tokens": ["", "<s>"]}),
    "no text in added_tokens.json": two_files({}, **{"config.json": GPT2, "added_tokens.json": {"": 256}}),
    "spaces that strip": alone(added=[{"id": 256, "content": " ", "lstrip": True, "rstrip": True}]),
    "what the token before has stripped": alone(added=[
        {"id": 256, "content": "<u>", "rstrip": True}, {"id": 257, "content": " b", "special": False},
        {"id": 258, "content": "\n", "rstrip": True},
    ]),
    "prefix space, and nothing added": alone(pre_tokenizer=level(True)),
    "an unknown token without an id": alone(added=[U], model={"unk_token": "<unk>"}),
    "no decoder, of GPT-2": beside(SLOW, added=[U], decoder=None),
    "tokens of this model": beside(SLOW | {"model_specific_special_tokens": {"image_token": "<s>"}}),
    "tokens of this model, twice": beside(
        SLOW | {"image_token": "<p>", "model_specific_special_tokens": {"image_token": "<s>"}}
    ),
    "an object that is no token": beside(SLOW | {"image_token": {"content": "<s>"}}),
    "an object that is a token": beside(SLOW | {"image_token": MAP["bos_token"] | {"__type": "AddedToken"}}),
    "extra tokens in two files": beside(SLOW | {"extra_special_tokens": ["<p>"]}) | {
        "special_tokens_map.json": {"extra_special_tokens": ["<s>", "<p>"]}
    },
}  # fmt: skip


def write(folder, case):
    """Write the files of a case into a folder."""
    for name, content in CASES[case].items():
        text = content if isinstance(content, str) else json.dumps(content)
        (Path(folder) / name).write_text(text, encoding="utf-8", newline="")


def facts(folder):
    """Return what the judge says of a folder: ids with control tokens and without, text, bos and eos."""
    if Path(folder, "config.json").exists():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        backend, n, bos, eos = (
            tokenizer._tokenizer,
            len(tokenizer),
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        )
        never = tokenizer.split_special_tokens

        def ids(text, allowed):
            return tokenizer(text, split_special_tokens=never or not allowed).input_ids
    else:
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
        n, bos, eos = backend.get_vocab_size(), None, None

        def ids(text, allowed):
            backend.encode_special_tokens = not allowed
            return backend.encode(text).ids

    texts = {text: [ids(text, allowed) for allowed in (True, False)] for text in TEXTS}
    return dict(
        n=n, bos=bos, eos=eos, decoded=backend.decode([*range(n)], skip_special_tokens=False), texts=texts
    )


def main():
    """Write the record."""
    record = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, case)
            record[case] = facts(folder)
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
