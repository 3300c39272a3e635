"""What Hugging Face's files say of a byte-level BPE, taken together as transformers takes them.

    tokenizer.json                            all in one, or
    vocab.json  merges.txt                    {token: id}, pairs of tokens
    tokenizer_config.json                     which tokens begin and end a text, and more that concerns text
    special_tokens_map.json  added_tokens.json  the same, of older folders

hf_keys.py has every key of them.
"""

import dataclasses
import json
from pathlib import Path

from picogpt.text import hf_keys
from picogpt.text.added_tokens import AddedToken
from picogpt.text.bpe import EOT

ALL_IN_ONE, VOCAB, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
MODEL, GENERATION = "config.json", "generation_config.json"
NAMES = "bos eos unk sep pad cls mask"  # of control tokens, in transformers' order
NAMED = [f"{name}_token" for name in NAMES.split()]


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
    split_special: bool = False  # whether control tokens in a text are never found, whoever allows it
    longest: int | None = None  # ids; a longer text would be cut by some programs and not by others
    bos: int | None = None  # what a new text is written after
    eos: int | None = None  # what stands after a text


def read(folder, n_rows=None):
    """Return the Rules of a folder's tokenizer; `n_rows`: how many ids the model knows, if that is known."""
    folder = Path(folder)
    config = read_optional(folder / CONFIG)
    model = read_optional(folder / GENERATION) | read_optional(folder / MODEL)
    hf_keys.check(config, hf_keys.TOKENIZER_CONFIG, CONFIG, strict=False)
    gpt2_class = is_gpt2_class(config, model)
    if "added_tokens_decoder" not in config:
        special_map = read_optional(folder / MAP)
        hf_keys.check(special_map, hf_keys.SPECIAL_TOKENS_MAP, MAP, strict=False)
        config = config | special_map
    if (folder / ALL_IN_ONE).is_file():
        rules, added = read_all_in_one(folder, config, gpt2_class)
    else:
        rules, added = read_two_files(folder), []
        gpt2_class = gpt2_class or bool(model)
        rules.prefix_space = bool(config.get("add_prefix_space"))
    named = named_tokens(config, gpt2_class and n_rows is not None)
    added = [*added, *listed_tokens(folder, config, named, added, gpt2_class)]
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


def read_json(path):
    """Return what is in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_optional(path):
    """Return the object in a JSON file, or {} if there is no such file."""
    return dict(read_json(path)) if path.is_file() else {}


def is_gpt2_class(config, model):
    """Return whether transformers reads the folder as a GPT2Tokenizer, and not just its tokenizer.json."""
    name = config.get("tokenizer_class") or model.get("tokenizer_class")
    if name not in hf_keys.CLASSES:
        raise ValueError(
            f"{CONFIG} has tokenizer_class {name!r}, whose rules are not known: in transformers, save it as"
            " PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)"
        )
    return name in hf_keys.GPT2_CLASSES or (name is None and model.get("model_type") == "gpt2")


def read_all_in_one(folder, config, gpt2_class):
    """Return (Rules, [(id, AddedToken)]) of a tokenizer.json."""
    whole = read_json(folder / ALL_IN_ONE)
    hf_keys.check(whole, hf_keys.TOKENIZER_JSON, ALL_IN_ONE)
    model, words = whole["model"], whole["pre_tokenizer"]
    hf_keys.check(model, hf_keys.MODEL, f"model of {ALL_IN_ONE}")
    hf_keys.check(words or {"type": None}, hf_keys.PRE_TOKENIZER, f"pre_tokenizer of {ALL_IN_ONE}")
    hf_keys.check(whole.get("decoder") or {}, hf_keys.DECODER, f"decoder of {ALL_IN_ONE}")
    numbers = dict(model["vocab"])
    rules = Rules(
        merges=[tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]],
        numbers=numbers,
        fuse_unk=bool(model.get("fuse_unk")),
        ignore_merges=bool(model.get("ignore_merges")),
        prefix_space=bool(words.get("add_prefix_space", True)),
        longest=(whole.get("truncation") or {}).get("max_length"),
    )
    rules.before, rules.after = template_of(whole.get("post_processor"))
    if (unk := model.get("unk_token")) is not None:
        rules.unk = numbers[unk]
    if gpt2_class:
        agree(rules, config)
    added = [(token["id"], added_token(token, ALL_IN_ONE)) for token in whole.get("added_tokens") or ()]
    return rules, added


def agree(rules, config):
    """Heed what a GPT2Tokenizer takes from tokenizer_config.json, if tokenizer.json does not contradict."""
    prefix_space = bool(config.get("add_prefix_space"))
    unheeded = {"ignore_merges": rules.ignore_merges}
    unheeded["add_prefix_space"] = rules.prefix_space and not prefix_space
    for key in filter(unheeded.get, unheeded):
        raise ValueError(
            f"{ALL_IN_ONE} has {key} true, which transformers' GPT2Tokenizer does not heed: set it to false,"
            f' or write "tokenizer_class": "PreTrainedTokenizerFast" into {CONFIG}'
        )
    rules.prefix_space = prefix_space


def template_of(processor):
    """Return the ids (before, after) that a post_processor of tokenizer.json puts around a text."""
    kind = (processor or {}).get("type", "ByteLevel")
    if kind == "ByteLevel":
        return (), ()
    if kind in ("RobertaProcessing", "BertProcessing"):
        return (processor["cls"][1],), (processor["sep"][1],)
    if kind == "Sequence":
        before, after = (), ()
        for one in processor["processors"]:
            more = template_of(one)
            before, after = more[0] + before, after + more[1]
        return before, after
    if kind == "TemplateProcessing":
        ids = {name: tuple(token["ids"]) for name, token in processor["special_tokens"].items()}
        special = [part.get("SpecialToken") for part in processor["single"]]
        parts = [ids[token["id"]] if token else None for token in special]
        if parts.count(None) == 1:
            here = parts.index(None)  # where the text goes
            return sum(parts[:here], ()), sum(parts[here + 1 :], ())
    raise ValueError(
        f"{ALL_IN_ONE} has a post_processor of type {kind!r}, which does more than put ids around a text: use"
        " this tokenizer in transformers"
    )


def read_two_files(folder):
    """Return the Rules of vocab.json and merges.txt."""
    for name in (VOCAB, MERGES):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: a tokenizer has {VOCAB} and {MERGES}")
    rules = Rules(merges=read_merges(folder / MERGES), numbers=dict(read_json(folder / VOCAB)))
    made = {a + b for a, b in rules.merges}
    for token in rules.numbers.keys() - made:  # "<s>" may be one, but not what looks like two tokens in one
        halves = ((token[:i], token[i:]) for i in range(1, len(token)))
        if any(a in rules.numbers and b in rules.numbers for a, b in halves):
            raise ValueError(f"{MERGES} lacks the merge that makes {token!r}: download it again")
    return rules


def read_merges(path):
    """Return the pairs in a merges.txt, which begins with "#version: 0.2" or does not."""
    lines = path.read_text(encoding="utf-8").split("\n")
    numbered = [(n, line.removesuffix("\r")) for n, line in enumerate(lines, 1)]
    pairs = [(n, tuple(line.split(" "))) for n, line in numbered if not line.startswith("#version")]
    while pairs and pairs[-1][1] == ("",):
        pairs.pop()  # after the last line end
    for n, pair in pairs:
        if len(pair) != 2:
            raise ValueError(
                f"{path.name}, line {n}, is not two tokens with a space between: download it again"
            )
    return [pair for _, pair in pairs]


def added_token(given, file):
    """Return the AddedToken that a file describes, as an object or by its content alone: a control token."""
    if isinstance(given, str):
        return AddedToken(given, special=True)
    hf_keys.check(given, hf_keys.ADDED_TOKEN, f"{given['content']!r} in {file}")
    fields = {key: given[key] for key in given if key not in ("id", "__type")}
    return AddedToken(**{"normalized": not given.get("special", False)} | fields)


def content_of(token):
    """Return the text of a token that is named by an AddedToken or not at all."""
    return token.content if token else None


def named_tokens(config, default):
    """Return {name: AddedToken} of all control tokens that the configuration names, in transformers' order.

    `default` : whether <|endoftext|> is taken where the first three are not mentioned, as by GPT2Tokenizer.
    """
    named = dict.fromkeys(NAMED[:3], EOT) if default else {}
    named |= {key: config[key] for key in NAMED if key in config}
    named |= {key: given for key, given in config.items() if key.endswith("_token") and is_token(given)}
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    named |= extra if isinstance(extra, dict) else dict(enumerate(extra))
    tokens = {key: added_token(given, CONFIG) for key, given in named.items() if is_token(given)}
    return {key: dataclasses.replace(token, special=True) for key, token in tokens.items()}


def is_token(given):
    """Return whether the value of a key is a token."""
    return isinstance(given, str) or (isinstance(given, dict) and "content" in given)


def listed_tokens(folder, config, named, first, gpt2_class):
    """Return [(id, AddedToken)] of tokenizer_config.json, or else added_tokens.json, without the `first`."""
    if "added_tokens_decoder" in config:
        listed = {int(i): added_token(t, CONFIG) for i, t in config["added_tokens_decoder"].items()}
        unlisted = {token.content for _, token in first} - {token.content for token in listed.values()}
        if unlisted and gpt2_class:
            raise ValueError(
                f"{ALL_IN_ONE} has the added token {min(unlisted)!r}, which added_tokens_decoder in {CONFIG}"
                " does not list: add it there, or delete that key"
            )
    else:
        special = {token.content for token in named.values()}
        listed = {
            i: AddedToken(content, special=content in special, normalized=content not in special)
            for content, i in read_optional(folder / ADDED).items()
        }
    known = {token.content: token for _, token in first}
    for _, token in sorted(listed.items()):
        same = known.get(token.content, token)
        if dataclasses.replace(same, normalized=token.normalized) != token:
            raise ValueError(f"{ALL_IN_ONE} and {CONFIG} differ about {token.content!r}: make them agree")
    return [(i, token) for i, token in sorted(listed.items()) if token.content not in known]


def number(rules, added, named, n_rows):
    """Give each added token its id, as tokenizers does: that in the vocabulary, or the next one after it."""
    n_vocab, contents = len(rules.numbers), {token.content for _, token in added}
    named = {token.content: token for token in named.values()}
    added = [(i, dataclasses.replace(t, special=t.special or t.content in named)) for i, t in added]
    named = {content: token for content, token in named.items() if content not in contents}
    unmade = rules.numbers.keys() - {a + b for a, b in rules.merges}
    if EOT in unmade:
        named.setdefault(EOT, AddedToken(EOT, special=True))
    for i, token in [*added, *((None, token) for token in named.values())]:
        following = max([n_vocab, *(known + 1 for known in rules.added)])
        right = rules.numbers.get(token.content, following)
        if token.content == EOT and i is None and right == following and (n_rows is None or right >= n_rows):
            continue  # GPT2Tokenizer's habit, of which the model knows nothing
        if i not in (None, right):
            raise ValueError(
                f"the added token {token.content!r} has id {i}, but tokenizers gives it {right}: correct it"
            )
        rules.numbers[token.content] = right
        rules.added[right] = token


def text_token(rules, config, model, side, n_rows):
    """Return the id of the token that stands before a text (`side` "bos") or after it ("eos"), or None.

    The tokenizer's own word counts most, then that of the model's config.json. But <|endoftext|> there, and
    the id of an ordinary word, are what programs write that nobody has told; so they come last.
    """
    named, theirs = config.get(f"{side}_token"), model.get(f"{side}_token_id")
    content = added_token(named, CONFIG).content if is_token(named) else EOT
    theirs = theirs[0] if isinstance(theirs, list) and theirs else theirs
    tokens = {i: token for token, i in rules.numbers.items()}
    usual, theirs = rules.numbers.get(EOT), theirs if theirs in tokens else None
    made = {a + b for a, b in rules.merges}
    ordinary = theirs is None or len(tokens[theirs]) == 1 or tokens[theirs] in made
    choices = [
        rules.numbers.get(content) if content != EOT else None,
        None if ordinary and theirs not in rules.added else theirs,
        usual if usual is None or n_rows is None or usual < n_rows else None,
        theirs if theirs is None or n_rows is None or theirs < n_rows else None,
        usual,
    ]
    return next((i for i in choices if i is not None), None)


def as_files(rules):
    """Return {name: content} of the files that say the same: the inverse of `read`.

    Which tokens stand before and after a text is said by bos_token and eos_token.
    """
    level = dict(type="ByteLevel", add_prefix_space=rules.prefix_space, trim_offsets=True, use_regex=True)
    tokens = {i: token for token, i in rules.numbers.items()}
    added = {i: dataclasses.asdict(token) for i, token in sorted(rules.added.items())}
    n_vocab = len(tokens)
    while n_vocab - 1 in added:  # the last ids are given to added tokens anew, in their order
        n_vocab -= 1
    vocabulary = {token: i for token, i in rules.numbers.items() if i < n_vocab}
    around = (
        [{"SpecialToken": {"id": tokens[i], "type_id": 0}} for i in rules.before],
        [{"SpecialToken": {"id": tokens[i], "type_id": 0}} for i in rules.after],
    )
    text = {"Sequence": {"id": "A", "type_id": 0}}
    used = {i: tokens[i] for i in rules.before + rules.after}
    names = {token: {"id": token, "ids": [i], "tokens": [token]} for i, token in used.items()}
    template = dict(
        type="TemplateProcessing",
        single=[*around[0], text, *around[1]],
        pair=[text, {"Sequence": {"id": "B", "type_id": 1}}],
        special_tokens=names,
    )
    cut = dict(direction="Right", max_length=rules.longest, strategy="LongestFirst", stride=0)
    whole = dict(
        version="1.0",
        truncation=None if rules.longest is None else cut,
        padding=None,
        added_tokens=[{"id": i} | token for i, token in added.items()],
        normalizer=None,
        pre_tokenizer=level,
        post_processor=template if names else None,
        decoder=level,
        model=dict(
            type="BPE",
            unk_token=None if rules.unk is None else tokens[rules.unk],
            fuse_unk=rules.fuse_unk,
            ignore_merges=rules.ignore_merges,
            vocab=vocabulary,
            merges=list(rules.merges),
        ),
    )
    gpt2 = rules.unk is None and not rules.ignore_merges
    config = dict(
        tokenizer_class="GPT2Tokenizer" if gpt2 else "PreTrainedTokenizerFast",
        add_prefix_space=rules.prefix_space,
        split_special_tokens=rules.split_special,
        bos_token=tokens.get(rules.bos),
        eos_token=tokens.get(rules.eos),
        added_tokens_decoder=added,
    )
    return {ALL_IN_ONE: whole, CONFIG: config}
