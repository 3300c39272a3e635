"""What changes during a training: the learning rate (warm-up and decay), and the batches in one update.

`c` is a Recipe, see settings.py. Both may be scheduled by tokens instead of steps: GPT-3's warm-up, decay and
growing batches are given in tokens. The two differ where updates take different numbers of tokens.
"""

from picogpt.train.optim import learning_rate
from picogpt.train.settings import Recipe


def rate(c: Recipe, step, tokens):
    """Return the learning rate of an update with `step` others before it, at whose end there are `tokens`.

    It goes by tokens if there are c.decay_tokens, counted as minGPT counts them: with the update's own.
    """
    if c.decay_tokens:
        return learning_rate(tokens, c.lr, c.lowest_lr, c.warmup_tokens, c.decay_tokens, c.schedule)
    return learning_rate(step, c.lr, c.lowest_lr, c.warmup, c.steps, c.schedule)


def n_batches(c: Recipe, tokens):
    """Return how many batches make the update after `tokens`: from 1 to c.accumulate in c.ramp_tokens.

    GPT-3 began with small batches too (Brown et al. 2020, appendix B): early on, a few sequences are enough
    to give the direction of the gradient.
    """
    if tokens >= c.ramp_tokens:
        return c.accumulate
    return 1 + (c.accumulate - 1) * tokens // c.ramp_tokens


def planned_tokens(c: Recipe):
    """Return how many tokens the whole training will have seen."""
    step = tokens = 0
    while tokens < c.ramp_tokens and step < c.steps:
        step, tokens = step + 1, tokens + n_batches(c, tokens) * c.batch_tokens
    return tokens + (c.steps - step) * c.accumulate * c.batch_tokens
