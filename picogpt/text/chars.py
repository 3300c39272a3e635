"""A tokenizer for small models: each character is a token, and its id is its place in the alphabet.

>>> encoder = CharEncoder.from_text("to be or not")
>>> encoder.chars
' benort'
>>> encoder.encode("ben")
[1, 2, 3]
>>> encoder.decode([6, 4, 0, 1, 2])
'to be'
"""

import json
from pathlib import Path

from picogpt.system.files import atomic_write, read_json

MOST = 1 << 23  # bytes of chars.json: all characters that Unicode has room for take 5 MB


class CharEncoder:
    """A tokenizer with the interface of `bpe.Encoder` that knows the characters `chars`, in this order.

    `eot` is None: no character stands between documents. `start`, after which a model begins a new text, is
    the newline, or the first character of an alphabet without it.
    """

    eot, special = None, False

    def __init__(self, chars):
        self.chars = "".join(chars)
        self.n_vocab = len(self.chars)
        if len(set(self.chars)) != self.n_vocab:
            raise ValueError(f"a character occurs twice in {self.shown()}")
        self.encoder = {char: i for i, char in enumerate(self.chars)}
        self.decoder = dict(enumerate(self.chars))
        self.start = self.encoder.get("\n", 0)

    @classmethod
    def from_text(cls, text):
        """Return the tokenizer of the characters that occur in `text`, sorted as nanoGPT sorts them."""
        return cls(sorted(set(text)))

    @classmethod
    def load(cls, folder):
        """Return the tokenizer that `save` wrote to `folder`."""
        path = Path(folder, "chars.json")
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: it holds the characters that the model knows")
        try:
            return cls(read_json(path, MOST))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error}): copy it again from where the model is") from None

    def encode(self, text, allow_eot=None, template=True):
        """Return the ids of `text`; the other arguments are there for the interface and change nothing."""
        try:
            return [self.encoder[char] for char in text]
        except KeyError as error:
            raise ValueError(f"the model does not know {error}, only the characters {self.shown()}") from None

    def shown(self):
        """Return the characters in quotes, the first of them if they are many."""
        return repr(self.chars) if len(self.chars) <= 200 else f"{self.chars[:200]!r} ..."

    def decode(self, ids):
        """Return the text of `ids`."""
        return "".join(self.stream(ids))

    def stream(self, ids):
        """Yield the text of `ids`, which may be a live generator, character by character."""
        for i in ids:
            if i not in self.decoder:
                raise ValueError(f"{i} is not an id of this tokenizer: its ids are 0..{self.n_vocab - 1}")
            yield self.decoder[i]

    def save(self, folder):
        """Write chars.json, the characters as one string, into `folder`; it appears when it is complete."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(folder, "chars.json")) as file:
            file.write(json.dumps(self.chars, ensure_ascii=False).encode())
