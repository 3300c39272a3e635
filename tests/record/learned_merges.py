"""Record the merges that Hugging Face's tokenizers learns, in tests/references/learned_merges.json.

    python tests/record/learned_merges.py

The tests learn from the same texts, and ask tokenizers again where it is installed.
"""

import hashlib
import json
import random
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from record.bpe import HOSTILE, TESTS, random_texts, tinyshakespeare

RECORD = TESTS / "references" / "learned_merges.json"
EOT = "<|endoftext|>"


def texts():
    """Return {name: (text, the most merges to learn from it)}."""
    rng = random.Random(4)
    few_letters = "".join("ab  é\n"[int(rng.random() * 6)] for _ in range(20_000))
    return dict(
        tinyshakespeare=("".join(tinyshakespeare()), 4000),
        hostile=(EOT.join(HOSTILE), 10**6),  # until there is no pair left
        random=(EOT.join(random_texts(1500)), 10**6),
        few_letters=(few_letters, 10**6),
        runs=(" ".join("a" * n for n in range(60)), 10**6),
    )


def facts(learn):
    """Return how many merges `learn(name, text)` gives for each text, the first, and a sha256 of all."""
    found = {}
    for name, (text, _) in texts().items():
        merges = [" ".join(pair) for pair in learn(name, text)]
        sha256 = hashlib.sha256("\n".join(merges).encode()).hexdigest()
        found[name] = dict(merges=len(merges), first=merges[:10], sha256=sha256)
    return found


def tokenizers_learn(text, n):
    """Return the merges that tokenizers learns, at most n, as pairs of tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=257 + n, initial_alphabet=alphabet, special_tokens=[EOT], show_progress=False
    )
    tokenizer.train_from_iterator(text.split(EOT), trainer)
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def main():
    """Write the record."""
    record = dict(
        made_with=dict(tokenizers=version("tokenizers")),
        **facts(lambda name, text: tokenizers_learn(text, texts()[name][1])),
    )
    text = json.dumps(record, indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
