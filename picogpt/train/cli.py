"""Train a GPT-2 on a text file.

usage: python -m picogpt.train FILE [--out FOLDER] [flags]
       python -m picogpt.train --resume [--out FOLDER]
       mpiexec -n 4 python -m picogpt.train FILE [flags]  (on several machines; on one, --processes 4)

Reads FILE (UTF-8), keeps its end as held-out text, trains on the rest, and leaves in FOLDER a model
for `python -m picogpt --model FOLDER`. Progress goes to stderr. Lines of <|endoftext|> separate
documents, for a tokenizer that has this token. Many processes (--processes or mpiexec, which need
pip install -e ".[mpi]") share the rows of each batch: the result is the same, up to rounding and other draws
of dropout, and a training may resume with another number of them.

{flags}

The defaults are nanoGPT's recipe for a CPU, at twice its learning rate.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import logging
from pathlib import Path

from picogpt.system import command, folders, machine
from picogpt.system.signature import CALL, names_of
from picogpt.train import launch, parallel, shard, trainer
from picogpt.train.prepare import COMMAND, SETTINGS, prepare, save_beginning
from picogpt.train.settings import Settings
from picogpt.train.state import STATE

log = logging.getLogger("picogpt")


def train(settings: Settings):
    """Train as the settings say: they are the flags of the command."""
    with parallel.together() as comm, folders.release_at_end(settings.out):
        c = settings.completed()
        launch.start(c.processes, COMMAND)
        if c.batch_size < comm.size:
            command.usage_error(
                f"--batch_size {c.batch_size} leaves nothing for some of {comm.size} processes"
            )
        if c.precision == "float16" and comm.size > 1:
            command.usage_error("--precision float16 is for one process")
        machine.set_threads(c.threads)
        log.setLevel(logging.INFO)
        folder, encoder, begun, state = Path(c.out), None, None, None
        if comm.rank == 0:
            state, hparams, encoder, splits = prepare(c, folder)
            if not c.eval_only and not (c.resume and (folder / STATE).is_file()):
                save_beginning(folder, settings.given(), state, c, hparams, encoder)
            begun = c, hparams, splits
        c, hparams, splits = parallel.broadcast(comm, begun)
        state = shard.hand_out(comm, state, c.shard)
        if c.eval_only:
            losses = trainer.evaluate_splits(state["params"], c, hparams, splits, comm, c.starts)
            log.info("step %d: training loss %.4f, held-out loss %.4f", state["step"], *losses)
        else:
            trainer.loop(state, c, hparams, encoder, splits, folder, comm)


def flags_file(given):
    """Return the JSON file whose flags hold where none are given: --config, or of the training resumed."""
    own = Path(given.get("out", Settings.out), SETTINGS)
    resumes = given.get("resume", "").lower() == "true"
    if resumes and not own.is_file() and not {"file", "config"} & given.keys():
        raise FileNotFoundError(
            f"{own.parent} holds no training to resume: --out names its folder, a FILE begins one"
        )
    of_the_call, earlier = names_of(Settings, CALL), {"max_minutes"}  # which earlier versions wrote there
    saved = own, of_the_call - earlier, COMMAND, earlier
    return given.get("config") or (saved if resumes and own.is_file() else None)
