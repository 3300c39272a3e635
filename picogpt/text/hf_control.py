"""Which control tokens and other added tokens a folder of Hugging Face's names, and which ids they have.

`config` is tokenizer_config.json, with what special_tokens_map.json says in older folders.
"""

import dataclasses
import re

from picogpt.text import hf_keys
from picogpt.text.added_tokens import AddedToken
from picogpt.text.bpe import EOT
from picogpt.text.hf_keys import ALL_IN_ONE, CONFIG, MAP

NAMES = "bos eos unk sep pad cls mask"  # of control tokens, in transformers' order
NAMED = [f"{name}_token" for name in NAMES.split()]
MARK = "AddedToken"


def added_token(given, file):
    """Return the AddedToken that a file describes, as an object or by its content alone: a control token."""
    if isinstance(given, str):
        return AddedToken(given, special=True)
    if not is_token(given):
        raise ValueError(f"{file} has {given!r:.80} as an added token, which must have a content")
    hf_keys.check(given, hf_keys.ADDED_TOKEN, f"{given['content']!r:.80} in {file}")
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
    own = {key: given for key, given in config.items() if key.endswith("_token") and key not in NAMED}
    own = {key: given for key, given in own.items() if isinstance(given, str) or is_marked(given)}
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    own |= extra if isinstance(extra, dict) else {}
    named |= own or config.get("model_specific_special_tokens") or {}
    named |= {} if isinstance(extra, dict) else dict(enumerate(extra))
    tokens = {key: added_token(given, CONFIG) for key, given in named.items() if is_token(given)}
    return {key: dataclasses.replace(token, special=True) for key, token in tokens.items() if token.content}


def is_token(given):
    """Return whether the value of a key is a token."""
    return isinstance(given, str) or (isinstance(given, dict) and "content" in given)


def is_marked(given):
    """Return whether an object says that it is a token; in tokenizer_config.json it may be anything else."""
    return is_token(given) and isinstance(given, dict) and given.get("__type") == MARK


def with_map(config, special_map):
    """Return tokenizer_config.json with what special_tokens_map.json says: its objects are all tokens."""
    given = {
        key: t | {"__type": MARK} if is_token(t) and isinstance(t, dict) else t
        for key, t in special_map.items()
    }
    both = [said["extra_special_tokens"] for said in (config, given) if said.get("extra_special_tokens")]
    if len(both) == 2 and not all(isinstance(tokens, list) for tokens in both):
        raise ValueError(
            f"{MAP} has extra_special_tokens, and so has {CONFIG}: delete them in one of the two"
        )
    if len(both) == 2:
        given["extra_special_tokens"] = both[0] + [token for token in both[1] if token not in both[0]]
    return config | given


def listed_tokens(config, numbers, named, first, gpt2_class):
    """Return [(id, AddedToken)] of tokenizer_config.json, without the `first`, which tokenizer.json has.

    In older folders they are the `numbers` of added_tokens.json, {content: id}.
    """
    if "added_tokens_decoder" in config:
        decoder = config["added_tokens_decoder"]
        if wrong := [
            i for i, t in decoder.items() if not re.fullmatch(r"-?\d{1,18}", i) or not isinstance(t, dict)
        ]:
            raise ValueError(
                f"{CONFIG} has {wrong[0]!r:.80} in added_tokens_decoder, which is not an id with its token"
            )
        listed = {int(i): added_token(t, CONFIG) for i, t in decoder.items()}
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
            for content, i in numbers.items()
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
    if EOT in rules.numbers and not rules.makes(EOT):
        named.setdefault(EOT, AddedToken(EOT, special=True))
    for i, token in [*added, *((None, token) for token in named.values())]:
        if not token.content:  # which tokenizers passes over
            continue
        following = max([n_vocab, *(known + 1 for known in rules.added)])
        right = rules.numbers.get(token.content, following)
        if token.content == EOT and i is None and right == following and (n_rows is None or right >= n_rows):
            continue  # which GPT2Tokenizer does, and the model was not trained with
        if i not in (None, right):
            raise ValueError(
                f"the added token {token.content!r} has id {i!r}, but tokenizers gives it {right}: correct it"
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
    usual = rules.numbers.get(EOT)
    token = EOT if theirs == usual else rules.token_of(theirs)
    ordinary = theirs not in rules.added and token is not None and (len(token) == 1 or rules.makes(token))
    theirs = None if token is None else theirs
    choices = [
        rules.numbers.get(content) if content != EOT else None,
        None if ordinary else theirs,
        usual if usual is None or n_rows is None or usual < n_rows else None,
        theirs if theirs is None or n_rows is None or theirs < n_rows else None,
        usual,
    ]
    return next((i for i in choices if i is not None), None)
