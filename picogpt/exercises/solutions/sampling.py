"""Right filters and a right choice, and the usual mistakes: below each line, what is written in its place."""

import numpy as np

from picogpt.ops import softmax


def keep_top_k(logits, k):
    if not 0 < k < logits.shape[-1]:
        # wrong: if not k:
        # k may be more than there are tokens; all are kept then.
        return logits
    smallest = np.sort(logits, axis=-1)[..., -k, None]
    # wrong: smallest = np.sort(logits, axis=-1)[..., -k - 1, None]
    # One token too many is kept: k of them.
    # wrong: smallest = np.sort(logits, axis=-1)[..., k, None]
    # Counted from the smallest: k of the largest are kept.
    # wrong: smallest = np.sort(logits, axis=None)[-k]
    # The k largest of all rows together are kept; each row keeps k of its own: axis=-1.
    return np.where(logits < smallest, -np.inf, logits)
    # wrong: return np.where(logits <= smallest, -np.inf, logits)
    # The k-th largest itself is hidden: hide what is less than it.
    # wrong: return np.where(logits < smallest, 0, logits)
    # A logit of 0 hides nothing, e^0 is 1; -inf does.


def keep_top_p(logits, p, rule="openai"):
    if p >= 1:
        return logits
    descending = -np.sort(-logits, axis=-1)
    # wrong: descending = np.sort(logits, axis=-1)
    # The tokens are added up from the unlikeliest; begin with the likeliest.
    # wrong: descending, rule = -np.sort(-logits, axis=-1), "openai" if rule == "hf" else "hf"
    # The rules are swapped: "hf" keeps the token that crosses p, "openai" drops it.
    total = softmax(descending.astype(np.float64)).cumsum(axis=-1)
    # wrong: total = np.exp(descending).cumsum(axis=-1)
    # e^logits are added up; probabilities are, softmax of them.
    n_before = (total < p if rule == "hf" else total <= p).sum(axis=-1, keepdims=True)
    # wrong: n_before = (total < p if rule == "hf" else total <= p).sum(); n_before = n_before[None, None]
    # The tokens of all rows are counted together; each row, axis=-1, has its own number.
    last = n_before if rule == "hf" else np.maximum(n_before - 1, 0)
    # wrong: last = n_before
    # The token that crosses p is kept by both rules; "openai" drops it, unless it is the only one.
    # wrong: last = np.maximum(n_before - 1, 0)
    # The token that crosses p is dropped by both rules; "hf" keeps it.
    smallest = np.take_along_axis(descending, np.minimum(last, logits.shape[-1] - 1), axis=-1)
    return np.where(logits < smallest, -np.inf, logits)


def sample(logits, choice, rngs):
    if choice.temperature == 0:
        # wrong: if True:
        # The likeliest token is always taken; only temperature 0 does that.
        # wrong: if False:
        # Temperature 0 divides by 0; it means the likeliest token, argmax.
        return logits.argmax(axis=-1)
        # wrong: return logits.argmax()
        # argmax without an axis looks through all rows at once; each row has a choice of its own: axis=-1.
    logits = logits / choice.temperature
    # wrong: logits = logits * choice.temperature
    # Multiplied by the temperature; the logits are divided by it.
    # wrong: logits = logits
    # The temperature is ignored: the logits are divided by it.
    logits = keep_top_p(keep_top_k(logits, choice.top_k), choice.top_p, choice.top_p_rule)
    # wrong: logits = keep_top_k(keep_top_p(logits, choice.top_p, choice.top_p_rule), choice.top_k)
    # top_p comes before top_k; OpenAI's order is temperature, top_k, top_p.
    # wrong: logits = keep_top_p(logits, choice.top_p, choice.top_p_rule)
    # top_k is ignored.
    # wrong: logits = keep_top_k(logits, choice.top_k)
    # top_p is ignored.
    cumulative = softmax(logits).cumsum(axis=-1)
    cumulative = cumulative / cumulative[:, -1:]
    draws = [rng.random() for rng in rngs]
    # wrong: draws = [rngs[0].random()] * len(rngs)
    # One draw serves all rows; each row draws from its own generator.
    # wrong: draws = [rngs[0].random() for _ in rngs]
    # All rows draw from the first generator; each has its own.
    return np.array([row.searchsorted(u, "right") for row, u in zip(cumulative, draws, strict=True)])
