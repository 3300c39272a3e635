"""Another right form of what the rung sampling asks for."""

import numpy as np

from picogpt.ops import softmax


def keep_top_k(logits, k):
    if k == 0:
        return logits
    return np.where(logits < np.sort(logits, axis=-1)[..., -k:][..., :1], -np.inf, logits)


def keep_top_p(logits, p, rule="openai"):
    kept = np.full_like(logits, -np.inf)
    for i, row in enumerate(logits):
        total = 0
        for j in np.argsort(-row):
            after = total + softmax(row)[j]
            if total and (total >= p if rule == "hf" else after > p):
                break
            kept[i, j], total = row[j], after
    return kept


def sample(logits, choice, rngs):
    if choice.temperature == 0:
        return np.array([np.argmax(row) for row in logits])
    logits = keep_top_k(logits / choice.temperature, choice.top_k)
    logits = logits if choice.top_p == 1 else keep_top_p(logits, choice.top_p, choice.top_p_rule)
    noise = np.array([rng.gumbel(size=logits.shape[-1]) for rng in rngs])
    return (logits + noise).argmax(axis=-1)
