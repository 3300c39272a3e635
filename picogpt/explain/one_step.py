"""One step of learning: what a model says of a text, and of other prompts, before and after one update.

The gradient is that of the text's mean loss. For every rate the step is really taken, on a copy of the
parameters, and the model really run again: nothing is estimated from the gradient.
"""

import numpy as np

from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import softmax
from picogpt.params.tree import tree_map
from picogpt.train.optim import adamw_init, adamw_step

RATES = dict(
    AdamW=[1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
    SGD=[1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0],
)


def adamw(params, grads, lr):
    """Make AdamW's first step, in place, with the settings of `optim.adamw_step`."""
    adamw_step(params, grads, adamw_init(params), 1, lr, measure=False)


def sgd(params, grads, lr):
    """Make a step of plain gradient descent, in place: w = w - lr * g."""
    tree_map(lambda w, g: np.subtract(w, lr * g, out=w), params, grads)


STEPS = dict(AdamW=adamw, SGD=sgd)


def before_and_after(params, n_head, ids, others):
    """Return what changes for a text of ids and for `others`, lists of ids, by one step at each of RATES.

    probs [optimisers, rates + 1, T - 1] of the text's tokens after the first, at rate 0 first. For each of
    the others: the likeliest next token at every rate, likeliest [optimisers, rates + 1, others], and the
    probabilities [..., 2] of it and of the one that was the likeliest before.
    """
    _, grads = loss_and_grads(params, [ids[:-1]], [ids[1:]], n_head)
    unchanged = look(params, n_head, ids, others)
    first = unchanged[1]
    table = []
    for name, rates in RATES.items():
        rows = [unchanged]
        for rate in rates:
            stepped = tree_map(np.copy, params)
            STEPS[name](stepped, grads, rate)
            rows.append(look(stepped, n_head, ids, others, first))
        table.append(rows)
    probs, likeliest, of_others = (np.array([[row[i] for row in rows] for rows in table]) for i in range(3))
    return dict(
        probs=probs.astype(np.float32),
        likeliest=likeliest.astype(np.uint32),
        others=of_others.astype(np.float32),
    )


def look(params, n_head, ids, others, first=None):
    """Return the probability of each token of a text, and the likeliest after each of the other prompts.

    -> probs [T - 1]; likeliest [others]; probabilities [others, 2] of it and of `first`, which is the same if
    not given.
    """
    probs = softmax(gpt2([ids[:-1]], params, n_head)[0])
    after = np.array([softmax(gpt2([prompt], params, n_head, n_last=1)[0, -1]) for prompt in others])
    after = after.reshape(len(others), len(params["wte"]))  # also of no prompts
    best = after.argmax(axis=-1)
    first, rows = best if first is None else first, np.arange(len(others))
    return (
        probs[np.arange(len(ids) - 1), ids[1:]],
        best,
        np.stack([after[rows, best], after[rows, first]], -1),
    )
