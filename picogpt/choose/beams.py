"""Beam search: keep the most probable beginnings of a continuation, not just the one that greed would take.

The likeliest token now may lead to unlikely ones. So `n_beams` beginnings ("beams") are continued side by
side, each by every token, and of all those the best `n_beams` go on. The sum of a beam's log-probabilities is
its score, divided by its length to the power of `length_penalty`, as each further token makes the sum less.
"""

import numpy as np

from picogpt.choose.preferences import Preferences
from picogpt.gpt2 import KVCache, gpt2
from picogpt.speed.prefill import prefill


def beam_search(
    params, n_head, prompt, n_new, n_beams, length_penalty=1.0, early_stopping=False, ends=(), choice=None
):
    """Return the best continuations of a prompt, a list of ids: [(new ids, score)], the best first.

    There are `n_beams`, each of at most `n_new` tokens; one that comes to an id in `ends` ends there. The
    search stops when no beam could become better than those that have ended, judged by its score so far; with
    `early_stopping`, as soon as `n_beams` have ended. Of `choice` what depends on the text holds: a penalty
    for repetition, no n-gram twice, biases; they change the log-probabilities.

    The rules, and so the scores, are those of Hugging Face's `generate` with num_beams.

    ValueError for what does not fit into the model's context: a beam does not slide.
    """
    check_beams(params, prompt, n_new, n_beams, length_penalty)
    choice = Preferences() if choice is None else choice
    cache = KVCache(params, n_head, 1, len(prompt) + n_new)
    logits = prefill(np.array([prompt]), params, n_head, cache)[:, -1]  # [1, V]
    beams, ended = [(0.0, [])], []  # (sum of log-probabilities, new ids); (score, new ids), the best first
    for length in range(1, n_new + 1):
        sums = np.array([total for total, _ in beams])[:, None]
        rows = [list(prompt) + new for _, new in beams]
        totals = sums + choice.by_text(log_softmax(logits), rows)  # [beams, V]
        best = np.argsort(-totals, axis=None, kind="stable")[: max(2, 1 + len(ends)) * n_beams]
        going = []  # (sum, new ids, from which beam)
        for rank, (beam, i) in enumerate(zip(*np.unravel_index(best, totals.shape), strict=True)):
            total, new = float(totals[beam, i]), [*beams[beam][1], int(i)]
            if i not in ends and length < n_new:
                going.append((total, new, beam))
            elif rank < n_beams:
                ended.append((total / length**length_penalty, new))
        ended = sorted(ended, key=lambda found: -found[0])[:n_beams]
        going = going[:n_beams]
        full = len(ended) == n_beams
        if not going or (full and (early_stopping or going[0][0] / length**length_penalty <= ended[-1][0])):
            break
        follow(cache, [beam for _, _, beam in going])
        beams = [(total, new) for total, new, _ in going]
        logits = gpt2([new[-1:] for _, new in beams], params, n_head, cache)[:, -1]
    return [(new, score) for score, new in ended]


def log_softmax(logits):
    """Return the logarithms of the softmax, in float64: sums of many of them are compared."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def follow(cache, rows):
    """Let the rows of a cache be copies of those given, in this order; there may be more or fewer."""
    cache.kv = cache.kv[:, :, rows]
    cache.more = {layer: remembered[rows] for layer, remembered in cache.more.items()}


def check_beams(params, prompt, n_new, n_beams, length_penalty):
    """Raise ValueError for what cannot be searched."""
    n_ctx, n_vocab = len(params["wpe"]), len(params["wte"])
    if len(prompt) == 0:
        raise ValueError("a prompt must have at least one id")
    if not isinstance(n_beams, int | np.integer) or not 1 <= n_beams <= n_vocab:
        raise ValueError(f"beams must be a whole number from 1 to the {n_vocab} tokens, not {n_beams}")
    if not isinstance(n_new, int | np.integer) or n_new < 1:
        raise ValueError(f"the number of new tokens must be at least 1 for beams, not {n_new}")
    if not abs(length_penalty) < float("inf"):
        raise ValueError(f"length_penalty must be a number, not {length_penalty}")
    if len(prompt) + n_new > n_ctx:
        raise ValueError(
            f"{len(prompt)} tokens of the prompt and {n_new} new ones do not fit into the {n_ctx} positions"
            " of the model: beams need a shorter prompt, or fewer new tokens"
        )
