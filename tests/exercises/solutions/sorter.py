"""Another right form of what the rung sorter asks for."""

from picogpt.generate import GREEDY, stream


def generate(params, n_head, prompts, n_new, choice=GREEDY, finished=None, **settings):
    rows = [[] for _ in prompts]
    for step in stream(params, n_head, prompts, n_new, choice, finished, **settings):
        for row, i in zip(rows, step, strict=True):
            row.extend([i] * (i is not None))
    return rows
