"""GPT-1's tokenizer: byte-pair encoding of lower-case words, each of which ends in </w>; text <-> ids.

Where GPT-2 begins with bytes, GPT-1 begins with characters, and one that it has never seen is <unk>. A text
loses its capitals, its accents and what spaces it has: "Élan  vital" is read as "elan vital". The words are
those of BERT's basic tokenizer, as in Hugging Face's OpenAIGPTTokenizer without the packages ftfy and spacy;
some signs and accents that are newer than Unicode 8 that one takes for letters.

A folder has vocab.json, {token: id}, and merges.txt, pairs of tokens; or both in tokenizer.json.
"""

import functools
import itertools
import json
import unicodedata
from pathlib import Path

from picogpt.system.files import LARGE, atomic_write, read_bytes, read_json
from picogpt.text import bpe, hf_files
from picogpt.text.hf_keys import ALL_IN_ONE, MERGES, VOCAB

END, UNKNOWN = "</w>", "<unk>"
DROPPED = ("Cc", "Cf", "Co")  # categories of characters that are no text
IDEOGRAPHS = (  # each of which is a word
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
NORMALIZER = dict(
    type="BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
)
TOKENIZER_JSON = dict(normalizer=NORMALIZER, pre_tokenizer=dict(type="BertPreTokenizer"))


class Gpt1Encoder(bpe.Encoder):
    """A tokenizer of `merges`, pairs of tokens, the earliest first, and `numbers`, {token: id}.

    It has the interface of `bpe.Encoder`. No token ends a document, so `eot` is None; a new text begins after
    `start`, the line end if it is a token, as in OpenAI's vocabulary.
    """

    def __init__(self, merges, numbers):
        if {*map(type, numbers.values())} != {int} or {*numbers.values()} != {*range(len(numbers))}:
            raise ValueError("the ids of the tokenizer are not 0, 1, 2 and so on, one for each token")
        self.encoder, self.decoder = numbers, {i: token for token, i in numbers.items()}
        self.n_vocab, self.eot, self.unknown = len(numbers), None, numbers.get(UNKNOWN)
        self.start = numbers.get("\n" + END, self.unknown or 0)
        self.merges, self.made = {}, []  # (id, id) -> number of the merge; number -> id of what it makes
        for n, (a, b) in enumerate(merges):
            if not {a, b, a + b} <= numbers.keys():
                raise ValueError(
                    f"merge {n + 1}, {a + ' ' + b!r}, is of tokens that are not in the vocabulary"
                )
            self.merges[numbers[a], numbers[b]] = n
            self.made.append(numbers[a + b])
        self.cached_merge = functools.lru_cache(maxsize=2**17)(self.merge)

    def encode(self, text, allow_eot=None, template=True):
        """Return the ids of `text`; the other arguments are there for the interface and change nothing."""
        bpe.check_unicode(text)
        return [i for word in words(text) for i in self.cached_merge(word)]

    def merge(self, word):
        """Return the ids of a word after all merges; its last character is one with </w>."""
        symbols = [*word[:-1], word[-1] + END]
        ids = [self.encoder.get(symbol, self.unknown) for symbol in symbols]
        if None in ids:
            raise ValueError(f"no token stands for {symbols[ids.index(None)]!r}: leave it out")
        return self.merge_ids(ids)

    def token_bytes(self, i):
        """Return the bytes that the token with id `i` stands for, with the space after a word."""
        if i not in self.decoder:
            raise ValueError(f"{i} is not an id of this tokenizer: its ids are 0..{self.n_vocab - 1}")
        return self.decoder[i].replace(END, " ").encode()

    def decode(self, ids):
        """Return the text of `ids`: words with a space between, but none after the last."""
        return "".join(self.stream(ids))

    def stream(self, ids):
        """Yield the text of `ids`, which may be a live generator; a word's space comes with what follows."""
        held = ""
        for i in ids:
            text = held + self.token_bytes(i).decode()
            held = " " if text.endswith(" ") else ""
            if text := text.removesuffix(" "):
                yield text

    def save(self, folder):
        """Write vocab.json and merges.txt into `folder`; each appears when it is complete."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        bpe.write_merges(Path(folder, MERGES), [(self.decoder[a], self.decoder[b]) for a, b in self.merges])
        with atomic_write(Path(folder, VOCAB)) as file:
            file.write(json.dumps(self.encoder, ensure_ascii=False).encode())


def words(text):
    """Return the words of a text: lower-case, without accents, each sign and ideograph alone.

    >>> words("\u00c9lan's 3\\n\u4f60\u597d!")
    ['elan', "'", 's', '3', '\u4f60', '\u597d', '!']
    """
    text = "".join(map(clean, text))
    text = "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")
    text = "".join(char.lower() for char in text)  # each alone: a final sigma is none here
    groups = (itertools.groupby(piece, key=Signs()) for piece in text.split(" ") if piece)
    return ["".join(chars) for group in groups for _, chars in group]


class Signs:
    """A key for `groupby` that tells signs apart from words, and each sign from the next."""

    def __init__(self):
        self.n = 0

    def __call__(self, char):
        """Return 0 for a letter or a digit, and another number for each sign."""
        is_sign = unicodedata.category(char)[0] == "P" or (char.isascii() and not char.isalnum())
        self.n += is_sign
        return self.n if is_sign else 0


def clean(char):
    """Return a character as BERT reads it: spaces as " ", what is no text as "", ideographs apart."""
    if char in "\t\n\r":
        return " "
    if char == "\ufffd" or unicodedata.category(char) in DROPPED:
        return ""
    if char.isspace():
        return " "
    return f" {char} " if any(begin <= ord(char) <= end for begin, end in IDEOGRAPHS) else char


def is_gpt1s(folder):
    """Return whether the tokenizer in a folder is of this kind: its tokens mark the ends of words."""
    path = Path(folder, ALL_IN_ONE)
    if not path.is_file():
        path = Path(folder, VOCAB)
    return path.is_file() and f'{END}"'.encode() in read_bytes(path, LARGE)


def load_encoder(folder):
    """Return the tokenizer in a folder."""
    path = Path(folder, ALL_IN_ONE)
    try:
        if path.is_file():
            return Gpt1Encoder(*read_all_in_one(path))
        rules = hf_files.read_two_files(Path(folder))
        return Gpt1Encoder(rules.merges, rules.numbers)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{folder} has a tokenizer that cannot be used ({error}): download it again"
        ) from None


def read_all_in_one(path):
    """Return (merges, {token: id}) of a tokenizer.json that does what is done here."""
    whole = read_json(path, LARGE)
    wrong = [key for key, expected in TOKENIZER_JSON.items() if whole.get(key) != expected]
    if hf_files.template_of(whole.get("post_processor")) != ((), ()):
        wrong.append("post_processor")
    if wrong:
        raise ValueError(f"its {wrong[0]} is not that of GPT-1: use this tokenizer in transformers")
    model = whole["model"]
    pairs = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
    return pairs, dict(model["vocab"])
