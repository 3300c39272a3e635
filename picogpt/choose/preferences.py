"""More ways to choose a token than temperature, top_k and top_p: each changes the logits before the choice.

Those in `by_text` depend on the text so far, and come before the temperature; those in `by_probability`
narrow the choice to some tokens, and come last. The order and the results are those of Hugging Face's
logits processors of the same names.
"""

from dataclasses import dataclass, field

import numpy as np

from picogpt.ops import softmax


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """Which tokens to favour or leave out; the defaults change nothing.

    Raises ValueError, naming the value, for settings that mean nothing.
    """

    logit_bias: dict = field(default_factory=dict)  # {id: what is added to its logit}; -inf: never
    repetition_penalty: float = 1.0  # makes tokens of the text so far less likely; below 1, likelier
    no_repeat_ngram_size: int = 0  # no so many tokens in a row come twice; 0: they may
    min_p: float = 0.0  # leave out tokens with less than this times the likeliest one's probability
    typical_p: float = 1.0  # draw from the most typical tokens that together reach this; 1: from all

    def __post_init__(self):
        """Check the settings."""
        if not 0 < self.repetition_penalty < float("inf"):
            raise ValueError(f"repetition_penalty must be a positive number, not {self.repetition_penalty}")
        if not isinstance(self.no_repeat_ngram_size, int | np.integer) or self.no_repeat_ngram_size < 0:
            raise ValueError(
                f"no_repeat_ngram_size must be a whole number from 0 on, not {self.no_repeat_ngram_size}"
            )
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be from 0 to 1, not {self.min_p}")
        if not 0 < self.typical_p <= 1:
            raise ValueError(f"typical_p must be more than 0 and at most 1, not {self.typical_p}")
        for i, bias in self.logit_bias.items():
            if not isinstance(i, int | np.integer) or i < 0 or not bias < float("inf"):
                raise ValueError(f"logit_bias must be numbers for ids, not {bias} for {i}")

    @property
    def follows_text(self):
        """Whether a choice depends on more than the logits."""
        return bool(self.logit_bias) or self.repetition_penalty != 1 or self.no_repeat_ngram_size > 0

    def by_text(self, logits, rows):
        """Return logits [B, V] with what depends on each row's text so far, a list of ids."""
        if not self.follows_text:
            return logits
        logits = logits.copy()
        for row_logits, ids in zip(logits, rows, strict=True):
            add_bias(row_logits, self.logit_bias)
            penalize(row_logits, ids, self.repetition_penalty)
            row_logits[completing(ids, self.no_repeat_ngram_size)] = -np.inf
        if np.isneginf(logits.max(axis=-1)).any():
            raise ValueError("no token is left to choose: logit_bias or no_repeat_ngram_size forbid all")
        return logits

    def by_probability(self, logits):
        """Return logits [B, V] with -inf for what is not likely enough, or not typical."""
        return keep_typical(keep_min_p(logits, self.min_p), self.typical_p)


def add_bias(logits, bias):
    """Add to the logits [V] of some ids, in place."""
    for i, number in bias.items():
        if i >= len(logits):
            raise ValueError(f"logit_bias is for id {i}, but the model's ids are 0..{len(logits) - 1}")
        logits[i] += number


def penalize(logits, ids, penalty):
    """Divide the positive logits [V] of the ids by a penalty, and multiply the negative ones, in place.

    However often an id is in the text, it is penalised once (Keskar et al. 2019, section 4.1).
    """
    if penalty != 1:
        ids = np.unique(ids)
        logits[ids] = np.where(logits[ids] < 0, logits[ids] * penalty, logits[ids] / penalty)


def completing(ids, n):
    """Return the ids that would make the last n ids ones that the text has already (Paulus et al. 2017).

    >>> completing([1, 2, 3, 1, 2], 3), completing([1, 2, 3, 1, 2], 1)
    ([3], [1, 2, 3, 1, 2])
    """
    if n == 0 or len(ids) < n:
        return []
    last = ids[len(ids) - n + 1 :]
    return [ids[end] for end in range(n - 1, len(ids)) if ids[end - n + 1 : end] == last]


def keep_min_p(logits, p):
    """Hide tokens whose probability is below p times that of the likeliest (Nguyen et al. 2024).

    Where the model is sure, few are left; where it is not, many.

    >>> keep_min_p(np.log([[0.5, 0.3, 0.2]]), 0.5).round(3)
    array([[-0.693, -1.204,   -inf]])
    """
    if p == 0:
        return logits
    probs = softmax(logits)
    return np.where(probs < p * probs.max(axis=-1, keepdims=True), -np.inf, logits)


def keep_typical(logits, p):
    """Hide what surprises much more or less than the model expects to be surprised (Meister et al. 2022).

    A token's surprise is -ln of its probability; the expected one is the entropy. Tokens are kept from the
    closest to it on, until their probabilities together reach p; equals of the last one kept stay, too.
    """
    if p >= 1:
        return logits
    probs = softmax(logits.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(probs)
        entropy = np.where(probs > 0, probs * surprise, 0).sum(axis=-1, keepdims=True)
    distance = abs(surprise - entropy)
    order = np.argsort(distance, axis=-1, kind="stable")
    total = np.take_along_axis(probs, order, axis=-1).cumsum(axis=-1)
    last = np.minimum((total < p).sum(axis=-1, keepdims=True), logits.shape[-1] - 1)
    farthest = np.take_along_axis(np.take_along_axis(distance, order, axis=-1), last, axis=-1)
    return np.where(distance > farthest, -np.inf, logits)
