"""What a training needs before its first step, by its settings: text, tokenizer, model, state and folder.

`c` are the Settings of the training, completed; what follows from the text and the model is added here.
"""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from picogpt.checkpoints import weights
from picogpt.params.checks import check, check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.system import folders
from picogpt.system.files import atomic_write
from picogpt.text import bins, data
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder
from picogpt.train import trainer
from picogpt.train.journal import LOG
from picogpt.train.schedule import planned_tokens
from picogpt.train.settings import Settings
from picogpt.train.state import STATE, load_state, save_state

log = logging.getLogger("picogpt")
SETTINGS = "settings.json"  # the flags, in the folder of the training
COMMAND = "picogpt.train"  # which settings.json tells, too
MADE = [  # every file that a training, a project or a fine-tuning may have written into its folder
    *(SETTINGS, LOG, STATE, weights.WEIGHTS, "hparams.json", "result.json", "images.png", "positions.png"),
    *("chars.json", "vocab.bpe", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"),
    *("added_tokens.json", "special_tokens_map.json", "lora.safetensors", "head.safetensors"),
    *("adapter_config.json", "adapter_model.safetensors"),
]


def prepare(c, folder):
    """Return the state, new or resumed, hparams, tokenizer, and the ids of both texts; write nothing."""
    if c.resume or not c.eval_only:
        check_folder(folder, c.resume, c.overwrite)
        if c.resume and (folder / STATE).is_file() and not c.eval_only:
            folders.acquire(folder, [STATE])
    if c.resume and not Path(c.file).exists():
        raise FileNotFoundError(f"there is no text file {c.file} here: give FILE anew, beside --resume")
    text = None if Path(c.file).is_dir() else read_text(c)
    resumes = c.resume and (folder / STATE).is_file()
    if c.eval_only and c.resume and not resumes:
        raise ValueError(f"{folder} holds no training: --out names the folder of one, to evaluate its model")
    if resumes:
        hparams = weights.read_hparams(folder)
        encoder = weights.read_encoder(folder, hparams)
        if encoder is None:
            raise ValueError(
                f"{folder} has lost its tokenizer: copy it there, or begin again with another --out"
            )
    else:
        params, hparams, encoder = new_model(c, text)
    encoder.special = c.special
    if text is None:
        splits, c.sha256 = bins.open_folder(c.file, hparams["n_vocab"], c.val_share)
    c.batch_tokens = c.batch_size * hparams["n_ctx"]
    if c.warmup_tokens and not c.decay_tokens:
        c.decay_tokens = planned_tokens(c)
    state = (
        load_state(folder / STATE, c.fixed(), Settings("").completed().fixed(), mapped=c.shard)
        if resumes
        else trainer.begin(params, c.seed, c.precision)
    )
    check(state["params"], hparams, folder / STATE if resumes else "the model")
    log.info("a model of %s parameters, a vocabulary of %d", f"{n_params(hparams):,}", hparams["n_vocab"])
    if text is not None:
        splits = encode_splits(text, encoder, c.val_share, hparams["n_ctx"])
    else:
        check_splits(splits, c.val_share, hparams["n_ctx"])
    if c.windows == "documents":
        c.starts = starts_of_documents(splits, encoder, hparams["n_ctx"])
    return state, hparams, encoder, splits


def read_text(c):
    """Return the text of c.file, which is not empty, and note in c.sha256 which it is."""
    text = data.read_text(c.file)
    if not text:
        raise ValueError(f"{c.file} is empty: give a text to train on")
    c.sha256 = hashlib.sha256(text.encode()).hexdigest()
    return text


def check_folder(folder, resume, overwrite=False):
    """Raise ValueError if the folder holds a training, a model or other files that would be overwritten."""
    if (folder / STATE).is_file():
        if not resume and not overwrite:
            raise ValueError(
                f"{folder} holds a training: --resume continues it, --overwrite begins anew,"
                " --out names another folder"
            )
    elif not folders.is_begun(folder) and (folder / weights.WEIGHTS).is_file():
        raise ValueError(f"{folder} holds a model that was not trained there: --out names another folder")
    else:
        folders.check_free(folder, [STATE])


def begin_in(folder, resume, overwrite, settings):
    """Acquire a folder, see folders.py, delete an earlier training's files there, and write the flags."""
    folders.acquire(folder, [STATE])
    check_folder(folder, resume, overwrite)  # again: another process may have begun there
    folders.clear(folder, MADE)
    with atomic_write(folder / SETTINGS) as file:
        file.write(json.dumps(settings, indent=2).encode() + b"\n")


def new_model(c, text):
    """Return the parameters of a model before its training, its hparams and its tokenizer.

    Without a text, c.file is a folder of ids, whose tokenizer it has.
    """
    if c.init:
        return weights.load_with_encoder(c.init)
    if c.tokenizer != "chars":
        encoder = byte_pairs(c.tokenizer, c.n_vocab)
    else:
        encoder = bins.tokenizer_in(c.file) if text is None else CharEncoder.from_text(text)
    hparams = c.hparams(encoder.n_vocab)
    check_hparams(hparams)
    hparams = weights.without_usual(hparams)
    return init_params(hparams, np.random.default_rng(c.seed), initial=c.initial), hparams, encoder


def byte_pairs(tokenizer, n_vocab):
    """Return the byte-pair encoding that --tokenizer names; n_vocab tokens of it, 0 for all."""
    return load_encoder(weights.shipped("gpt2-bpe") if tokenizer == "gpt2" else tokenizer, n_vocab or None)


def encode_splits(text, encoder, val_share, n_ctx):
    """Return the ids of the training and of the held-out text, each long enough for a window or empty."""
    splits = tuple(data.encode(part, encoder) for part in data.split(text, val_share))
    check_splits(splits, val_share, n_ctx)
    return splits


def check_splits(splits, val_share, n_ctx):
    """Say how many ids are trained on and held out; ValueError if they are too few for a window."""
    log.info("%s tokens to train on, %s held out", *(f"{len(ids):,}" for ids in splits))
    for ids, what in zip(splits, ("training", "held-out"), strict=True):
        if len(ids) <= n_ctx and not (what == "held-out" and val_share == 0):
            raise ValueError(
                f"the {what} text has {len(ids)} tokens, and a window takes {n_ctx + 1}:"
                " give a longer file or a smaller --n_ctx"
            )


def starts_of_documents(splits, encoder, n_ctx):
    """Return where windows of both texts begin with a document; ValueError for a text without any."""
    if encoder.eot is None:
        raise ValueError("--windows documents needs a --tokenizer with a token for <|endoftext|>, say gpt2")
    found = [data.document_starts(ids, encoder.start, n_ctx) for ids in splits]
    for ids, starts, what in zip(splits, found, ("training", "held-out"), strict=True):
        if len(ids) and not len(starts):
            raise ValueError(
                f"the {what} text has no document with {n_ctx} tokens after its beginning, which --windows"
                " documents asks for: put a line <|endoftext|> between them"
            )
    return found


def save_beginning(folder, flags, state, c, hparams, encoder):
    """Write what a training has before its first model; last the state, which says that all is there."""
    begin_in(folder, c.resume, c.overwrite, dict(command=COMMAND) | flags)
    weights.save_hparams(folder, hparams, encoder)
    save_state(folder / STATE, state, c.fixed())
