"""Label texts by a classifier that classify.py has trained and saved."""

import sys
from pathlib import Path

import numpy as np

from picogpt.checkpoints import weights
from picogpt.finetune import classifier
from picogpt.ops import softmax
from picogpt.text.data import from_utf8


def predict(text, folder, special=False):
    """Write the labels of a text, or of each line of stdin if it is "-", with their probabilities."""
    if not Path(folder, classifier.HEAD).is_file():
        raise FileNotFoundError(f"{folder} holds no classifier: train one first, or name its folder by --out")
    params, hparams, encoder = weights.load_with_encoder(folder, special=special)
    head, names, multi = classifier.load_head(folder)
    if len(head["w"]) != hparams["n_embd"]:
        raise ValueError(f"the head in {folder} is of another model than that beside it: train it again")
    params["head"] = head
    for line in read_lines(text):
        [probs] = probabilities(params, hparams, encoder, [line], multi)
        print(said(probs, names), flush=True)


def read_lines(text):
    """Yield the text that is given or, for "-", each line of stdin that is not empty, as it comes."""
    if text != "-":
        yield text
        return
    for line in sys.stdin.buffer if sys.stdin else []:
        if line.strip():
            yield from_utf8(line, "stdin").rstrip("\r\n")


def probabilities(params, hparams, encoder, texts, multi):
    """Return the probability of each label for each text: [N, K]. With `multi` each label by itself."""
    rows = [[encoder.start, *encoder.encode(text)][: hparams["n_ctx"]] for text in texts]
    scores = classifier.score(params, rows, hparams["n_head"])
    return classifier.sigmoid(scores) if multi else softmax(scores)


def said(probs, names):
    """Return a line: the labels with their probabilities, the likeliest first.

    >>> said(np.array([0.25, 0.75]), ["Baum", "Nesbit"])
    'Nesbit 75.0%  Baum 25.0%'
    """
    shown = (f"{names[i]} {probs[i]:.1%}" for i in np.argsort(-probs, kind="stable"))
    return "  ".join(shown)
