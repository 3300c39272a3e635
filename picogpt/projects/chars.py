"""Train a model of characters by the recipe of an ancestor, and put its losses beside the published ones.

usage: python -m picogpt.projects.chars [FILE] [--recipe NAME] [--minutes X] [flags]

The default FILE is the text of the published losses. Leaves in FOLDER the model, for
`python -m picogpt --model FOLDER`; log.jsonl, a line for each update; result.json, with the losses reached,
the published ones and a sample.

{flags}

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import dataclasses
import math
import time
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import Choice, generate
from picogpt.grad import loss_and_grads
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.params.tree import tree_map
from picogpt.projects import benchmarks
from picogpt.projects.benchmarks import BITS
from picogpt.system import command, flags
from picogpt.system.files import read_bytes
from picogpt.system.signature import FREE, OneOf, Section
from picogpt.text import data
from picogpt.text.chars import CharEncoder
from picogpt.train import half, runs, trainer
from picogpt.train.prepare import check_splits, encode_splits
from picogpt.train.settings import Recipe

# nanoGPT's config/train_shakespeare_char.py with the changes that its README makes for a CPU.
NANOGPT = dict(
    hparams=dict(n_layer=4, n_head=4, n_embd=128, n_ctx=64, bias=False, gelu="erf"),
    batch_size=12, lr=1e-3, warmup=100, beta2=0.99, dropout=0.0, epochs=8, val_share=0.1,
)  # fmt: skip
# minGPT-tuned's train.py: all of the text is trained on, and nothing held out; weight decay acts on all but
# biases and layer norms.
MINGPT = dict(
    hparams=dict(n_layer=3, n_head=8, n_embd=512, n_ctx=128, tied=False, gelu="erf"),
    batch_size=256, lr=6e-4, warmup_tokens=512 * 20, schedule="floor", beta2=0.95,
    dropout=0.1, epochs=150, val_share=0.0,
)  # fmt: skip
# The recipe for a CPU on the benchmarks, whose published models are 50 times as large and more.
BENCHMARK = NANOGPT | dict(val_share=0.05)
TRICKS = dict(time_weighting="full", time_mixing=True)
MINGPTS = dict(mingpt=MINGPT, tuned=MINGPT | dict(hparams=MINGPT["hparams"] | TRICKS))
RECIPES = dict(nanogpt=NANOGPT) | MINGPTS | dict.fromkeys(benchmarks.NAMES, BENCHMARK)


@dataclasses.dataclass(kw_only=True)
class Chars(Recipe):
    """A recipe with what else its project needs to know."""

    recipe: str
    hparams: dict
    seed: int
    batch_size: int
    epochs: int
    val_share: float
    precision: str = "float32"
    windows: int = 0  # in an epoch
    per_epoch: int = 0  # updates
    eval_batches: int = 20


# minGPT-tuned printed them at the end of an epoch: they are its last batch's, the text of a progress bar.
LAST, RATE, HELD_OUT = "loss of the epoch's last batch", "learning rate", "held-out loss after the update"
EPOCHS = 1, 2, 3, 50, 100, 148, 149, 150
PLAIN = 2.64701, 2.49893, 2.43154, 1.08477, 0.80659, 0.67977, 0.69573, 0.68462
TUNED = 2.61996, 2.22801, 2.06643, 1.00424, 0.71006, 0.60897, 0.61404, 0.60880
LR = "5.999354e-04 5.997392e-04 5.994116e-04 4.500336e-04 1.500168e-04 6.000000e-05 6.000000e-05 6.000000e-05"
RATES = dict(zip(EPOCHS, LR.split(), strict=True))
# Al-Rfou et al. 2018, arXiv:1808.04444; Dai et al. 2019, arXiv:1901.02860; Radford et al. 2019, table 3.
OTHERS = (
    *("12 layers, 44M parameters (Al-Rfou)", "64 layers, 235M (Al-Rfou)", "Transformer-XL, 277M"),
    *("GPT-2 124M, not trained on it", "GPT-2 1558M, not trained on it"),
)
PUBLISHED = dict(
    nanogpt={"protocol": "nanoGPT's own evaluation", HELD_OUT: {2000: 1.88}},
    mingpt={"parameters": 9_590_272, LAST: dict(zip(EPOCHS, PLAIN, strict=True)), RATE: RATES},
    tuned={"parameters": 9_983_488, LAST: dict(zip(EPOCHS, TUNED, strict=True)), RATE: RATES},
    text8={BITS: dict(zip(OTHERS, (1.18, 1.13, 1.08, 1.17, 0.98), strict=True))},
    enwik8={BITS: dict(zip(OTHERS, (1.11, 1.06, 0.99, 1.16, 0.93), strict=True))},
)


def chars(
    file: runs.Text = str(runs.SHAKESPEARE),
    *,
    recipe: Annotated[
        str,
        OneOf(*RECIPES),
        "nanogpt: nanoGPT's for a CPU, held-out loss 1.88 after 2000 updates; mingpt: 9.6 million parameters,"
        " 150 epochs, training loss 0.685 at the end; tuned: the same with minGPT-tuned's time-weighting and"
        " time-mixing, 0.609; text8, enwik8: nanogpt's, on a FILE that is text8 or enwik8 or of their form;"
        " the last twentieth is the test",
    ] = "nanogpt",
    out: flags.Out = "runs/chars",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    minutes: Annotated[
        flags.Real, FREE, "stop after so many, wherever the training is then ({}; 0: at its end)"
    ] = 10.0,
    device: Annotated[str, OneOf("cpu", "gpu"), FREE, "cpu, or gpu, which needs CuPy"] = "cpu",
    precision: flags.Precision = "float32",
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
    prompt: Annotated[str, FREE, "TEXT", "what the sample continues (a new line)"] = "",
    epochs: Annotated[
        flags.Count | None,
        Section("instead of the recipe's"),
        "an epoch of minGPT's is ceil(characters / (n_ctx + 1)) windows, drawn at random; one of nanoGPT's"
        " stands for the 250 updates between its evaluations",
    ] = None,
    n_layer: flags.Layers | None = None,
    n_head: flags.Heads | None = None,
    n_embd: flags.Channels | None = None,
    n_ctx: flags.Context | None = None,
    batch_size: flags.BatchSize | None = None,
    lr: flags.LearningRate | None = None,
    dropout: flags.Dropout | None = None,
    seed: flags.Seed = 1337,
):
    """Train as the docstring of this module says; these are the command's flags."""
    if device == "gpu" and processes > 1:
        command.usage_error("--processes has no effect with --device gpu")
    if precision == "float16" and processes > 1:
        command.usage_error("--precision float16 is for one process")
    run = runs.open_run(chars, locals(), read_bytes if recipe in benchmarks.NAMES else data.read_text)
    text, is_benchmark = run.text, recipe in benchmarks.NAMES
    encoder = benchmarks.tokenizer(recipe) if is_benchmark else CharEncoder.from_text(text)
    asked = encoder.encode(prompt) or [encoder.start]
    sizes = runs.given(dict(n_layer=n_layer, n_head=n_head, n_embd=n_embd, n_ctx=n_ctx))
    changes = dict(epochs=epochs, batch_size=batch_size, lr=lr, dropout=dropout, precision=precision)
    changes = runs.given(changes)
    c = settings(recipe, text, encoder, sizes, changes, seed)
    if is_benchmark:
        *splits, test = benchmarks.split(benchmarks.encode(text, encoder, file))
        check_splits(splits, c.val_share, c.hparams["n_ctx"])
    else:
        splits = encode_splits(text, encoder, c.val_share, c.hparams["n_ctx"])
    state = runs.start(run, initial(c, seed), c)
    records = train(run, state, c, splits, 60 * minutes or math.inf, device)
    params = state["params"]
    weights.save(run.folder, params, c.hparams, encoder)
    [new] = generate(params, c.hparams["n_head"], [asked], 300, Choice(temperature=1.0, top_k=10, seed=seed))
    results = {"parameters": n_params(c.hparams)} | report(records, c)
    if is_benchmark:
        results[BITS] = benchmarks.compare(params, c.hparams, splits[0], test, encoder.start)
    results["sample"] = prompt + encoder.decode(new)
    runs.finish(run, results, PUBLISHED[recipe])


def settings(recipe, text, encoder, sizes, changes, seed):
    """Return the settings of a recipe, but for these changes, and what follows from them for this text."""
    c = Chars(**RECIPES[recipe] | changes, recipe=recipe, seed=seed)
    c.hparams = dict(n_vocab=encoder.n_vocab) | c.hparams | sizes
    check_hparams(c.hparams)
    windows = math.ceil(len(text) / (c.hparams["n_ctx"] + 1))
    c.windows = windows if recipe in MINGPTS else 250 * c.batch_size  # in an epoch
    c.per_epoch = math.ceil(c.windows / c.batch_size)  # updates
    c.steps, c.min_lr = c.epochs * c.per_epoch, c.lr / 10
    if c.warmup_tokens:
        c.decay_tokens = c.epochs * c.windows * c.hparams["n_ctx"]
    return c


def initial(c, seed):
    """Return the parameters before the first step; minGPT's differ from GPT-2's in two ways.

    All its weights are N(0, 0.02), also those of the projections into the residual stream, and its position
    embedding is 0.
    """
    params = init_params(c.hparams, np.random.default_rng(seed))
    if c.recipe in MINGPTS:
        params["wpe"][...] = 0
        for block in params["blocks"]:
            for part in ("attn", "mlp"):
                block[part]["c_proj"]["w"] *= math.sqrt(2 * c.hparams["n_layer"])
    return params


def train(run, state, c, splits, seconds, device):
    """Make updates until the recipe or the time is over; return the records of all."""
    n_ctx, n_head = c.hparams["n_ctx"], c.hparams["n_head"]
    now = dataclasses.replace(c)  # with the tokens of the batch drawn last, as trainer.update asks

    def draw(rng):
        n = windows_by(state["step"] + 1, c) - windows_by(state["step"], c)
        now.batch_tokens = n * n_ctx
        return data.random_batch(splits[0], n, n_ctx, rng)

    def look(step):
        if step % c.per_epoch or not c.val_share:
            return {}
        losses = trainer.evaluate_splits(to_device(state["params"], "cpu"), c, c.hparams, splits, run.comm)
        return dict(zip(("train_loss", "val_loss"), losses, strict=True))

    end = time.monotonic() + seconds
    state |= {name: to_device(state[name], device) for name in ("params", "moments")}
    of_batch = gradients(n_head, device, run.comm, state.get("loss_scale"))
    records = runs.train(run, state, now, draw, of_batch, look, end)
    state |= {name: to_device(state[name], "cpu") for name in ("params", "moments")}
    return records


def gradients(n_head, device, comm, loss_scale=None):
    """Return the gradients that the trainer asks for; a GPU takes a batch whole, and draws there."""
    if device == "cpu":
        return trainer.language_model(n_head, comm, loss_scale)

    import cupy

    if loss_scale is not None:
        return half.gradients(n_head, half.LossScale(loss_scale), cupy.random.default_rng)

    def whole(params, batch, p_drop, rng):
        rng = cupy.random.default_rng(int(rng.integers(2**63))) if p_drop else None
        return loss_and_grads(params, *batch, n_head, p_drop, rng)

    return whole


def to_device(tree, device):
    """Return a tree of arrays in the memory of the "gpu" or the "cpu"."""
    if device == "cpu":
        return tree_map(runs.to_cpu, tree)
    try:
        import cupy
    except ImportError:
        raise ValueError("--device gpu needs CuPy: pip install cupy-cuda12x") from None
    return tree_map(cupy.asarray, tree)


def windows_by(step, c):
    """Return how many windows the first `step` batches have; each epoch's last batch has what is left."""
    epochs, rest = divmod(step, c.per_epoch)
    return epochs * c.windows + rest * c.batch_size


def report(lines, c):
    """Return how far the training came, and its losses: at the epochs of the published ones, and the last."""
    done, rest = divmod(len(lines), c.per_epoch)
    found = {"stopped after": f"{done} epochs and {rest} updates, of {c.epochs} epochs of {c.per_epoch}"}
    if c.val_share:
        found["protocol"] = f"{c.eval_batches} batches of {c.batch_size} windows held out, one seed"
        return found | {HELD_OUT: {line["step"]: line["val_loss"] for line in lines if "val_loss" in line}}
    found |= {"loss at the end": lines[-1]["loss"], LAST: {}, "mean loss of the epoch": {}, RATE: {}}
    for epoch in sorted({*EPOCHS, done} & {*range(1, done + 1)}):
        part = lines[(epoch - 1) * c.per_epoch : epoch * c.per_epoch]
        found[LAST][epoch], found[RATE][epoch] = part[-1]["loss"], f"{part[-1]['lr']:e}"
        found["mean loss of the epoch"][epoch] = sum(line["loss"] for line in part) / len(part)
    return found


if __name__ == "__main__":
    runs.main(chars)
