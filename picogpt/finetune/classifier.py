"""A GPT-2 that labels texts: K scores from the features of the last token, forward and backward.

`params` is a model's tree with a `head` added to it, {"w": [C, K], "b": [K]}. Labels are ids [B], one right
for each text (softmax, cross-entropy), or zeros and ones [B, K], of which any may be right (sigmoid, binary
cross-entropy). Padding stands at the right, where no token before it sees it.
"""

import json
from pathlib import Path

import numpy as np

from picogpt.checkpoints import safetensors
from picogpt.generate import left_pad
from picogpt.gpt2 import gpt2
from picogpt.grad import cross_entropy_backward, dropout_backward, gpt2_backward, linear_backward
from picogpt.ops import cross_entropy, dropout, dropout_mask, linear
from picogpt.params.checks import check_finite
from picogpt.system.files import parse_json

HEAD = "head.safetensors"  # its name in a model's folder


def init_head(n_embd, n_labels, rng, dtype=np.float32):
    """Return an untrained head, drawn as GPT-2's matrices are."""
    return dict(w=(0.02 * rng.standard_normal((n_embd, n_labels))).astype(dtype), b=np.zeros(n_labels, dtype))


def binary_cross_entropy(scores, labels):
    """Return the mean of -ln of the probability given to each label as it is, 1 or 0, in nats.

    With p = 1 / (1 + e^-s): -ln p = ln(1 + e^s) - s, and -ln(1 - p) = ln(1 + e^s). [B, K] -> a scalar.

    >>> round(float(binary_cross_entropy(np.array([[0.0, 2.0]]), np.array([[1, 0]]))), 4)  # ln 2, 2.127
    1.41
    """
    return (np.logaddexp(scores, 0) - scores * labels).mean()


def binary_cross_entropy_backward(dloss, scores, labels):
    """ds = (p - label) / (B K): each score is pushed from what was predicted to what is."""
    return (sigmoid(scores) - labels) * (dloss / scores.size)


def sigmoid(x):
    """Return 1 / (1 + e^-x), by a tanh, in which nothing overflows."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def loss_and_grads(params, batch, n_head, lm_weight=0.5, p_drop=0.0, rng=None):
    """Return the loss of a batch (rows of ids, labels), and its gradients, a tree like `params`.

    The loss is that of the labels plus `lm_weight` times that of the text's next tokens, an auxiliary loss
    with which the model generalises better (Radford et al. 2018, equation 5).
    """
    rows, labels = batch
    ids, targets, last = right_pad(rows)
    acts, at = [], (np.arange(len(rows)), last)
    logits = gpt2(ids, params, n_head, acts=acts, p_drop=p_drop, rng=rng)
    normed = acts[-1]["ln_f"]  # [B, T, C]
    keep = dropout_mask(normed[at].shape, normed.dtype, p_drop, rng)
    x = dropout(normed[at], keep)  # [B, C]
    scores = linear(x, **params["head"])  # [B, K]
    loss, backward = cross_entropy, cross_entropy_backward
    if labels.ndim == 2:
        loss, backward = binary_cross_entropy, binary_cross_entropy_backward
    total = loss(scores, labels) + lm_weight * cross_entropy(logits, targets)

    dx, dhead = linear_backward(backward(1.0, scores, labels), x, **params["head"])
    dnormed = np.zeros_like(normed)
    dnormed[at] = dropout_backward(dx, keep)
    dlogits = cross_entropy_backward(lm_weight, logits, targets)
    return total, gpt2_backward(dlogits, ids, params, n_head, acts, dnormed) | dict(head=dhead)


def right_pad(rows):
    """Stack lists of ids -> ids [B, T], targets [B, T] that come next, or -1, and the place [B] of the last.

    >>> right_pad([[5, 6, 7], [8, 9]])
    (array([[5, 6, 7],
           [8, 9, 0]]), array([[ 6,  7, -1],
           [ 9, -1, -1]]), array([2, 1]))
    """
    T = max(len(row) for row in rows)
    ids = np.array([row + [0] * (T - len(row)) for row in rows])
    targets = np.array([row[1:] + [-1] * (T - len(row) + 1) for row in rows])
    return ids, targets, np.array([len(row) - 1 for row in rows])


def score(params, rows, n_head, batch_size=32):
    """Return the scores [N, K] of rows of ids. Their softmax, or sigmoid, are the probabilities."""
    found = []
    for begin in range(0, len(rows), batch_size):
        ids, pad = left_pad(rows[begin : begin + batch_size])
        acts = []
        gpt2(ids, params, n_head, acts=acts, pad=pad, n_last=1)
        found.append(linear(acts[-1]["ln_f"][:, 0], **params["head"]))
    return np.concatenate(found)


def save_head(folder, head, labels, multi):
    """Write the head into its model's folder, with the names of the labels; `multi`: any may be right."""
    safetensors.write(Path(folder, HEAD), head, {"labels": json.dumps(labels), "multi": json.dumps(multi)})


def load_head(folder):
    """Return (head, labels, multi), as `save_head` took them; ValueError for what is no head of a model."""
    path = Path(folder, HEAD)
    head, metadata = safetensors.read(path)
    try:
        labels, multi = parse_json(metadata["labels"]), parse_json(metadata["multi"])
        of_kinds = type(labels) is list and type(multi) is bool and head.keys() == {"w", "b"}
        if not of_kinds or not labels or not all(isinstance(label, str | int) for label in labels):
            raise ValueError
        if head["w"].shape[1:] != (len(labels),) or head["b"].shape != (len(labels),):
            raise ValueError
        if {array.dtype for array in head.values()} != {np.dtype(np.float32)}:
            raise ValueError
    except (ValueError, LookupError):
        raise ValueError(f"{path} is no head of a classifier, or damaged: train it again") from None
    check_finite(head, path)
    return head, labels, multi
