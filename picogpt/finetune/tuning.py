"""What a fine-tuning changes: the whole model, arrays chosen by name, low-rank updates, adapters.

The trainer updates what is in state["params"]. Here that is {path: array}, arrays of the model itself, which
it changes in place, and {path: {"a": array, "b": array}} for a matrix with a low-rank update. The rest of
the model stays as it is, bit for bit, and the optimiser keeps no moments for it.
"""

import dataclasses
import fnmatch
import hashlib
import logging
from pathlib import Path
from typing import Annotated

import numpy as np

from picogpt.checkpoints import peft, weights
from picogpt.finetune import adapters, lora
from picogpt.params.tree import flatten, walk
from picogpt.system import command, flags
from picogpt.system.signature import OneOf
from picogpt.train.optim import SCHEDULES
from picogpt.train.settings import Recipe

log = logging.getLogger("picogpt")
HEAD = "head"  # a classifier's, which is no part of the model
LORA, PEFT = "lora.safetensors", "peft"  # where low-rank updates go, beside the model
MATRICES = "blocks.*.w"  # that LoRA updates
Model = Annotated[flags.Model, "what to start from: 124M ..., a folder, or the bundled model"]
Lora = Annotated[
    flags.Whole,
    "RANK",
    "rank of low-rank updates of matrices ({}: none); the model is saved with them merged, and they alone as"
    " lora.safetensors",
]
LoraOn = Annotated[str, "NAMES", "of which matrices"]
Adapters = Annotated[
    flags.Whole, "bottlenecks of N channels after attention and feed-forward layers ({}: none)"
]
Rate = Annotated[
    flags.LearningRate | None,
    "learning rate after the warm-up; from there it decays to --min_lr (0.0005; with LoRA 0.01, with adapters"
    " 0.005)",
]
LowestRate = Annotated[flags.Real | None, "learning rate at the end (a tenth of --lr)"]
Schedule = Annotated[str, OneOf(*SCHEDULES), "decay: cosine, floor, linear or constant, as in picogpt.train"]
Seed = Annotated[flags.Seed, "of what is new in the model, the batches and the dropout"]
RATES = {  # of learning, with LoRA or not, adapters or not: for the bundled model; larger ones want less
    (False, False): 5e-4,
    (True, False): 1e-2,
    (False, True): 5e-3,
    (True, True): 5e-3,
}


def check_flags(flags):
    """End the program if --lora_on was given and has no effect, or the learning rate would rise."""
    recipe(flags, steps=0)  # which looks at the rates
    if flags["lora_on"] != MATRICES and not flags["lora"]:
        command.usage_error("--lora_on has no effect without --lora")


def begin(params, hparams, rng, train=None, rank=0, lora_on=MATRICES, n_adapter=0):
    """Return (params, hparams, trained): the model, with adapters if asked for, and what of it is trained.

    train : names, see `choose`; None is all, or, with LoRA or adapters, only these
    rank : of LoRA on the matrices `lora_on`; 0 is none
    n_adapter : channels of the adapters; 0 is none

    A classifier's head, where there is one, is always trained.
    """
    if n_adapter:
        params, hparams = adapters.insert(params, hparams, n_adapter, rng)
    if train is None:
        train = "" if rank or n_adapter else "*"
    trained = choose(params, train)
    if n_adapter:
        trained |= choose(params, "*.adapter.*")
    if rank:
        trained |= lora.start(choose(params, lora_on), rank, rng)
    if HEAD in params:
        trained |= choose(params, f"{HEAD}.*")
    if not trained:
        raise ValueError("nothing is to be trained: name arrays, such as blocks.3.*, or all of them with *")
    return params, hparams, trained


def fingerprint(params):
    """Return the sha256 of all weights, which tells a model from another of the same shape."""
    digest = hashlib.sha256()
    for _, array in walk(params):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def choose(params, patterns):
    """Return {path: array} of the model's own arrays whose paths match one of the patterns.

    >>> import numpy as np
    >>> list(choose({"wte": np.ones(2), "ln_f": {"g": np.ones(3), "b": np.ones(4)}}, "ln_f.*,w?e"))
    ['wte', 'ln_f.g', 'ln_f.b']
    """
    flat, chosen = flatten(params), set()
    for pattern in filter(None, patterns.split(",")):
        matching = {path for path in flat if fnmatch.fnmatchcase(path, pattern)}
        if not matching:
            raise ValueError(f"{pattern} names no array; the model has {', '.join(list(flat)[:5])} ...")
        chosen |= matching
    return {path: array for path, array in flat.items() if path in chosen and array.size}


def low_rank_of(trained):
    """Return the low-rank updates among what is trained."""
    return {path: leaf for path, leaf in trained.items() if isinstance(leaf, dict)}


def in_use(params, trained):
    """Let the model compute with what has been trained: `with in_use(params, trained): ...`"""
    return lora.merged(params, low_rank_of(trained))


def save(folder, params, hparams, encoder, trained, base):
    """Merge low-rank updates for good, write the model's folder, and beside it the updates themselves.

    These also in a folder for Hugging Face's PEFT, on top of the model that `base` names, if they are all
    that was learned and PEFT can say it: an embedding that is the output head too is two arrays there.
    """
    low_rank = low_rank_of(trained)
    lora.merge(params, low_rank)
    weights.save(folder, {name: params[name] for name in params if name != HEAD}, hparams, encoder)
    if low_rank:
        lora.save(Path(folder, LORA), low_rank)
        shared = "wte" in low_rank and "lm_head" not in params
        if low_rank.keys() == trained.keys() and not shared:
            peft.write(Path(folder, PEFT), low_rank, base)


def gradients_of(params, gradients):
    """Return the gradients that the trainer asks for: of what is trained, from those of the whole model.

    gradients(params, batch, p_drop, rng) -> loss, a tree like `params`, as `trainer.language_model` gives it.
    """

    def of_trained(trained, batch, p_drop, rng):
        with in_use(params, trained):
            loss, grads = gradients(params, batch, p_drop, rng)
        flat = flatten(grads)
        return loss, {
            path: lora.backward(flat[path], **leaf) if isinstance(leaf, dict) else flat[path]
            for path, leaf in trained.items()
        }

    return of_trained


def recipe(flags, steps):
    """Return the recipe of the training; without --lr the rate suits what is trained."""
    lr = RATES[bool(flags["lora"]), bool(flags["adapters"])] if flags["lr"] is None else flags["lr"]
    same = {name: flags[name] for name in ("min_lr", "warmup", "schedule", "dropout")}
    c = Recipe(steps=steps, lr=lr, **same)
    c.check_rates()
    return dataclasses.replace(c, min_lr=c.lowest_lr)  # a number, which is kept with the result


def trained_share(params, trained):
    """Return the numbers of parameters, trained and all, and the bytes of AdamW's two moments; log them."""
    n_trained = sum(array.size for _, array in walk(trained))
    n_all = sum(array.size for _, array in walk(params)) + sum(w.size for _, w in walk(low_rank_of(trained)))
    n_bytes = [2 * sum(array.nbytes for _, array in walk(tree)) for tree in (trained, params)]
    log.info(
        "training %s of %s parameters (%.2f %%); the optimiser's state takes %.2f MB, and would %.2f for all",
        f"{n_trained:,}", f"{n_all:,}", 100 * n_trained / n_all, *(n / 1e6 for n in n_bytes),
    )  # fmt: skip
    return {
        "trained parameters": n_trained,
        "parameters": n_all,
        "bytes of optimiser state": n_bytes[0],
    }
