"""What Hugging Face's files say of a byte-level BPE, taken together as transformers takes them.

    tokenizer.json                            all in one, or
    vocab.json  merges.txt                    {token: id}, pairs of tokens
    tokenizer_config.json                     which tokens begin and end a text, and more that concerns text
    special_tokens_map.json  added_tokens.json  the same, of older folders

hf_keys.py has every key of them.
"""

import contextlib
import dataclasses
from pathlib import Path

from picogpt.system import files
from picogpt.system.files import read_text
from picogpt.text import hf_keys
from picogpt.text.hf_control import (
    added_token,
    content_of,
    listed_tokens,
    named_tokens,
    number,
    text_token,
    with_map,
)
from picogpt.text.hf_keys import ADDED, ALL_IN_ONE, CONFIG, GENERATION, MAP, MERGES, MODEL_CONFIG, VOCAB


@dataclasses.dataclass
class Rules:
    """What there is to know of a tokenizer: `hf_bpe.NumberedEncoder` works by it."""

    merges: list  # [(token, token)], the earliest first
    numbers: dict  # {token: id}, of added tokens too
    added: dict = dataclasses.field(default_factory=dict)  # {id: AddedToken}
    unk: int | None = None  # the id of a byte that has none
    fuse_unk: bool = False  # whether it stands once for several of them in a row
    ignore_merges: bool = False  # whether a word that is a token is that token
    prefix_space: bool = False  # whether a text that does not begin with a space gets one
    before: tuple = ()  # ids that begin each text
    after: tuple = ()  # ids that end each text
    split_special: bool = (
        False  # whether control tokens in a text are never found, even where they are allowed
    )
    longest: int | None = None  # ids; a longer text would be cut by some programs and not by others
    bos: int | None = None  # what a new text is written after
    eos: int | None = None  # what stands after a text

    def makes(self, token):
        """Return whether a merge makes the token."""
        return any(a + b == token for a, b in self.merges if token.startswith(a))

    def token_of(self, i):
        """Return the token with the id `i`, or None."""
        return next((token for token, number in self.numbers.items() if number == i), None)


def read(folder, n_rows=None):
    """Return the Rules of a folder's tokenizer; `n_rows`: how many ids the model knows, if that is known."""
    folder = Path(folder)
    config = read_optional(folder / CONFIG)
    model = read_optional(folder / GENERATION) | read_optional(folder / MODEL_CONFIG)
    hf_keys.check(config, hf_keys.TOKENIZER_CONFIG, CONFIG, strict=False)
    gpt2_class = is_gpt2_class(config, model)
    if "added_tokens_decoder" not in config:
        special_map = read_optional(folder / MAP)
        hf_keys.check(special_map, hf_keys.SPECIAL_TOKENS_MAP, MAP, strict=False)
        config = with_map(config, special_map)
    if (folder / ALL_IN_ONE).is_file():
        rules, added = read_all_in_one(folder, config, gpt2_class)
    else:
        rules, added = read_two_files(folder), []
        gpt2_class = gpt2_class or bool(model)
        rules.prefix_space = bool(config.get("add_prefix_space"))
    named = named_tokens(config, gpt2_class and n_rows is not None)
    numbers = read_optional(folder / ADDED)
    added = [*added, *listed_tokens(config, numbers, named, added, gpt2_class)]
    number(rules, added, named, n_rows)
    rules.split_special = bool(config.get("split_special_tokens"))
    rules.bos, rules.eos = (text_token(rules, config, model, side, n_rows) for side in ("bos", "eos"))
    if not (folder / ALL_IN_ONE).is_file():
        ids = {side: rules.numbers.get(content_of(named.get(f"{side}_token"))) for side in ("bos", "eos")}
        rules.before, rules.after = (
            (ids[side],) if config.get(f"add_{side}_token") and ids[side] is not None else ()
            for side in ("bos", "eos")
        )
    return rules


def read_object(path):
    """Return the object in a JSON file; what is none is a ValueError that names the file."""
    try:
        return files.read_object(path, files.LARGE)
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged ({error}): download it again") from None


def read_optional(path):
    """Return the object in a JSON file, or {} if there is no such file."""
    return read_object(path) if path.is_file() else {}


def is_gpt2_class(config, model):
    """Return whether transformers reads the folder as a GPT2Tokenizer, and not just its tokenizer.json."""
    name = config.get("tokenizer_class") or model.get("tokenizer_class")
    if name not in hf_keys.CLASSES:
        file = CONFIG if config.get("tokenizer_class") else MODEL_CONFIG
        raise ValueError(
            f"{file} has tokenizer_class {name!r:.40}, whose rules are not known: in transformers, save it as"
            " PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)"
        )
    return name in hf_keys.GPT2_CLASSES or (name is None and model.get("model_type") == "gpt2")


def read_all_in_one(folder, config, gpt2_class):
    """Return (Rules, [(id, AddedToken)]) of a tokenizer.json."""
    whole = read_object(folder / ALL_IN_ONE)
    hf_keys.check(whole, hf_keys.TOKENIZER_JSON, ALL_IN_ONE)
    model, words, cut, decoder = map(whole.get, ("model", "pre_tokenizer", "truncation", "decoder"))
    usual = {"type": None} if not gpt2_class else {}  # that class has a decoder of its own
    for name, table, part in (
        ("model", hf_keys.MODEL, {"vocab": None, "merges": None} | (model or {})),
        ("pre_tokenizer", hf_keys.PRE_TOKENIZER, {"type": None, "add_prefix_space": None} | (words or {})),
        ("truncation", hf_keys.TRUNCATION, {"max_length": None} | cut if cut else {}),
        ("decoder", hf_keys.DECODER, usual | (decoder or {})),
    ):
        hf_keys.check(part, table, f"{name} of {ALL_IN_ONE}")
    rules = Rules(
        merges=pairs_of(model["merges"], ALL_IN_ONE),
        numbers=dict(model["vocab"]),
        fuse_unk=bool(model.get("fuse_unk")),
        ignore_merges=bool(model.get("ignore_merges")),
        prefix_space=words["add_prefix_space"],
        longest=cut["max_length"] if cut else None,
    )
    rules.before, rules.after = template_of(whole.get("post_processor"))
    rules.unk = rules.numbers.get(model.get("unk_token"))  # without one, a byte that needs it is an error
    if gpt2_class:
        agree(rules, config)
    added = [(added_token(token, ALL_IN_ONE), token) for token in whole.get("added_tokens") or ()]
    return rules, [(given.get("id"), token) for token, given in added]


def pairs_of(merges, source):
    """Return merges, each a pair or a text with a space in it, as pairs; `source` has them."""
    lists = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    for n, pair in enumerate(lists):
        if not (isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is type(pair[1]) is str):
            raise ValueError(f"merge {n + 1} of {source} is {merges[n]!r:.80}, and not two tokens")
    return [*map(tuple, lists)]


def agree(rules, config):
    """Heed what a GPT2Tokenizer takes from tokenizer_config.json, if tokenizer.json does not contradict."""
    prefix_space = bool(config.get("add_prefix_space"))
    unheeded = {"ignore_merges": rules.ignore_merges}
    unheeded["add_prefix_space"] = rules.prefix_space and not prefix_space
    for key in filter(unheeded.get, unheeded):
        raise ValueError(
            f"{ALL_IN_ONE} has {key} true, which transformers' GPT2Tokenizer ignores: set it to false,"
            f' or write "tokenizer_class": "PreTrainedTokenizerFast" into {CONFIG}'
        )
    rules.prefix_space = prefix_space


def template_of(processor):
    """Return the ids (before, after) that a post_processor of tokenizer.json puts around a text."""
    kind = (processor or {}).get("type", "ByteLevel")
    with contextlib.suppress(LookupError, TypeError, AttributeError):  # which say that it is none of these
        if kind == "ByteLevel":
            return (), ()
        if kind in ("RobertaProcessing", "BertProcessing"):
            return (processor["cls"][1],), (processor["sep"][1],)
        if kind == "Sequence":
            found = [around for around in map(template_of, processor["processors"]) if around != ((), ())]
            if len(found) < 2:
                return found[0] if found else ((), ())
        if kind == "TemplateProcessing":
            ids = {name: tuple(token["ids"]) for name, token in processor["special_tokens"].items()}
            single = processor["single"]
            texts = [n for n, part in enumerate(single) if "SpecialToken" not in part]
            if [single[n]["Sequence"]["id"] for n in texts] == ["A"]:
                [here] = texts  # where the text goes
                before, after = (
                    [ids[part["SpecialToken"]["id"]] for part in parts]
                    for parts in (single[:here], single[here + 1 :])
                )
                return sum(before, ()), sum(after, ())
    raise ValueError(
        f"{ALL_IN_ONE} has a post_processor of type {kind!r:.40}, which does more than put ids around a text,"
        " or is damaged: use this tokenizer in transformers"
    )


def read_two_files(folder):
    """Return the Rules of vocab.json and merges.txt."""
    for name in (VOCAB, MERGES):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: a tokenizer has {VOCAB} and {MERGES}")
    rules = Rules(merges=read_merges(folder / MERGES), numbers=read_object(folder / VOCAB))
    if len(rules.numbers) > len(rules.merges) + 257:  # the bytes, what merges make, and <|endoftext|>
        check_all_made(rules)
    return rules


def check_all_made(rules):
    """Raise ValueError for a token that looks like two in one, but that no merge makes; "<s>" is none."""
    for token in rules.numbers.keys() - {a + b for a, b in rules.merges}:
        halves = ((token[:i], token[i:]) for i in range(1, len(token)))
        if any(a in rules.numbers and b in rules.numbers for a, b in halves):
            raise ValueError(f"{MERGES} lacks the merge that makes {token!r}: download it again")


def read_merges(path):
    """Return the pairs in a merges.txt, which begins with "#version: 0.2" or does not."""
    lines = read_text(path).rstrip("\n").split("\n")
    pairs = [tuple(line.split(" ")) for line in lines if line[:8] != "#version"]
    if any(len(pair) != 2 for pair in pairs):
        n = next(n for n, line in enumerate(lines, 1) if line[:8] != "#version" and line.count(" ") != 1)
        raise ValueError(f"{path.name}, line {n}, is not two tokens with a space between: download it again")
    return pairs
