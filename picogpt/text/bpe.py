"""GPT-2's tokenizer: byte-level byte-pair encoding (BPE), text <-> ids.

A vocabulary of words never has the word at hand; one of characters makes long sequences. BPE lies between.
It starts from the 256 bytes, so that every text can be written, and has a list of merges: pairs of
neighbours, the most frequent ones when the list was learned. GPT-2's first joins " " and "t", its third
"h" and "e", its 50,000th " g" and "azed". To encode a word, apply the earliest merge that fits until none
does: a frequent word ends as one token, a rare one as a few, an unheard-of one as its bytes.

>>> encoder = load_encoder("models/gpt2-bpe")
>>> ids = encoder.encode("Not all heroes wear capes.")
>>> ids
[3673, 477, 10281, 5806, 1451, 274, 13]
>>> [encoder.decode([i]) for i in ids]
['Not', ' all', ' heroes', ' wear', ' cap', 'es', '.']

A *word* is what a text is cut into before merging: letters, digits or signs, with the space before them.
A *symbol* is a byte made visible, as the files write it: " " is "Ġ". A *token* is a symbol or several
merged; its *id* counts the tokens in the order in which they were made: 256 symbols, a token for each
merge, and <|endoftext|>, which stands between documents. The method is that of Sennrich, Haddow & Birch
2016, arXiv:1508.07909; words and symbols are those of openai/gpt-2, encoder.py.
"""

import codecs
import functools
import heapq
import itertools
import json
from pathlib import Path

import regex

from picogpt.system.files import LARGE, atomic_write, parse_json, read_bytes, read_text

EOT = "<|endoftext|>"

# Which characters are letters depends on the version of Unicode. This is 16.0, as in tiktoken and in Hugging
# Face's tokenizers. LATER are the letters and numbers of later versions, which newer `regex` packages know.
LATER = (
    r"\u0558\u058B\u058C\u088F\u0C5C\u0CDC\u208F\u209D-\u209F\uA7CE\uA7CF\uA7D2\uA7D4\uA7DD-\uA7F1\uAB6C\uAB6D"
    r"\U000107BB-\U000107BF\U00010940-\U00010959\U00010EC5-\U00010EEE\U00011B0A\U00011DB0-\U00011DF1"
    r"\U0001246F-\U0001247F\U00012550-\U00012686\U00016EA0-\U00016ED3\U00016FF2-\U00016FF6"
    r"\U000187F8-\U000187FF\U00018CD6-\U00018CDA\U00018D09-\U000191D2\U0001B123-\U0001B128\U0001B168"
    r"\U0001D6A6\U0001DF1F-\U0001DF24\U0001DF2B-\U0001DFFF\U0001E6C0-\U0001E6FF\U0002B73A-\U0002B73F\U0002B81E"
    r"\U0002CEA2-\U0002CEAD\U000323B0-\U0010FFFF"
)
LETTER, NUMBER = (rf"[\p{{{kind}}}--[{LATER}]]" for kind in "LN")
WORD = rf"'s|'t|'re|'ve|'m|'ll|'d| ?{LETTER}+| ?{NUMBER}+| ?[^\s{LETTER}{NUMBER}]+|\s+(?!\S)|\s+"


def byte_symbols():
    """Return {byte: symbol}: printable bytes first, as themselves; the others, renamed to 256 and upwards."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class Encoder:
    """A tokenizer, built from its `merges`: pairs of tokens written in symbols, the earliest first.

    `encoder` maps tokens to ids, `decoder` ids to tokens; `n_vocab` counts them, `eot` is <|endoftext|>'s id,
    and `start` the id after which a model begins a new text: the same. `special` is whether an <|endoftext|>
    in a text is its id where `encode` is not told; a command's --special sets it.
    """

    special = False

    def __init__(self, merges):
        symbols = byte_symbols()
        self.symbol_bytes = {ord(symbol): byte for byte, symbol in symbols.items()}
        self.byte_ids = {byte: i for i, byte in enumerate(symbols)}
        self.encoder = {symbol: i for i, symbol in enumerate(symbols.values())}
        self.merges = {}  # (id, id) -> id of the two merged: the smaller, the earlier the merge
        known = self.encoder.get
        for i, pair in enumerate(merges, start=len(symbols)):
            a, b = pair if len(pair) == 2 else ("", "")
            token, old = a + b, (known(a), known(b))
            if None in old or token in self.encoder or token == EOT:
                said = f"merge {i - len(symbols) + 1}, {' '.join(pair)!r},"
                raise ValueError(f"{said} does not make a new token of two old ones")
            self.merges[old] = self.encoder[token] = i
        self.eot = self.start = self.encoder[EOT] = len(self.encoder)
        self.decoder = {i: token for token, i in self.encoder.items()}
        self.n_vocab = len(self.encoder)
        self.made = range(self.n_vocab)  # the id of what a merge makes: here it is the merge's own number
        self.prepare()

    def prepare(self):
        """Make what encoding needs."""
        self.words = regex.compile(WORD, regex.VERSION1)  # version 1 understands [a--b], set difference
        self.cached_merge = functools.lru_cache(maxsize=2**17)(self.merge)  # 20 MB of tales: 43,461 words

    def encode(self, text, allow_eot=None, template=True):
        """Return the ids of `text`. With allow_eot, each "<|endoftext|>" in it is the one id `eot`.

        Without, it is text like any other: a document that is not trusted cannot pretend to end. None is
        what `special` says. `template` is for tokenizers that put ids around each text, see hf_bpe.py.
        """
        check_unicode(text)
        allow_eot = self.special if allow_eot is None else allow_eot
        ids = []
        for n, document in enumerate(text.split(EOT) if allow_eot else [text]):
            ids += [self.eot] if n > 0 else []
            ids += self.encode_words(document)
        return ids

    def encode_words(self, text):
        """Return the ids of a text in which nothing is special."""
        ids = []
        for match in self.words.finditer(text):
            word = match[0].encode("utf-8")
            ids += self.cached_merge(word) if len(word) < 64 else self.merge(word)
        return ids

    def merge(self, word):
        """Return the ids of `word` (bytes) after all merges."""
        return self.merge_ids([self.byte_ids[byte] for byte in word])

    def merge_ids(self, ids):
        """Return a word's ids after all merges: the earliest first, of equal ones the leftmost.

        A heap holds the merges that are possible, `left` and `right` say who is whose neighbour: n log n
        steps for n bytes. A merge goes to the place on its left and leaves None on its right. An entry of
        the heap whose pair is gone needs no removal: its id is no longer what the two places there make.
        """
        n = len(ids)
        ids = [*ids, None]  # None is after the last, and at -1
        left, right = list(range(-1, n)), list(range(1, n + 2))
        pairs = itertools.pairwise(ids)
        heap = sorted((self.merges[pair], i) for i, pair in enumerate(pairs) if pair in self.merges)
        while heap:
            merge, i = heapq.heappop(heap)
            j = right[i]
            if self.merges.get((ids[i], ids[j])) != merge:
                continue
            ids[i], ids[j] = self.made[merge], None
            right[i] = right[j]
            left[right[j]] = i
            for a, b in (left[i], i), (i, right[i]):
                if (ids[a], ids[b]) in self.merges:
                    heapq.heappush(heap, (self.merges[ids[a], ids[b]], a))
        return tuple(i for i in ids if i is not None)

    def token_bytes(self, i):
        """Return the bytes that the token with id `i` stands for."""
        if i not in self.decoder:
            raise ValueError(f"{i} is not an id of this tokenizer: its ids are 0..{self.n_vocab - 1}")
        return self.decoder[i].translate(self.symbol_bytes).encode("latin-1")

    def decode(self, ids):
        """Return the text of `ids`; bytes that are not UTF-8 (half a character, say) become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def stream(self, ids):
        """Yield the text of `ids`, which may be a live generator, piece by piece.

        A character of several tokens comes when it is complete; joined, the pieces equal `decode(ids)`.
        """
        utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for i in ids:
            if piece := utf8.decode(self.token_bytes(i)):
                yield piece
        if piece := utf8.decode(b"", final=True):
            yield piece

    def save(self, folder):
        """Write vocab.bpe into `folder`, in OpenAI's format; it appears when it is complete."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_merges(Path(folder, "vocab.bpe"), [(self.decoder[a], self.decoder[b]) for a, b in self.merges])


def check_unicode(text):
    """Raise ValueError for half a character of UTF-16, which no file of text can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise ValueError(f"lone surrogate {text[e.start]!r} at index {e.start}: remove it") from None


def load_encoder(folder, n_vocab=None):
    """Return the tokenizer of `folder`; with `n_vocab`, the one of its first n_vocab - 257 merges alone."""
    path = Path(folder, "vocab.bpe")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: copy models/gpt2-bpe/vocab.bpe to there")
    try:
        merges = read_merges(path)
        encoder = Encoder(merges)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): copy or download it again") from None
    check_ids(encoder, Path(folder, "encoder.json"))
    if n_vocab is not None and not 257 <= n_vocab <= encoder.n_vocab:
        raise ValueError(f"{path} makes tokenizers of 257 to {encoder.n_vocab} tokens, not of {n_vocab}")
    return encoder if n_vocab in (None, encoder.n_vocab) else Encoder(merges[: n_vocab - 257])


def read_merges(path):
    """Return the pairs of tokens in a file of merges, one pair on each line after the first."""
    header, *lines = read_text(path).removesuffix("\n").split("\n")
    if not header.startswith("#version"):
        raise ValueError(f'its first line is {header[:40]!r}, not "#version: 0.2"')
    return [line.split(" ") for line in lines]


def write_merges(path, pairs):
    """Write pairs of tokens to a file, as `read_merges` reads them."""
    with atomic_write(path) as file:
        file.write("\n".join(["#version: 0.2", *map(" ".join, pairs), ""]).encode())


def check_ids(encoder, path):
    """Raise ValueError if `path`, an encoder.json, exists and gives other ids than `encoder`.

    OpenAI's has the very bytes that it should have, which is found out in a third of the time of reading it.
    """
    if not path.is_file():
        return
    try:
        content = read_bytes(path, LARGE)
        same = content == json.dumps(encoder.encoder).encode() or parse_json(content) == encoder.encoder
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): delete it, or download it again") from None
    if not same:
        raise ValueError(f"{path} and vocab.bpe give different ids: delete it, or take both from one model")
