"""A right cross_entropy, and the usual mistakes: below each line, what is written in its place."""

import numpy as np


def cross_entropy(logits, targets):
    counted = targets != -1
    # wrong: counted = targets != -2
    # Targets of -1 count, as the last token; they must not.
    # wrong: counted = targets > 0
    # Targets of 0 do not count; id 0 is a token like any other, only -1 is none.
    logits, ids = logits[counted], targets[counted]  # [n, V], [n]: the n rows that count
    # wrong: logits, ids = logits, targets
    # Rows are picked along the first axis alone; logits [2, 3, 5] have two: make rows of them first.
    shifted = logits - logits.max(axis=-1, keepdims=True)
    # wrong: shifted = logits
    # The largest logit is not subtracted first: e^x overflows.
    log_sums = np.log(np.exp(shifted).sum(axis=-1))
    # wrong: log_sums = 0
    # The logits are taken for log-probabilities: the log of the sum of e^logits is missing.
    # wrong: log_sums = np.log(np.exp(shifted).sum())
    # The sum runs over all rows; each row, axis=-1, has a softmax of its own.
    # wrong: shifted, log_sums = logits, np.log(np.exp(logits).sum())
    # The sum runs over all rows; each row, axis=-1, has a softmax of its own.
    # wrong: log_sums = np.exp(shifted).sum(axis=-1)
    # The logarithm is missing: ln of the sum of e^logits.
    chosen = shifted[np.arange(len(ids)), ids]
    # wrong: chosen = shifted.max(axis=-1)
    # The likeliest token's probability is taken; it should be the target's.
    # wrong: chosen, log_sums = shifted[..., ids], log_sums[..., None]
    # logits[..., targets] picks all targets in each row; each row has one: np.take_along_axis.
    return (log_sums - chosen).mean()
    # wrong: return (log_sums - chosen).sum()
    # That is the sum; the loss is the mean over the targets that count.
    # wrong: return (log_sums - chosen).sum() / targets.size
    # Divided by all targets; those of -1 do not count, neither above nor below the line.
    # wrong: return log_sums - chosen
    # That is the loss of each token; the mean over the targets that count is asked for.
    # wrong: return (chosen - log_sums).mean()
    # The sign is wrong: the loss is minus the mean log-probability.
    # wrong: return (log_sums - chosen).mean() / np.log(np.array(2, logits.dtype))
    # That is in bits; the loss is in nats, with the natural logarithm.
    # wrong: return -np.exp(chosen - log_sums).mean()
    # The logarithm is missing: that is minus the mean probability.
    # wrong: return np.exp((log_sums - chosen).mean())
    # That is the perplexity, e^loss; the loss is asked for.
