"""Train a GPT-2 on a text file.

usage: python -m picogpt.train FILE [--out FOLDER] [--resume] [flags]

Reads FILE (UTF-8), keeps its end as held-out text, trains on the rest, and leaves in FOLDER a model
for `python -m picogpt --model FOLDER`. Progress goes to stderr. Lines of <|endoftext|> separate
documents, for a tokenizer that has this token.

  --out FOLDER        where the model and the state of the training go (runs/model)
  --resume            go on from the state in FOLDER, if there is one: the result is, bit for bit, that
                      of a training that was never interrupted. Give FILE and the other flags as before

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
  --lr X --min_lr X --warmup N
                      learning rate: linearly up to lr (0.002) in N (100) steps, then along a cosine
                      down to min_lr (a tenth of lr)
  --weight_decay X    of the matrices (0.1)
  --beta1 X --beta2 X AdamW's running means (0.9, 0.99)
  --clip X            longest gradient, by its norm; 0: any (1.0)
  --dropout X         on embeddings, attention and the residual stream (0.0); one of them has its own by
                      --dropout_embd X, --dropout_attn X or --dropout_resid X
  --seed N            of the initial weights, the batches and the dropout (1337)
  --threads N         compute on so many cores (0: on all, or as OMP_NUM_THREADS says)

 the reports
  --val_share X       share of FILE that is held out at its end (0.1)
  --eval_every N      steps between evaluations, after each of which the state is saved (250)
  --eval_batches N    batches that an evaluation averages over (20)
  --sample_every N    steps between samples of the model's text; 0: none (1000)

The defaults are nanoGPT's recipe for a CPU, at twice its learning rate.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import hashlib
import logging
import math
import types
from pathlib import Path

import numpy as np

from picogpt import command, data, machine, trainer, weights
from picogpt.bpe import load_encoder
from picogpt.chars import CharEncoder
from picogpt.checks import check_hparams
from picogpt.gpt2 import init_params
from picogpt.presets import preset as preset_of
from picogpt.shapes import OPTIONS, n_params
from picogpt.state import STATE, load_state, save_state

log = logging.getLogger("picogpt")
SHAPE = dict(n_layer=4, n_head=4, n_embd=128, n_ctx=64) | OPTIONS
NEW = dict(tokenizer="chars", n_vocab=0) | SHAPE  # a model without --init


def train(
    file: str,
    *,
    out: str = "runs/model",
    resume: bool = False,
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
    lr: float = 2e-3,
    min_lr: float | None = None,
    warmup: int = 100,
    weight_decay: float = 0.1,
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
    sample_every: int = 1000,
):
    """Train as the docstring of this module says; these defaults are the command's."""
    settings = types.SimpleNamespace(**locals())
    fill_in(settings)
    check_settings(settings)
    settings.dropout = [settings.dropout_embd, settings.dropout_attn, settings.dropout_resid]
    machine.set_threads(threads)
    log.setLevel(logging.INFO)
    folder = Path(out)
    check_folder(folder, resume)
    text = data.read_text(file)
    settings.sha256 = hashlib.sha256(text.encode()).hexdigest()
    state, hparams, encoder = begin(settings, text)
    resumes = (folder / STATE).exists()
    if resumes:
        state = load_state(folder / STATE, settings)
    log.info("a model of %s parameters, a vocabulary of %d", f"{n_params(hparams):,}", encoder.n_vocab)
    splits = encode_splits(text, encoder, val_share, hparams["n_ctx"])
    folder.mkdir(parents=True, exist_ok=True)
    if not resumes:
        save_state(folder / STATE, state, settings)  # before the first model: see check_folder
    trainer.loop(state, settings, hparams, encoder, splits, folder)


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
    if c.min_lr is None:
        c.min_lr = c.lr / 10


def check_settings(c):
    """End the program, naming the flag, if a number is out of its range."""
    at_least_1 = "n_layer n_head n_embd n_ctx steps batch_size accumulate eval_every eval_batches"
    for name in at_least_1.split():
        if not 1 <= getattr(c, name) < 2**31:
            command.usage_error(f"--{name} must be at least 1 and less than 2**31, not {getattr(c, name)}")
    for name in (
        "lr",
        "min_lr",
        "warmup",
        "weight_decay",
        "clip",
        "seed",
        "threads",
        "n_vocab",
        "sample_every",
    ):
        if not 0 <= getattr(c, name) < math.inf:
            command.usage_error(f"--{name} must not be negative or infinite, as is {getattr(c, name)}")
    if c.threads >= 2**16:
        command.usage_error(f"--threads must not be beyond {2**16 - 1}, as is {c.threads}")
    for name in ("beta1", "beta2", "dropout", "dropout_embd", "dropout_attn", "dropout_resid", "val_share"):
        if not 0 <= getattr(c, name) < 1:
            command.usage_error(f"--{name} must be at least 0 and less than 1, not {getattr(c, name)}")
    if c.n_embd % c.n_head:
        command.usage_error(f"--n_embd {c.n_embd} does not divide evenly into --n_head {c.n_head} heads")
    if c.min_lr > c.lr:
        command.usage_error(f"--min_lr {c.min_lr} is more than --lr {c.lr}")


def check_folder(folder, resume):
    """Raise ValueError rather than write over a training or a model; a training saves its state first."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: --out names a folder")
    if (folder / STATE).exists():
        if not resume:
            raise ValueError(f"{folder} holds a training: --resume continues it, --out names another folder")
    elif any((folder / name).exists() for name in (weights.WEIGHTS, "hparams.json", "model.ckpt.index")):
        raise ValueError(f"{folder} holds a model that was not trained there: --out names another folder")


def begin(c, text):
    """Return the state of a training before its first step, the model's hparams and its tokenizer."""
    if c.init:
        params, hparams, encoder = weights.load_with_encoder(c.init)
    else:
        encoder = make_encoder(c, text)
        hparams = dict(n_vocab=encoder.n_vocab) | {name: getattr(c, name) for name in SHAPE}
        check_hparams(hparams)
        hparams = weights.without_usual(hparams)
        params = init_params(hparams, np.random.default_rng(c.seed))
    return trainer.begin(params, c.seed), hparams, encoder


def make_encoder(c, text):
    """Return the tokenizer that --tokenizer names."""
    if c.tokenizer == "chars":
        return CharEncoder.from_text(text)
    folder = weights.shipped("gpt2-bpe") if c.tokenizer == "gpt2" else c.tokenizer
    return load_encoder(folder, c.n_vocab or None)


def encode_splits(text, encoder, val_share, n_ctx):
    """Return the ids of the training and of the held-out text, each long enough for a window or empty."""
    train_ids, val_ids = (data.encode(part, encoder) for part in data.split(text, val_share))
    log.info("%s tokens to train on, %s held out", f"{len(train_ids):,}", f"{len(val_ids):,}")
    for ids, what in ((train_ids, "training"), (val_ids, "held-out")):
        if len(ids) <= n_ctx and not (what == "held-out" and val_share == 0):
            raise ValueError(
                f"the {what} text has {len(ids)} tokens, and a window takes {n_ctx + 1}:"
                " give a longer file, another --val_share or a smaller --n_ctx"
            )
    return train_ids, val_ids


if __name__ == "__main__":
    command.run(train)
