"""Measure how a training scales over processes, and what the model in docs/scaling.md predicts of it.

usage: mpiexec -n N python tools/bench/scaling.py [--n_layer N --n_embd N --n_ctx N]
           [--batch_size N --repeats N]

Prints, of one update of a model of characters: the time of all its gradients in one process, and of each
one's share in all at once; of what every process does for itself (clipping, AdamW); of summing up 8 bytes and
all gradients. Then the update's time by the model from these, and as measured; last, what is left of a sum's
time if it runs beside computing.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import functools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
import numpy as np

from picogpt.params.init import init_params
from picogpt.params.tree import flatten
from picogpt.speed import shards
from picogpt.system import command
from picogpt.text import data
from picogpt.train import parallel, trainer
from picogpt.train.settings import Recipe


def scaling(*, n_layer: int = 6, n_embd: int = 384, n_ctx: int = 256, batch_size: int = 4, repeats: int = 10):
    """Measure as the docstring of this module says."""
    with parallel.together() as comm:
        hparams = dict(n_vocab=65, n_ctx=n_ctx, n_embd=n_embd, n_head=n_embd // 64, n_layer=n_layer)
        state = trainer.begin(init_params(hparams, np.random.default_rng(0)), seed=1)
        ids = np.random.default_rng(0).integers(65, size=100_000)
        draw = functools.partial(data.random_batch, ids, batch_size, n_ctx)
        batch, params, n_head = draw(rng=np.random.default_rng(0)), state["params"], hparams["n_head"]
        flat = np.zeros(sum(w.size for w in flatten(params).values()), np.float32)
        shortest = functools.partial(shortest_time, comm, repeats)
        compute = shortest(lambda: shards.batch_gradients(params, *batch, n_head), alone=True)
        c, grads = Recipe(steps=10**6), shards.batch_gradients(params, *batch, n_head)
        serial = shortest(lambda: trainer.update(state, c, lambda rng: None, lambda *_: (grads[0], grads[1])))
        copy = shortest(lambda: parallel.total_gradients(comm, *grads))
        latency = shortest(lambda: parallel.total(comm, flat[:2]))
        message = shortest(lambda: parallel.total(comm, flat))
        gradients = trainer.language_model(n_head, comm)
        update = shortest(lambda: trainer.update(state, c, draw, gradients, comm))
        at_once = shortest(lambda: gradients(params, batch, 0.0, None))
        left = shortest(functools.partial(beside, comm, flat, compute / comm.size)) - compute / comm.size
        if comm.rank == 0:
            report = dict(
                processes=comm.size, parameters=flat.size, gradients_in_one=compute,
                own_gradients_at_once=at_once, clip_and_adamw=serial,
                sum_of_8_bytes=latency, sum_of_gradients=message, with_copying=copy,
                predicted=serial + compute / comm.size + copy, measured=update, sum_beside_computing=left,
            )  # fmt: skip
            for name, value in report.items():
                shown = f"{value:12,}" if isinstance(value, int) else f"{value * 1e3:9.2f} ms"
                print(f"{name:22s} {shown}")


def shortest_time(comm, repeats, f, alone=False):
    """Return the shortest time of `f`, begun by all processes at once, or by rank 0 while the others sleep.

    The shortest is what other programs on the machine have disturbed least.
    """
    seconds = []
    for _ in range(repeats):
        parallel.total(comm, np.zeros(1))  # all have arrived
        begin = time.perf_counter()
        if not alone or comm.rank == 0:
            f()
        seconds.append(time.perf_counter() - begin)
        if alone and comm is not parallel.ALONE:
            done = comm.Ibarrier()
            while not done.Test():
                time.sleep(0.002)
    return min(seconds)


def beside(comm, flat, seconds):
    """Start the sum of the gradients, compute for so long, then wait for what is left of the sum."""
    if comm is parallel.ALONE:
        return time.sleep(seconds)
    from mpi4py import MPI

    request, end = comm.Iallreduce(MPI.IN_PLACE, flat), time.perf_counter() + seconds
    a = np.ones((200, 200), np.float32)
    while time.perf_counter() < end:
        a @ a
    return request.Wait()


if __name__ == "__main__":
    command.run(scaling, name="scaling")
