"""Teach a small GPT-2 to add, by examples alone, and let it do every sum there is.

usage: python -m picogpt.projects.adder [flags]

A sum is a row of digits with the answer backwards: 85 + 50 = 135 is 8550531, 6 + 39 = 45 is 0639540. The
model writes from left to right, so backwards it begins with the ones, as we do, and carries. The loss
counts the answer alone: the question is random, there is nothing in it to be foreseen.

Some sums are held out from training, 1000 of the 10,000 with two digits. In the end the model does all of
them. What it gets right of those that it has trained on, it may know by heart; of the others not.

{flags}

Then `python -m picogpt 5545 --model runs/adder --n 3` does a sum. The encoding is that of minGPT's
projects/adder; the sums are held out as in its play_math.ipynb, whose model of 128 channels made the one
mistake that is printed beside these.
"""

import functools
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import generate
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.system import flags
from picogpt.system.signature import Range
from picogpt.text.chars import CharEncoder
from picogpt.train import runs, trainer
from picogpt.train.settings import Recipe

PLAY_MATH = {
    "trained on": "9000/9000",
    "held out": "999/1000",
    "mistakes": "55 + 45 = 90",
    "parameters": 400128,
}


def adder(
    *,
    out: flags.Out = "runs/adder",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    n_digit: Annotated[int, Range(1, below=4), "digits of each number: 1, 2 or 3"] = 2,
    n_layer: flags.Layers = 2,
    n_head: flags.Heads = 4,
    n_embd: flags.Channels = 48,
    steps: flags.Steps = 1000,
    batch_size: Annotated[flags.BatchSize, "sums in a batch"] = 512,
    lr: flags.LearningRate = 5e-3,
    warmup: flags.Warmup = 100,
    eval_every: Annotated[flags.EvalEvery, "steps between the tests on the way"] = 250,
    seed: Annotated[flags.Seed, "of the initial weights and the batches"] = 1337,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
):
    """Train as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(adder, locals())
    hparams = dict(n_vocab=10, n_ctx=3 * n_digit, n_embd=n_embd, n_head=n_head, n_layer=n_layer)
    check_hparams(hparams)
    seen, held_out = split(n_digit)
    params = init_params(hparams, np.random.default_rng(seed))
    ask = functools.partial(add, params, n_head, n_digit)

    c = Recipe(steps=steps, lr=lr, min_lr=lr / 10, warmup=warmup, beta2=0.95)
    draw = functools.partial(random_batch, seen, batch_size, n_digit)

    def look(step):
        return {} if step % eval_every else dict(held_out_wrong=len(mistakes(ask, held_out, n_digit)))

    runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm), look)
    weights.save(run.folder, params, hparams, CharEncoder("0123456789"))
    wrong_seen, wrong = mistakes(ask, seen, n_digit), mistakes(ask, held_out, n_digit)
    results = {
        "trained on": f"{len(seen) - len(wrong_seen)}/{len(seen)}",
        "held out": f"{len(held_out) - len(wrong)}/{len(held_out)}",
        "mistakes": runs.listed([*wrong, *wrong_seen]),
        "parameters": n_params(hparams),
    }
    runs.finish(run, results, PLAY_MATH if n_digit == 2 else {})


def digits(numbers, n):
    """Return the last n digits of each number, the ones first: [N] -> [N, n].

    >>> digits(np.array([135, 45]), 3)
    array([[5, 3, 1],
           [5, 4, 0]])
    """
    return numbers[:, None] // 10 ** np.arange(n) % 10


def encode(sums, n_digit):
    """Write out sums: [N] -> ids [N, 3 n_digit + 1]. A sum is named by the number that its question makes.

    >>> encode(np.array([8550, 639]), n_digit=2)
    array([[8, 5, 5, 0, 5, 3, 1],
           [0, 6, 3, 9, 5, 4, 0]])
    """
    a, b = divmod(sums, 10**n_digit)
    return np.hstack([digits(sums, 2 * n_digit)[:, ::-1], digits(a + b, n_digit + 1)])


def split(n_digit):
    """Return the sums to train on and those held out: play_math's own, a fifth of all but at most 1000."""
    order = np.random.RandomState(1337).permutation(100**n_digit)
    n_held_out = min(len(order) // 5, 1000)
    return order[n_held_out:], order[:n_held_out]


def random_batch(sums, batch_size, n_digit, rng):
    """Draw sums -> ids, targets [B, 3 n_digit]: the answers, and -1 where the question goes on.

    >>> random_batch(np.array([8550]), 1, 2, np.random.default_rng(0))
    (array([[8, 5, 5, 0, 5, 3]]), array([[-1, -1, -1,  5,  3,  1]]))
    """
    rows = encode(rng.choice(sums, batch_size), n_digit)
    ids, targets = rows[:, :-1], rows[:, 1:].copy()
    targets[:, : 2 * n_digit - 1] = -1
    return ids, targets


def add(params, n_head, n_digit, sums):
    """Let the model answer: [N] -> [N]."""
    questions = encode(sums, n_digit)[:, : 2 * n_digit].tolist()
    answers = np.array(generate(params, n_head, questions, n_digit + 1))  # [N, n_digit + 1]
    return answers @ 10 ** np.arange(n_digit + 1)


def mistakes(ask, sums, n_digit, batch_size=4096):
    """Return the sums, as text, whose answer by `ask` is wrong."""
    wrong = []
    for begin in range(0, len(sums), batch_size):
        part = sums[begin : begin + batch_size]
        a, b = divmod(part, 10**n_digit)
        given = ask(part)
        wrong += [f"{a[i]} + {b[i]} = {given[i]}" for i in np.flatnonzero(given != a + b)]
    return wrong


if __name__ == "__main__":
    runs.main(adder)
