"""How likely a model finds given tokens: the log-probability of each, in nats, after those before it.

A text longer than the model's context is read in windows, and how likely a token is depends on how much of
the text its window shows before it. A window is (begin, first, end): the model sees ids[begin:end] and
scores those from `first` on. Three ways of cutting windows are in use; docs/evaluation.md says by whom.
"""

import math

import numpy as np

from picogpt.gpt2 import KVCache, gpt2
from picogpt.speed.prefill import PIECE
from picogpt.system.machine import split, spread


def rolling_windows(n, window, stride=None):
    """Return windows that score each of n ids but the first, which has nothing before it, exactly once.

    The first scores `window` ids, each later one `stride` of them (if not given, `window`), and the model
    reads `window` ids for it: the last one therefore reaches back as far as the others. These are the windows
    of EleutherAI's lm-evaluation-harness, loglikelihood_rolling, whose context_len is window - stride + 1.

    >>> rolling_windows(12, window=5, stride=3)
    [(0, 1, 6), (3, 6, 9), (6, 9, 12)]
    """
    windows, first = [], 1
    while first < n:
        end = min(n, first + (stride or window if windows else window))
        windows.append((max(0, end - 1 - window), first, end))
        first = end
    return windows


def strided_windows(n, window, stride=None):
    """Return windows of `window` ids that begin every `stride` ids, and score what none before has scored.

    The first id of a text goes unscored, and with a stride of `window` that of each window. These are the
    windows of Hugging Face's page on perplexity, whose max_length is `window`.

    >>> strided_windows(12, window=6, stride=3)
    [(0, 1, 6), (3, 6, 9), (6, 9, 12)]
    >>> strided_windows(12, window=5)
    [(0, 1, 5), (5, 6, 10), (10, 11, 12)]
    """
    windows, scored = [], 0
    for begin in range(0, n, stride or window):
        end = min(n, begin + window)
        first, scored = max(begin + 1, scored), end
        if first < end:
            windows.append((begin, first, end))
    return windows


def block_windows(n, window):
    """Return as many full windows as there are, each with what follows each of its ids; the rest is left out.

    So nanoGPT and llm.c cut the text that they evaluate on.

    >>> block_windows(12, window=5)
    [(0, 1, 6), (5, 6, 11)]
    """
    return rolling_windows(1 + (n - 1) // window * window, window)


def rolling_log_probs(params, n_head, ids, window=None, stride=None):
    """Return the log-probability of each of `ids` but the first, in rolling windows: [len(ids) - 1].

    The first id is what the text stands after, <|endoftext|> as a rule. Without a window it is the context.
    """
    windows = rolling_windows(len(ids), window or len(params["wpe"]), stride)
    return np.concatenate(
        [np.empty(0), *(scored for scored, _ in score(params, n_head, rows_of(ids, windows)))]
    )


def rows_of(ids, windows):
    """Return the rows for `score` of a text and its windows."""
    return [(ids[begin:end], end - first) for begin, first, end in windows]


def score(params, n_head, rows, seen=lambda n: None):
    """Score the end of each row after its beginning, on all cores.

    Parameters
    ----------
    params, n_head : see `gpt2`
    rows : list of (ids, n)
        The last n ids are scored, after those before them, of which there is at least one.
    seen : function, optional
        Called with the number of ids in rows that are done, now and then, by any thread.

    Returns
    -------
    For each row (log-probabilities in nats [n], whether each id is the likeliest one [n]).

    Rows of about the same length go through the model together, PIECE tokens at a time. That many logits of
    the whole vocabulary are there at once on each core, and not those of a window.
    """
    for ids, n in rows:
        if not 0 < n < len(ids):
            raise ValueError(f"{n} of {len(ids)} ids cannot be scored: each needs one before it")
    order = sorted(range(len(rows)), key=lambda r: -len(rows[r][0]))
    parts, longest = [], 0
    for r in order:
        if not parts or (len(parts[-1]) + 1) * longest > PIECE:
            parts.append([])
            longest = len(rows[r][0])
        parts[-1].append(r)

    def score_part(part):
        scored = score_together(params, n_head, [rows[r] for r in part])
        seen(sum(len(rows[r][0]) for r in part))
        return scored

    results = [None] * len(rows)
    for part, scored in zip(parts, spread(score_part, parts), strict=True):
        for r, result in zip(part, scored, strict=True):
            results[r] = result
    return results


def score_together(params, n_head, rows):
    """Do as `score` for a few rows, side by side; the zeros to the right of the shorter ones are not seen."""
    B, T = len(rows), max(len(row) for row, _ in rows) - 1
    ids = np.zeros((B, T + 1), np.int64)
    for b, (row, _) in enumerate(rows):
        ids[b, : len(row)] = row
    spans = [slice(len(row) - 1 - n, len(row) - 1) for row, n in rows]  # what follows these is scored
    begin = min(span.start for span in spans)
    log_probs, likeliest = np.zeros((B, T)), np.zeros((B, T), bool)
    cache = KVCache(params, n_head, B, T)
    for piece in split(T, math.ceil(B * T / PIECE)):
        at = slice(max(begin, piece.start), max(begin, piece.stop))
        logits = gpt2(ids[:, piece], params, n_head, cache, n_last=at.stop - at.start)
        if logits.size:
            targets = ids[:, at.start + 1 : at.stop + 1]
            log_probs[:, at], likeliest[:, at] = score_targets(logits, targets)
    return [(log_probs[b, span], likeliest[b, span]) for b, span in enumerate(spans)]


def score_targets(logits, targets):
    """Return ln softmax(logits)[target] and whether it is the largest; the logits are used up.

    logits [B, T, V], targets [B, T] -> [B, T], [B, T]
    """
    best = logits.argmax(axis=-1)
    logits -= np.take_along_axis(logits, best[..., None], axis=-1)
    chosen = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    np.exp(logits, out=logits)
    return chosen - np.log(logits.sum(axis=-1)), best == targets
