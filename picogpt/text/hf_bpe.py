"""Byte-level BPE as Hugging Face stores it: its tokens may have any ids, and there may be more of them.

    tokenizer.json                             all in one, or
    vocab.json  merges.txt  added_tokens.json  {token: id}, the merges, {token: id} of what no merge makes

Of GPT-2's own tokenizer these say the same as OpenAI's vocab.bpe.
"""

import json
from pathlib import Path

from picogpt.system import files
from picogpt.system.files import atomic_write
from picogpt.text import bpe

ALL_IN_ONE, VOCAB, MERGES, ADDED = "tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"


class NumberedEncoder(bpe.Encoder):
    """A tokenizer whose ids are `numbers`, {token: id}; of its tokens, those in `special` no merge makes.

    `eot` is None, and `start` is 0, if <|endoftext|> is not among them.
    """

    def __init__(self, merges, numbers, special):
        super().__init__(merges)
        self.made = list(self.encoder)[:-1]  # the order in which tokens are made, by which merging goes
        if unknown := set(self.made) - numbers.keys():
            raise ValueError(f"{min(unknown)!r}, which is a byte or made by a merge, has no id")
        self.special = numbers.keys() - set(self.made)
        if unmade := self.special - set(special) - {bpe.EOT}:
            raise ValueError(f"{min(unmade)!r} is made by no merge, and is not an added token")
        if {*map(type, numbers.values())} != {int} or {*numbers.values()} != {*range(len(numbers))}:
            raise ValueError("the ids are not 0, 1, 2 and so on, one for each token")
        self.ids = [numbers[token] for token in self.made]
        self.encoder, self.n_vocab = numbers, len(numbers)
        self.decoder = {i: token for token, i in numbers.items()}
        self.eot = numbers.get(bpe.EOT)
        self.start = self.eot or 0

    def encode(self, text, allow_eot=False):
        """Return the ids of `text`; where there is no token <|endoftext|>, allow_eot changes nothing."""
        return super().encode(text, allow_eot and self.eot is not None)

    def merge(self, word):
        """Return the ids of `word` (bytes) after all merges."""
        return tuple(self.ids[i] for i in super().merge(word))

    def token_bytes(self, i):
        """Return the bytes that the token with id `i` stands for; a special one is written as it is."""
        special = self.decoder.get(i) in self.special
        return self.decoder[i].encode("utf-8") if special else super().token_bytes(i)

    def save(self, folder):
        """Write the files of such a tokenizer into `folder`."""
        save(folder, self)


def load_encoder(folder):
    """Return the tokenizer of a folder of Hugging Face's; one with GPT-2's ids is a plain `bpe.Encoder`."""
    path = Path(folder, ALL_IN_ONE)
    try:
        if path.is_file():
            merges, numbers, special = read_all_in_one(path)
        else:
            path, added = Path(folder, VOCAB), Path(folder, ADDED)
            merges, numbers = bpe.read_merges(Path(folder, MERGES)), read_json(path)
            special = read_json(added) if added.is_file() else {}
        encoder, numbers = bpe.Encoder(merges), numbers | special
        return encoder if encoder.encoder == numbers else NumberedEncoder(merges, numbers, special)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used as a tokenizer ({error}): download it again") from None


def read_json(path):
    """Return what is in a JSON file."""
    return files.read_json(path, files.LARGE)


def read_all_in_one(path):
    """Return (merges, {token: id}, {special token: id}) of a tokenizer.json that works as GPT-2's does."""
    whole = read_json(path)
    model, words = whole["model"], whole["pre_tokenizer"]
    like_gpt2 = words["type"] == "ByteLevel" and words.get("use_regex", True) and not whole.get("normalizer")
    if model.get("type", "BPE") != "BPE" or not like_gpt2 or words.get("add_prefix_space"):
        raise ValueError("it does not cut text into words as GPT-2's does")
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return merges, model["vocab"], {token["content"]: token["id"] for token in whole["added_tokens"]}


def save(folder, encoder):
    """Write vocab.json, merges.txt and, if there are special tokens, added_tokens.json into `folder`."""
    tokens = getattr(encoder, "made", list(encoder.encoder))
    bpe.write_merges(Path(folder, MERGES), [(tokens[a], tokens[b]) for a, b in encoder.merges])
    special = {token: encoder.encoder[token] for token in getattr(encoder, "special", ())}
    for name, numbers in ((VOCAB, encoder.encoder), (ADDED, special)):
        if numbers:
            with atomic_write(Path(folder, name)) as file:
                file.write(json.dumps(numbers).encode())
