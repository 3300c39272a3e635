"""Train a GPT-2 on a text file.

usage: python -m picogpt.train FILE [--out FOLDER] [flags]
       python -m picogpt.train --resume [--out FOLDER]
       mpiexec -n 4 python -m picogpt.train FILE [flags]

Reads FILE (UTF-8), keeps its end as held-out text, trains on the rest, and leaves in FOLDER a model
for `python -m picogpt --model FOLDER`. Progress goes to stderr. Lines of <|endoftext|> separate
documents, for a tokenizer that has this token. With mpiexec (pip install "picogpt[mpi]"), many
processes, on one machine or several, share the rows of each batch: the result is the same, up to rounding
and other draws of dropout, and a training may resume with another number of them.

  --out FOLDER        where the model and its tokenizer go, with all that is known of the training: its
                      flags (settings.json), its log (log.jsonl, which tools/plot.py draws) and its state,
                      to resume from (runs/model)
  --resume            go on from the state in FOLDER, if there is one: the result is, bit for bit, that
                      of a training that was never interrupted. The flags are those it began with
  --overwrite         begin anew in a FOLDER that holds a training, instead of refusing to
  --config FILE       read flags from FILE, JSON as in settings.json; those given here come first
  --eval_only         train nothing: say the losses of the model that would be trained on
  --max_minutes X     stop at the first evaluation after so long; --resume goes on (0: no limit)

 the model
  --init NAME         start from a model, a folder or 124M ..., which then gives the sizes and the
                      tokenizer, instead of from random numbers. Give a smaller --lr then, and for
                      a large model a smaller --batch_size with --accumulate
  --tokenizer NAME    chars: one token for each character of FILE (the default); gpt2: GPT-2's
                      byte-pair encoding; or a folder with a vocab.bpe
  --n_vocab N         use only so many tokens of a byte-pair encoding: the first N - 257 merges (0: all)
  --n_layer N --n_head N --n_embd N --n_ctx N
                      blocks (4), heads (4), channels (128), context in tokens (64)
  --preset NAME       sizes and options of a published model, for those of these flags that are not given:
                      gpt-nano, gpt2, gpt3-125M, igpt-s ...; python -m picogpt.sizing lists them
  --gelu NAME         tanh; erf, the exact one; or quick, with a sigmoid (tanh)
  --bias BOOL --tied BOOL --positions BOOL
                      whether linear layers and norms have biases (true), the token embedding is the
                      output head too (true), and there is a position embedding (true)
  --time_weighting NAME
                      learned factors of attention by place: full, circulant or none (none)
  --time_mixing BOOL  whether attention sees half of the channels one token late (false)
  --band N            how many tokens every second layer looks back, itself included; 0: all (0)

 the training
  --steps N           parameter updates (2000)
  --batch_size N      windows of n_ctx tokens in a batch (12)
  --accumulate N      batches whose gradients are averaged for one update (1)
  --ramp_tokens N     begin with updates of one batch, and grow to --accumulate over so many tokens (0)
  --lr X --min_lr X --warmup N
                      learning rate: linearly up to lr (0.002) in N (100) steps, then along a cosine
                      down to min_lr (a tenth of lr)
  --warmup_tokens N --decay_tokens N
                      the same by tokens: up in N, instead of --warmup, and down when decay_tokens have
                      been seen; one of them is enough (0: by steps; the end of the training)
  --schedule NAME     the way down: cosine; floor, a cosine to 0 that stops at min_lr (minGPT's); linear;
                      constant, none at all
  --weight_decay X    (0.1)
  --decay NAME        of what: matrices, with the embeddings (nanoGPT's rule, the default); linear, the
                      weights of linear layers (minGPT's)
  --beta1 X --beta2 X AdamW's running means (0.9, 0.99)
  --clip X            longest gradient, by its norm; 0: any (1.0)
  --dropout X         on embeddings, attention and the residual stream (0.0); one of them has its own by
                      --dropout_embd X, --dropout_attn X or --dropout_resid X
  --seed N            of the initial weights, the batches and the dropout (1337)
  --threads N         compute on so many cores, in each process (0: on all, or as OMP_NUM_THREADS says)

 the reports
  --val_share X       share of FILE that is held out at its end (0.1)
  --eval_every N      steps between evaluations, after each of which the state is saved (250)
  --eval_batches N    batches that an evaluation averages over (20)
  --keep NAME         which model stays in FOLDER: the best on the held-out text, or the last (best)
  --sample_every N    steps between samples of the model's text; 0: none (1000)

The defaults are nanoGPT's recipe for a CPU, at twice its learning rate.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import logging
import math
import types
from pathlib import Path

from picogpt.sizing.presets import preset as preset_of
from picogpt.system import command, folders, machine
from picogpt.train import parallel, trainer
from picogpt.train.optim import DECAYS, SCHEDULES
from picogpt.train.prepare import COMMAND, SETTINGS, SHAPE, prepare, save_beginning
from picogpt.train.state import STATE

log = logging.getLogger("picogpt")
NEW = dict(tokenizer="chars", n_vocab=0) | SHAPE  # a model without --init
CHOICES = dict(schedule=SCHEDULES, decay=DECAYS, keep=("best", "last"))
ABOUT = ("out", "resume", "overwrite", "config", "eval_only")  # flags about a call rather than the training


def train(
    file: str,
    *,
    out: str = "runs/model",
    resume: bool = False,
    overwrite: bool = False,
    config: str = "",
    eval_only: bool = False,
    max_minutes: float = 0.0,
    init: str = "",
    tokenizer: str | None = None,
    n_vocab: int | None = None,
    n_layer: int | None = None,
    n_head: int | None = None,
    n_embd: int | None = None,
    n_ctx: int | None = None,
    preset: str = "",
    gelu: str | None = None,
    bias: bool | None = None,
    tied: bool | None = None,
    positions: bool | None = None,
    time_weighting: str | None = None,
    time_mixing: bool | None = None,
    band: int | None = None,
    steps: int = 2000,
    batch_size: int = 12,
    accumulate: int = 1,
    ramp_tokens: int = 0,
    lr: float = 2e-3,
    min_lr: float | None = None,
    warmup: int = 100,
    warmup_tokens: int = 0,
    decay_tokens: int = 0,
    schedule: str = "cosine",
    weight_decay: float = 0.1,
    decay: str = "matrices",
    beta1: float = 0.9,
    beta2: float = 0.99,
    clip: float = 1.0,
    dropout: float = 0.0,
    dropout_embd: float | None = None,
    dropout_attn: float | None = None,
    dropout_resid: float | None = None,
    seed: int = 1337,
    threads: int = 0,
    val_share: float = 0.1,
    eval_every: int = 250,
    eval_batches: int = 20,
    keep: str = "best",
    sample_every: int = 1000,
):
    """Train as the docstring of this module says; these defaults are the command's."""
    c = types.SimpleNamespace(**locals())
    flags = {name: value for name, value in vars(c).items() if value is not None and name not in ABOUT}
    with parallel.together() as comm, folders.let_go_at_last(out):
        fill_in(c)
        check_settings(c, comm)
        c.dropout = [c.dropout_embd, c.dropout_attn, c.dropout_resid]
        machine.set_threads(threads)
        log.setLevel(logging.INFO)
        folder, encoder, begun = Path(out), None, None
        if comm.rank == 0:
            state, hparams, encoder, splits = prepare(c, folder)
            if not eval_only and not (resume and (folder / STATE).is_file()):
                save_beginning(folder, flags, state, c, hparams, encoder)
            begun = c, state, hparams, splits
        c, state, hparams, splits = parallel.share(comm, begun)
        if eval_only:
            losses = trainer.evaluate_splits(state["params"], c, hparams, splits, comm)
            log.info("step %d: training loss %.4f, held-out loss %.4f", state["step"], *losses)
        else:
            trainer.loop(state, c, hparams, encoder, splits, folder, comm)


def flags_file(given):
    """Return the JSON file whose flags hold where none are given: --config, or of the training resumed."""
    own = Path(given.get("out", command.parameters(train)["out"].default), SETTINGS)
    resumes = given.get("resume", "").lower() == "true"
    if resumes and not own.exists() and not {"file", "config"} & given.keys():
        raise FileNotFoundError(
            f"{own.parent} holds no training to resume: --out names its folder, a FILE begins one"
        )
    return given.get("config") or ((own, ABOUT, COMMAND) if resumes and own.is_file() else None)


def fill_in(c):
    """Give the settings that were left out their values; end the program for one that has no effect."""
    usual = NEW | (preset_of(c.preset) if c.preset else {}) | dict(n_vocab=0)
    if c.init and c.preset:
        command.usage_error("--preset has no effect with --init")
    for name, default in usual.items():
        if getattr(c, name) is None:
            setattr(c, name, default)
        elif c.init:
            command.usage_error(f"--{name} has no effect with --init")
    for name in ("dropout_embd", "dropout_attn", "dropout_resid"):
        if getattr(c, name) is None:
            setattr(c, name, c.dropout)
    if c.n_vocab and c.tokenizer == "chars":
        command.usage_error("--n_vocab has no effect with --tokenizer chars")
    if c.ramp_tokens and c.accumulate == 1:
        command.usage_error("--ramp_tokens has no effect without --accumulate")
    if c.min_lr is None:
        c.min_lr = c.lr / 10


def check_settings(c, comm):
    """End the program, naming the flag, if a number is out of its range."""
    if c.resume and c.overwrite:
        command.usage_error("--overwrite has no effect with --resume: give one of them")
    at_least_1 = "n_layer n_head n_embd n_ctx steps batch_size accumulate eval_every eval_batches"
    for name in at_least_1.split():
        if not 1 <= getattr(c, name) < 2**31:
            command.usage_error(f"--{name} must be at least 1 and less than 2**31, not {getattr(c, name)}")
    at_least_0 = "lr min_lr warmup warmup_tokens decay_tokens ramp_tokens weight_decay clip max_minutes"
    for name in f"{at_least_0} seed threads n_vocab sample_every".split():
        if not 0 <= getattr(c, name) < math.inf:
            command.usage_error(f"--{name} must not be negative or infinite, as is {getattr(c, name)}")
    if c.threads >= 2**16:
        command.usage_error(f"--threads must not be beyond {2**16 - 1}, as is {c.threads}")
    for name in ("beta1", "beta2", "dropout", "dropout_embd", "dropout_attn", "dropout_resid", "val_share"):
        if not 0 <= getattr(c, name) < 1:
            command.usage_error(f"--{name} must be at least 0 and less than 1, not {getattr(c, name)}")
    for name, allowed in CHOICES.items():
        if getattr(c, name) not in allowed:
            command.usage_error(f"--{name} must be {' or '.join(allowed)}, not {getattr(c, name)}")
    if c.batch_size < comm.size:
        command.usage_error(f"--batch_size {c.batch_size} leaves nothing for some of {comm.size} processes")
    if c.n_embd % c.n_head:
        command.usage_error(f"--n_embd {c.n_embd} does not divide evenly into --n_head {c.n_head} heads")
    if c.min_lr > c.lr:
        command.usage_error(f"--min_lr {c.min_lr} is more than --lr {c.lr}")
