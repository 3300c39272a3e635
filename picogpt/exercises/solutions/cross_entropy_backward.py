"""A right cross_entropy_backward, and the usual mistakes: below each line, what is written in its place."""

import numpy as np

from picogpt.ops import softmax


def cross_entropy_backward(dloss, logits, targets):
    counted = targets != -1
    # wrong: counted = targets > 0
    # Rows whose target is 0 have no gradient; id 0 is a token like any other, only -1 is none.
    n = int(counted.sum())
    # wrong: n = 1
    # Not divided by n, the number of targets that count: the loss is a mean.
    # wrong: n = targets.size
    # Divided by all targets; those of -1 do not count.
    dlogits = softmax(logits)
    # wrong: dlogits = logits.copy()
    # softmax is forgotten: softmax(logits) - 1 at the target.
    dlogits -= targets[..., None] == np.arange(logits.shape[-1])
    # wrong: pass
    # The 1 at the target is not subtracted.
    # wrong: dlogits += targets[..., None] == np.arange(logits.shape[-1])
    # 1 is added at the target; it is subtracted.
    # wrong: dlogits -= 1
    # 1 is subtracted everywhere; only at the target it is.
    # wrong: dlogits[..., targets] -= 1
    # dlogits[..., targets] picks all targets in each row; each row has one: np.take_along_axis.
    dlogits *= counted[..., None]
    # wrong: pass
    # Rows whose target is -1 have a gradient; they do not count.
    return dlogits * (dloss / n)
    # wrong: return dlogits / n
    # dloss is ignored: by the chain rule it multiplies all.
    # wrong: return -dlogits * (dloss / n)
    # The sign is reversed: softmax(logits) - 1 at the target.
