"""Teach a small GPT-2 to sort digits, by examples alone, and let it sort every row there is.

usage: python -m picogpt.projects.sorter [flags]

An example is a row of digits, and after it the same digits sorted: 002101000112. The loss counts the
sorted ones alone: the others are random, there is nothing in them to be foreseen. A quarter of all rows
is held out from training. In the end the model sorts every row there is: 729, of 6 digits from 0 to 2.

{flags}

Then `python -m picogpt 002101 --model runs/sorter --n 6` sorts a row. The recipe is that of minGPT's
demo.ipynb, beside whose losses these are printed. The demo tests 5000 random rows, of the 729, on either
side. And it holds rows out by the hash of their bytes, which Python salts anew in every process: what one
session never sees, the next one trains on. Here the seed decides, and every row counts once.
"""

import functools
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import generate
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.system import command, flags
from picogpt.system.signature import Range
from picogpt.text.chars import CharEncoder
from picogpt.train import runs, trainer
from picogpt.train.settings import Recipe

MINGPT = {  # demo.ipynb
    "trained on": "5000/5000",
    "held out": "5000/5000",
    "loss after so many updates": {
        0: 1.06407, 100: 0.14712, 200: 0.05315, 300: 0.04404, 400: 0.04724, 500: 0.02521, 600: 0.03352,
        700: 0.00539, 800: 0.02057, 900: 0.00360, 1000: 0.00788, 1100: 0.01162, 1200: 0.00963, 1300: 0.02066,
        1400: 0.01739, 1500: 0.00376, 1600: 0.00133, 1700: 0.00179, 1800: 0.00079, 1900: 0.00042,
    },
}  # fmt: skip


def sorter(
    *,
    out: flags.Out = "runs/sorter",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    length: Annotated[int, Range(1, below=20), "digits in a row"] = 6,
    n_digits: Annotated[int, Range(2, below=11), "how many different ones there are, 2 to 10"] = 3,
    n_layer: flags.Layers = 3,
    n_head: flags.Heads = 3,
    n_embd: flags.Channels = 48,
    steps: flags.Steps = 2000,
    batch_size: Annotated[flags.BatchSize, "rows in a batch"] = 64,
    lr: Annotated[flags.LearningRate, "learning rate, the same all the time"] = 5e-4,
    dropout: flags.Dropout = 0.1,
    seed: Annotated[
        flags.Seed, "of the initial weights, the rows held out, the batches and the dropout"
    ] = 1337,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
):
    """Train as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(sorter, locals())
    if n_digits**length > 10**6:
        command.usage_error(f"--n_digits {n_digits} makes more than a million rows of --length {length}")
    hparams = dict(n_vocab=n_digits, n_ctx=2 * length - 1, n_embd=n_embd, n_head=n_head, n_layer=n_layer)
    check_hparams(hparams)
    seen, held_out = split(all_rows(length, n_digits), seed)
    params = init_params(hparams, np.random.default_rng(seed))

    c = Recipe(steps=steps, lr=lr, min_lr=lr, warmup=0, dropout=dropout, beta2=0.95)
    draw = functools.partial(random_batch, seen, batch_size)
    records = runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm))
    weights.save(run.folder, params, hparams, CharEncoder("0123456789"[:n_digits]))
    wrong_seen, wrong = (
        mistakes(functools.partial(model_sort, params, n_head), rows) for rows in (seen, held_out)
    )
    results = {
        "trained on": f"{len(seen) - len(wrong_seen)}/{len(seen)}",
        "held out": f"{len(held_out) - len(wrong)}/{len(held_out)}",
        "mistakes": runs.listed([*wrong, *wrong_seen]),
        "loss after so many updates": {r["step"] - 1: round(r["loss"], 5) for r in records[::100]},
    }
    runs.finish(run, results, MINGPT if (length, n_digits) == (6, 3) else {})


def all_rows(length, n_digits):
    """Return every row of digits -> [n_digits ** length, length].

    >>> all_rows(2, 2)
    array([[0, 0],
           [0, 1],
           [1, 0],
           [1, 1]])
    """
    return np.indices((n_digits,) * length).reshape(length, -1).T


def split(rows, seed):
    """Return the rows to train on and, a quarter, those held out."""
    rows = np.random.default_rng([seed, 3]).permutation(rows)
    n_held_out = len(rows) // 4
    return rows[n_held_out:], rows[:n_held_out]


def random_batch(rows, batch_size, rng):
    """Draw examples -> ids, targets [B, 2 length - 1]: the sorted digits, and -1 while the row goes on.

    >>> random_batch(np.array([[2, 0, 1]]), 1, np.random.default_rng(0))
    (array([[2, 0, 1, 0, 1]]), array([[-1, -1,  0,  1,  2]]))
    """
    rows = rng.choice(rows, batch_size)
    examples = np.hstack([rows, np.sort(rows)])
    ids, targets = examples[:, :-1], examples[:, 1:].copy()
    targets[:, : rows.shape[1] - 1] = -1
    return ids, targets


def model_sort(params, n_head, rows):
    """Let the model sort: [N, length] -> [N, length]."""
    return np.array(generate(params, n_head, rows.tolist(), rows.shape[1]))


def mistakes(sort, rows, batch_size=4096):
    """Return the rows that `sort` sorts wrongly, with what it makes of them, as text."""
    wrong = []
    for begin in range(0, len(rows), batch_size):
        part = rows[begin : begin + batch_size]
        given = sort(part)
        for i in np.flatnonzero((given != np.sort(part)).any(axis=1)):
            wrong.append(" -> ".join("".join(map(str, row)) for row in (part[i], given[i])))
    return wrong


if __name__ == "__main__":
    runs.main(sorter)
