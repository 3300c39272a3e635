"""Measure how much memory each process of a training takes, beside what docs/scaling.md says that it should.

usage: mpiexec -n N python tools/bench/memory.py [--shard --n_layer N --n_embd N --n_ctx N]

Trains a model of characters for three updates, of one window for each process, and saves its state in a
temporary folder. Prints, in bytes for each parameter, by how much the most that the first process and that
any other one held is above what it held before there was a model; after the training, and after the save.
One window each, so that activations count for little.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import functools
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
import numpy as np

from picogpt.params.init import init_params
from picogpt.params.tree import walk
from picogpt.system import command
from picogpt.system.machine import keep_memory, peak_memory
from picogpt.text import data
from picogpt.train import parallel, trainer
from picogpt.train.settings import Recipe
from picogpt.train.shard import hand_out


def memory(*, shard: bool = False, n_layer: int = 6, n_embd: int = 768, n_ctx: int = 32):
    """Measure as the docstring of this module says."""
    with parallel.together() as comm, tempfile.TemporaryDirectory() as folder:
        before = peak_memory()
        hparams = dict(n_vocab=65, n_ctx=n_ctx, n_embd=n_embd, n_head=n_embd // 64, n_layer=n_layer)
        begun = None
        if comm.rank == 0:
            begun = trainer.begin(init_params(hparams, np.random.default_rng(0)), seed=1)
        state, begun = hand_out(comm, begun, shard), None
        keep_memory()  # as a training does now
        ids = np.random.default_rng(0).integers(65, size=10_000)
        draw = functools.partial(data.random_batch, ids, comm.size, n_ctx)
        gradients = trainer.language_model(hparams["n_head"], comm)
        for _ in trainer.updates(state, Recipe(steps=3), draw, gradients, comm):
            pass
        trained = peak_memory() - before
        with open(Path(folder, "log"), "ab", buffering=0) as file:
            if shard or comm.rank == 0:
                trainer.save(folder, state, {}, file)
        n = sum(w.size for _, w in walk(state["params"]))
        report(comm, n, shard, np.array([trained, peak_memory() - before]) / n)


def report(comm, n, shard, own):
    """Print what all processes have found."""
    found = [own] if comm is parallel.ALONE else comm.gather(own)
    if comm.rank == 0:
        size, buffer = comm.size, 0 if comm is parallel.ALONE else 4
        shard = shard and size > 1  # one process has nobody to share with
        expected = 8 + 8 / size if shard else 16 + buffer
        print(
            f"{n:,} parameters, {size} processes, {'sharded' if shard else 'each with all'}: {expected:.1f}"
        )
        for who, peaks in (("first", found[:1]), ("others", found[1:])):
            if peaks:
                trained, saved = np.max(peaks, axis=0)
                print(f"  {who:6s} after three updates {trained:5.2f}, after a save {saved:5.2f}")


if __name__ == "__main__":
    command.run(memory, name="memory")
