"""Byte-level BPE as Hugging Face stores it: its tokens may have any ids, and there may be more of them.

hf_files.py reads the files and says what is in them. Of GPT-2's own tokenizer they say the same as OpenAI's
vocab.bpe; such a one is a plain `bpe.Encoder`. Any other is a `NumberedEncoder`.
"""

import dataclasses
import json
from pathlib import Path

from picogpt.system.files import atomic_write
from picogpt.text import bpe, hf_files, hf_keys, hf_write
from picogpt.text.added_tokens import AddedToken, AddedTokens

DAMAGED = (json.JSONDecodeError, UnicodeDecodeError)  # a file is not what it was written as


class NumberedEncoder(bpe.Encoder):
    """A tokenizer by the rules of `hf_files.Rules`, with the interface of `bpe.Encoder`.

    `start` is the id after which a model begins a new text, 0 if there is none for that, and `eot` the one
    that ends a text, or None. A model may know fewer ids than there are tokens: `n_rows` of them.
    """

    def __init__(self, rules, n_rows=None):
        self.rules, self.encoder = rules, rules.numbers
        self.decoder = {i: token for token, i in self.encoder.items()}
        self.n_vocab = len(self.decoder)
        if {*map(type, self.decoder)} != {int} or self.decoder.keys() != {*range(len(self.encoder))}:
            raise ValueError("the ids of the tokenizer are not 0, 1, 2 and so on, one for each token")
        if wrong := [i for i in (*rules.before, *rules.after) if type(i) is not int or i not in self.decoder]:
            raise ValueError(f"the tokenizer puts the id {wrong[0]!r:.40} around a text, but no token has it")
        self.n_rows = self.n_vocab if n_rows is None else n_rows
        symbols = bpe.byte_symbols()
        self.symbol_bytes = {ord(symbol): byte for byte, symbol in symbols.items()}
        self.byte_ids = {byte: self.encoder.get(symbol) for byte, symbol in symbols.items()}
        self.merges, self.made = {}, []  # (id, id) -> number of the merge; number -> id of what it makes
        for n, (a, b) in enumerate(rules.merges):
            if not {a, b, a + b} <= self.encoder.keys():
                raise ValueError(
                    f"merge {n + 1}, {a + ' ' + b!r}, is of tokens that are not in the vocabulary"
                )
            self.merges[self.encoder[a], self.encoder[b]] = n
            self.made.append(self.encoder[a + b])
        self.added = AddedTokens(rules.added)
        self.bos, self.eot = rules.bos, rules.eos if rules.eos is not None else rules.bos
        self.prepare()

    @property
    def start(self):
        """The id after which the model begins a new text."""
        first = self.eot if self.bos is None else self.bos
        return self.check_ids([first or 0])[0]

    def encode(self, text, allow_eot=None, template=True):
        """Return the ids of `text`; with allow_eot, control tokens in it, as <|endoftext|>, are their ids.

        Without, they are text like any other; None is what `special` says. Other added tokens, a model's own
        words, are always found. With `template`, the ids stand between those that the tokenizer puts around
        each text, if it does.
        """
        bpe.check_unicode(text)
        allow_eot = self.special if allow_eot is None else allow_eot
        ids = []
        for piece in self.added.cut(text, allow_eot and not self.rules.split_special):
            ids += self.encode_words(piece) if isinstance(piece, str) else [piece]
        if template:
            ids = [*self.rules.before, *ids, *self.rules.after]
        if self.rules.longest is not None and len(ids) > self.rules.longest:
            raise ValueError(
                f"the text has {len(ids)} tokens, of which tokenizer.json keeps {self.rules.longest}:"
                ' to have all, set its key "truncation" to null'
            )
        return self.check_ids(ids)

    def check_ids(self, ids):
        """Return the ids if the model knows all of them."""
        if beyond := next((i for i in ids if i >= self.n_rows), None):
            raise ValueError(
                f"the token {self.decoder[beyond]!r} has id {beyond}, but the model only knows the ids"
                f" 0 to {self.n_rows - 1}: it cannot read a text with that token"
            )
        return ids

    def encode_words(self, text):
        """Return the ids of a text in which nothing is special."""
        lacks_space = self.rules.prefix_space and text[:1] not in ("", " ")
        return super().encode_words(" " + text if lacks_space else text)

    def merge(self, word):
        """Return the ids of `word` (bytes) after all merges."""
        token = "".join(map(bpe.byte_symbols().get, word)) if self.rules.ignore_merges else None
        if token in self.encoder:
            return (self.encoder[token],)
        ids = [self.byte_ids[byte] for byte in word]
        return self.merge_ids(self.fill_in(ids, word) if None in ids else ids)

    def fill_in(self, ids, word):
        """Let the token for unknown bytes stand for those without an id."""
        if self.rules.unk is None:
            byte = word[ids.index(None)]
            raise ValueError(f"no token stands for the byte {byte:#04x} in {word.decode()!r}: leave it out")
        filled = []
        for n, i in enumerate(ids):
            if i is not None:
                filled.append(i)
            elif n == 0 or ids[n - 1] is not None or not self.rules.fuse_unk:
                filled.append(self.rules.unk)
        return filled

    def token_bytes(self, i):
        """Return the bytes that the token with id `i` stands for; one not of symbols is taken as it is."""
        token = self.decoder.get(i, "")
        in_symbols = all(ord(char) in self.symbol_bytes for char in token)
        return super().token_bytes(i) if in_symbols else token.encode("utf-8")

    def save(self, folder):
        """Write tokenizer.json and tokenizer_config.json into `folder`."""
        save(folder, self)


def load_encoder(folder, n_rows=None):
    """Return the tokenizer of a folder of Hugging Face's; one with GPT-2's ids is a plain `bpe.Encoder`.

    `n_rows` is how many ids the model knows, if that is known; a text with another one is a ValueError then.
    """
    name = hf_keys.ALL_IN_ONE if Path(folder, hf_keys.ALL_IN_ONE).is_file() else hf_keys.VOCAB
    try:
        return from_rules(hf_files.read(folder, n_rows), n_rows)
    except (*DAMAGED, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else error
        path = Path(folder, name)
        raise ValueError(f"{path} cannot be used as a tokenizer ({why}): download it again") from None
    except ValueError as error:
        raise ValueError(f"{Path(folder)} has a tokenizer that cannot be used: {error}") from None


def from_rules(rules, n_rows=None):
    """Return the tokenizer that works by the rules: a plain `bpe.Encoder` if it does the same."""
    encoder = plain(rules, n_rows)
    return NumberedEncoder(rules, n_rows) if encoder is None else encoder


def rules_of(encoder):
    """Return the rules by which a tokenizer works: the inverse of `from_rules`."""
    if isinstance(encoder, NumberedEncoder):
        return encoder.rules
    merges = [(encoder.decoder[a], encoder.decoder[b]) for a, b in encoder.merges]
    added = {encoder.eot: AddedToken(bpe.EOT, special=True)}
    return hf_files.Rules(merges, encoder.encoder, added, bos=encoder.eot, eos=encoder.eot)


def plain(rules, n_rows=None):
    """Return a `bpe.Encoder` that does the same as the rules, or None if there is none."""
    end = rules.numbers.get(bpe.EOT)
    only = AddedToken(bpe.EOT, special=True)  # unknown bytes do not matter: there are none
    usual = hf_files.Rules([], {}, {end: only}, bos=end, eos=end, unk=rules.unk, fuse_unk=rules.fuse_unk)
    added = {i: dataclasses.replace(token, normalized=False) for i, token in rules.added.items()}
    others = dataclasses.replace(rules, merges=[], numbers={}, added=added) != usual
    if others or len(rules.numbers) != len(rules.merges) + 257 or (n_rows is not None and n_rows <= end):
        return None
    try:
        encoder = bpe.Encoder(rules.merges)
    except ValueError:  # two merges that make one token, say
        return None
    return encoder if encoder.encoder == rules.numbers else None


def save(folder, encoder):
    """Write a tokenizer's files: of a plain one vocab.json and merges.txt, else tokenizer.json."""
    rules = rules_of(encoder)
    if type(encoder) is bpe.Encoder:
        bpe.write_merges(Path(folder, hf_keys.MERGES), rules.merges)
    files = {hf_keys.VOCAB: rules.numbers} if type(encoder) is bpe.Encoder else hf_write.as_files(rules)
    for name, content in files.items():
        with atomic_write(Path(folder, name)) as file:
            file.write(json.dumps(content).encode())
