"""Record what Hugging Face and lm-evaluation-harness say of evaluation: windows, log-probabilities, texts.

    pip install -e ".[reference]" && pip install --no-deps lm_eval
    python tests/record/evaluation.py

The log-probabilities are those of the tiny model in tests/references/hf_gpt2, whose context is 11 tokens, by
Hugging Face: in windows as lm-evaluation-harness cuts them, by the procedure of Hugging Face's page on
perplexity, and of single rows.
"""

import json
import sys
from importlib import metadata, resources
from pathlib import Path
from runpy import run_path

import numpy as np

REFERENCES = Path(__file__).parents[1] / "references"
PREFIX = 16
WIKITEXT = [
    ' = Robert = \n \n Robert \'s 1 @,@ 000 stars ( of night ) cost $ 3 @.@ 5 ; " so - called " . \n',
    ' = = Early life = = \n \n He was a well @-@ known poet , the boys \' friend [ 1 ] : " Why ? " \n ',
    " = = = = Deep = = = = \n N of 12 ° C { x } ' quoted ' ! ",
]


def log_probs(model, ids):
    """Return ln p of each token of the vocabulary after each of the ids [T, V]."""
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits.log_softmax(-1)[0].numpy()


def end_of(model, ids, n):
    """Return the log-probabilities of the last n ids, and whether each is the likeliest."""
    scores, end = log_probs(model, ids[:-1])[-n:], ids[-n:]
    return [float(row[i]) for row, i in zip(scores, end, strict=True)], (scores.argmax(-1) == end).tolist()


def windows(n, max_seq_len, context_len):
    """Return the windows of lm-evaluation-harness for n tokens 1, 2, ..., n after the prefix 0."""
    from lm_eval.utils import get_rolling_token_windows

    return list(get_rolling_token_windows(list(range(1, n + 1)), 0, max_seq_len, context_len))


def rolling(model, ids, max_seq_len, context_len):
    """Return the log-probability of each id, in those windows."""
    from lm_eval.utils import get_rolling_token_windows

    return [
        p
        for seen, scored in get_rolling_token_windows(ids, PREFIX, max_seq_len, context_len)
        for p in end_of(model, [*seen, scored[-1]], len(scored))[0]
    ]


def strided(model, ids, max_length, stride):
    """Return the loss and the number of scored tokens of each window, by Hugging Face's procedure."""
    import torch

    losses, scored = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + max_length, len(ids))
        labels = torch.tensor([ids[begin:end]])
        labels[:, : scored - end] = -100  # not scored again
        scored = end
        if n := int((labels[:, 1:] != -100).sum()):  # else their mean is 0 / 0
            with torch.no_grad():
                losses.append([model(torch.tensor([ids[begin:end]]), labels=labels).loss.item(), n])
        if end == len(ids):
            return losses
    return None


def record():
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(REFERENCES / "hf_gpt2").eval()
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 16, 41).tolist()
    sizes = [(2, 1), (12, 11), (5, 2), (9, 3), (12, 1), (6, 5)]
    rows = [(rng.integers(0, 17, length).tolist(), n) for length, n in sizes]
    preprocess = resources.files("lm_eval") / "tasks" / "wikitext" / "preprocess_wikitext.py"
    detokenize = run_path(str(preprocess))["wikitext_detokenizer"]
    cases = [(5, 1), (10, 1), (10, 3), (10, 10), (11, 6)]
    return dict(
        windows=[[n, *case, windows(n, *case)] for n in (1, 5, 10, 17, 34) for case in cases],
        ids=ids,
        rolling=[[*case, rolling(model, ids, *case)] for case in cases],
        strided=[[*case, strided(model, ids, *case)] for case in ((11, 11), (11, 4), (5, 5), (8, 1), (8, 7))],
        rows=[[*row, *end_of(model, *row)] for row in rows],
        wikitext=[[text, detokenize(dict(page=text))] for text in WIKITEXT],
        versions=dict(
            python=sys.version.split()[0],
            **{name: metadata.version(name) for name in ("torch", "transformers", "lm_eval")},
        ),
    )


if __name__ == "__main__":
    text = json.dumps(record(), indent=None, separators=(",", ":"), ensure_ascii=False)
    (REFERENCES / "evaluation.json").write_text(text.replace('],"', '],\n"') + "\n", encoding="utf-8")
