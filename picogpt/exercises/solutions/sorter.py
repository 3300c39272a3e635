"""A right generate, and the usual mistakes: below each line, what is written in its place."""

from picogpt.generate import GREEDY, stream


def generate(params, n_head, prompts, n_new, choice=GREEDY, finished=None, **settings):
    rows = [[] for _ in prompts]
    # wrong: rows = [list(prompt) for prompt in prompts]
    # The prompts are in the result; only the new ids are asked for.
    # wrong: rows = [[]] * len(prompts)
    # [[]] * n is one list, n times: each row needs a list of its own.
    for step in stream(params, n_head, prompts, n_new, choice, finished, **settings):
        # wrong: for step in stream(params, n_head, prompts, n_new):
        # The choice and the settings are not handed on to stream.
        # wrong: for step in stream(params, n_head, prompts, n_new, choice, **settings):
        # `finished` is not handed on to stream: rows go on after their end.
        # wrong: for step in stream(params, n_head, prompts, n_new - 1, choice, finished, **settings):
        # One token too few: n_new are asked for.
        # wrong: for step in stream(params, n_head, prompts, n_new + 1, choice, finished, **settings):
        # One token too many: n_new are asked for.
        for row, new in zip(rows, step, strict=True):
            if new is not None:
                # wrong: if True:
                # A finished row yields None, which is no id: leave it out.
                # wrong: if new:
                # `if new` leaves out id 0, which is a token like any other; ask `if new is not None`.
                row.append(new)
    return rows
    # wrong: return list(stream(params, n_head, prompts, n_new, choice, finished, **settings))
    # Those are lists of steps; the new ids of each row are asked for.
    # wrong: return rows[:1]
    # Only the first row is returned.
