"""Record what tiktoken and Hugging Face make of many texts, in tests/references/tokenizers.json.

    python tests/record/bpe.py

The tests apply the same functions to picogpt's tokenizer, and to tiktoken and Hugging Face where they are
installed. (This file is not named after them: Python would then find it where it looks for the package.)
"""

import hashlib
import json
import platform
import random
import re
from importlib.metadata import version
from pathlib import Path

TESTS = Path(__file__).parent.parent
RECORD = TESTS / "references" / "tokenizers.json"
GPT2 = TESTS.parent / "models" / "gpt2-bpe"
CHARACTERS = "".join(chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000)
SPACES = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2007\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
HOSTILE = [
    "",
    " ",
    "\n",
    "<|endoftext|>",
    "a<|endoftext|><|endoftext|> b\n<|endoftext|>",
    "<|endoftext|",
    "I'M SURE THEY'LL SAY WE'VE SEEN WHAT'S THERE; i'm sure they'll say we've seen what's there",
    "it's 'tis ''s 'so 'd'd don\u2019t 's's 'st 'Re 'rE '",
    " " * 1000,
    "a" + " " * 1000 + "b",
    " " * 17 + "\n" * 5 + "\t" * 9 + " x \n",
    "\r\n\r\n a\r\nb \r",
    SPACES,
    "".join(f"x{space}{space}y {space} " for space in SPACES),
    "".join(map(chr, range(256))),
    "\x00\x01\x1b[31mred\x1b[0m\x7f\x80\x9f",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇫🇷 #️⃣ ❤️ 🤷🏿‍♀️",
    "e\u0301 = \u00e9, n\u0303o, Z\u0351\u036b\u0343a\u0328\u0321\u0300lgo, \u0301\u0301 \u0301a",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया 你好，世界",
    "こんにちは世界 안녕하세요 세계 สวัสดีชาวโลก",
    "abcабвαβγאבגابتअआ你好かカ가ก𝔄𝓑𐐀",
    "1٢३४五ⅥⅦ½¾²³₄①㊿𝟘𝟙 3.14 1,000,000 0x1F 1e-9 12a34b",
    "\u0558\u088f\u209d\ua7ce\U000323b0 a\u0558a 1\U00011de01 \U00016ff4\U0003fc3f",
    "\ufeffbyte order mark\ufffe\uffff\ufffd\U0010ffff\ue000",
    "\u202eright to left\u202c zero\u200bwidth\u200cnon\u200djoiner\u2060 soft\u00adhyphen",
    'def f(x):\n    return {"a": [x**2 for _ in range(10)]}  # comment\n\n\tpass\r\n',
    "https://example.org/a_b-c?d=%20e&f=#g user@example.org C:\\path\\file.txt ~/x",
    "----------------------------------- ================ ................ ,,,,,,,, !!!!!!?!?!?!",
    "ﬁ ﬀ Ǆ ß ẞ İ ı ŉ ſ K Å Ω ª º ℵ ʰ ー 々 〇 ゛",
]


def random_texts(n=10_000):
    """Return `n` texts of up to 39 characters, each from two of nine alphabets; always the same ones."""
    rng = random.Random(1)
    alphabets = [
        CHARACTERS,
        CHARACTERS[:0xD800],
        CHARACTERS[:0x250],
        CHARACTERS[32:127],
        CHARACTERS[0x1F300 - 0x800 : 0x1FB00 - 0x800],  # emoji; the 0x800 surrogates are left out
        SPACES,
        "eettaaooiinnsshhrrddlluu     ",
        ["'s", "'LL", "'re", "'", " don't", "\u0301", "\u200d", "  ", "\n\n", "<|endoftext|>", "1", "٣", "é"],
        ["the", " the", " of", "ing", "tion", "The", " 1", "0", "00", ".", ",", "...", " -", "--", "\n"],
    ]

    def pick(options):
        return options[int(rng.random() * len(options))]

    texts = []
    for _ in range(n):
        two = pick(alphabets), pick(alphabets)
        texts.append("".join(pick(pick(two)) for _ in range(int(rng.random() * 40))))
    return texts


def long_words():
    """Return words of 100 kB: what a quadratic tokenizer never finishes."""
    rng = random.Random(2)
    letters = "".join("abcdefghijklmnopqrstuvwxyz"[int(rng.random() * 26)] for _ in range(100_000))
    return dict(letters=letters, one_letter="a" * 99_999, accents="é" * 50_000, signs="=" * 99_999)


def tinyshakespeare():
    """Return the text in nanoGPT's two parts: the first nine tenths of its characters, and the rest."""
    text = (TESTS / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = int(len(text) * 0.9)
    return text[:cut], text[cut:]


def digest(lists):
    """Return how many ids there are in `lists`, and the sha256 of them all, a line for each list."""
    lines = "".join(" ".join(map(str, ids)) + "\n" for ids in lists)
    return dict(tokens=sum(map(len, lists)), sha256=hashlib.sha256(lines.encode()).hexdigest())


def text_facts(encode):
    """Return what `encode` makes of the texts above, <|endoftext|> being plain text."""
    texts = random_texts()
    train, validation = tinyshakespeare()
    around = [f"{c}{c} {c} a{c}a1{c}1{c}" for c in CHARACTERS[:0x3100]]
    return dict(
        hostile=[dict(text=text, ids=list(encode(text))) for text in HOSTILE],
        random_samples=[dict(text=text, ids=list(encode(text))) for text in texts[:20]],
        random=digest([encode(text) for text in texts]),
        around_each_character=digest([encode("".join(around))]),
        long_words={name: digest([encode(word)]) for name, word in long_words().items()},
        tinyshakespeare=dict(train=digest([encode(train)]), validation=digest([encode(validation)])),
    )


def eot_facts(encode):
    """Return what `encode` makes of the same texts if <|endoftext|> is the one id."""
    return dict(
        hostile=[encode(text) for text in HOSTILE], random=digest([encode(t) for t in random_texts()])
    )


def unicode_facts(find):
    """Return how many characters are letters, numbers and spaces, and which, by their sha256."""
    kinds = dict(letters=find("L"), numbers=find("N"), spaces=find("s"))
    return {
        kind: dict(characters=len(found), sha256=hashlib.sha256(found.encode()).hexdigest())
        for kind, found in kinds.items()
    }


def smaller_facts(make_encode):
    """Return what tokenizers with fewer merges, made by `make_encode(n_vocab)`, make of tinyshakespeare."""
    _, text = tinyshakespeare()
    return {str(n): digest([make_encode(n)(text)]) for n in (257, 258, 512, 5000)}


def read_merges(folder=GPT2):
    """Return the merges of a folder's vocab.bpe, read without picogpt."""
    text = (folder / "vocab.bpe").read_text(encoding="utf-8")
    return [tuple(line.split(" ")) for line in text.split("\n")[1:-1]]


def byte_symbols():
    """Return {symbol: byte} in the order of GPT-2's ids."""
    printable = [i for i in range(256) if chr(i).isprintable() and chr(i) != " "]
    others = [i for i in range(256) if i not in printable]
    return {chr(i): i for i in printable} | {chr(256 + n): i for n, i in enumerate(others)}


def vocabulary(merges):
    """Return {token: id} as encoder.json has it."""
    tokens = [*byte_symbols(), *("".join(pair) for pair in merges), "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def tiktoken_encoding(merges):
    """Return tiktoken's "gpt2" with these merges, without its download."""
    import tiktoken
    from tiktoken_ext.openai_public import r50k_pat_str

    symbols = byte_symbols()
    tokens = vocabulary(merges)
    eot = {"<|endoftext|>": tokens.pop("<|endoftext|>")}
    ranks = {bytes(symbols[symbol] for symbol in token): i for token, i in tokens.items()}
    return tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens=eot)


def tiktoken_find(kind):
    """Return the characters that tiktoken counts as letters ("L"), numbers ("N") or spaces ("s")."""
    import tiktoken

    pattern = r"\s" if kind == "s" else rf"\p{{{kind}}}"
    ranks = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding(kind, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return bytes(encoding.encode_ordinary(CHARACTERS)).decode("utf-8")  # what is not matched is dropped


def tiktoken_facts():
    """Return everything that the record holds, as tiktoken sees it now."""
    merges = read_merges()
    encoding = tiktoken_encoding(merges)
    return dict(
        plain=text_facts(encoding.encode_ordinary),
        eot=eot_facts(lambda text: encoding.encode(text, allowed_special="all")),
        unicode=unicode_facts(tiktoken_find),
        smaller=smaller_facts(lambda n: tiktoken_encoding(merges[: n - 257]).encode_ordinary),
    )


def tokenizers_facts():
    """Return the facts about plain text, as Hugging Face's tokenizers sees them now."""
    from tokenizers import ByteLevelBPETokenizer

    merges = read_merges()
    tokenizer = ByteLevelBPETokenizer(vocab=vocabulary(merges), merges=merges)
    return text_facts(lambda text: tokenizer.encode(text).ids)


def transformers_facts():
    """Return the facts about plain text, as Hugging Face's transformers sees them now."""
    from transformers import GPT2Tokenizer

    merges = read_merges()
    tokenizer = GPT2Tokenizer(vocab=vocabulary(merges), merges=merges, model_max_length=10**9)
    return text_facts(lambda text: tokenizer.encode(text, split_special_tokens=True))


def main():
    """Write the record, if the three libraries agree."""
    facts = tiktoken_facts()
    for name, others in dict(tokenizers=tokenizers_facts(), transformers=transformers_facts()).items():
        wrong = [key for key in others if others[key] != facts["plain"][key]]
        if wrong:
            raise SystemExit(f"{name} and tiktoken disagree on {', '.join(wrong)}")
    versions = {name: version(name) for name in ("tiktoken", "tokenizers", "transformers")}
    record = dict(made_with=versions | dict(python=platform.python_version()), **facts)
    text = json.dumps(record, indent=1)
    text = re.sub(r"\[[\d\s,]*\]", lambda ids: " ".join(ids[0].split()), text)  # one line for a list of ids
    RECORD.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
