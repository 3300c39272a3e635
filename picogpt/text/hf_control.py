"""Which control tokens and other added tokens a folder of Hugging Face's names, and which ids they have.

`config` is tokenizer_config.json, with what special_tokens_map.json says in older folders.
"""

import dataclasses

from picogpt.text import hf_keys
from picogpt.text.added_tokens import AddedToken
from picogpt.text.bpe import EOT
from picogpt.text.hf_keys import ALL_IN_ONE, CONFIG

NAMES = "bos eos unk sep pad cls mask"  # of control tokens, in transformers' order
NAMED = [f"{name}_token" for name in NAMES.split()]


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


def listed_tokens(config, numbers, named, first, gpt2_class):
    """Return [(id, AddedToken)] of tokenizer_config.json, without the `first`, which tokenizer.json has.

    In older folders they are the `numbers` of added_tokens.json, {content: id}.
    """
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
        following = max([n_vocab, *(known + 1 for known in rules.added)])
        right = rules.numbers.get(token.content, following)
        if token.content == EOT and i is None and right == following and (n_rows is None or right >= n_rows):
            continue  # which GPT2Tokenizer does, and the model was not trained with
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
