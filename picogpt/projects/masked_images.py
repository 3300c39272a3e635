"""BERT's objective on pictures: hide some pixels, look at all that is before and after, and tell the hidden.

usage: python -m picogpt.projects.masked_images [FOLDER] [--out FOLDER] [flags]

FOLDER is as in picogpt.projects.images; without it the pictures are the handwritten digits that come with
scikit-learn. Each pixel becomes a token, its nearest colour of a palette, and is hidden with the probability
of --hidden. The model is a GPT-2 whose tokens look both ways; there are no classes, position t is pixel t.
The loss counts the hidden pixels alone, as in the model that image GPT's authors compare theirs with (Chen et
al. 2020, section 2.1; bert in openai/image-gpt's src/model.py). Two things differ: a hidden pixel is an id
more, whose embedding is learned, as BERT's [MASK] (Devlin et al. 2019), where theirs is zeros; and the mean
is over all hidden pixels of a batch, where theirs is over those of each picture, then over the pictures.

Leaves in the folder of --out the model; log.jsonl with a line for each update; images.png with held-out
pictures, what is visible of them, and what the model finds most likely; and result.json with bits per hidden
pixel, the same ones at each measurement, beside those of simpler models, and how well a linear probe of each
layer tells the class. The probe's pictures are all visible.

{flags}

Needs scikit-learn, matplotlib and, for PNGs, Pillow: pip install -e ".[images]"

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
import math
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.projects import images
from picogpt.projects.image_probe import probe
from picogpt.system import command, flags
from picogpt.system.files import atomic_write
from picogpt.system.machine import split
from picogpt.system.signature import Range
from picogpt.train import runs, trainer
from picogpt.train.settings import Recipe

PUBLISHED = dict(
    protocol="not to be compared: on CIFAR-10 and ImageNet image GPT's authors find that a linear probe of a"
    " model with this objective is right less often than one of image GPT"
)


def masked_images(
    pictures: images.Folder = "",
    *,
    out: flags.Out = "runs/masked-images",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    hidden: Annotated[float, Range(above=0, below=1), "probability with which a pixel is hidden"] = 0.15,
    colors: images.Colors = None,
    n_layer: flags.Layers = 4,
    n_head: flags.Heads = 4,
    n_embd: flags.Channels = 64,
    steps: flags.Steps = 3000,
    batch_size: images.Pictures = 32,
    lr: flags.LearningRate = 3e-3,
    dropout: flags.Dropout = 0.1,
    n_test: images.Tested = 360,
    n_probe: images.Probed = 1437,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
    seed: Annotated[flags.Seed, "of the palette, the weights, the batches and what is hidden"] = 1337,
):
    """Train, measure and draw as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(masked_images, locals())
    command.needs("matplotlib", "images")  # for what is drawn when all is done
    rng = np.random.default_rng(seed)
    data, palette, seen, held = images.read(run, pictures, colors, n_test, rng)
    k, T, n_classes = len(palette), seen.shape[1] - 1, len(data.names)
    hparams = dict(n_vocab=k + 1, n_ctx=T, n_embd=n_embd, n_head=n_head, n_layer=n_layer, causal=False)
    check_hparams(hparams)
    params = init_params(hparams, rng)

    c = Recipe(steps=steps, lr=lr, min_lr=lr / 10, dropout=dropout)
    draw = functools.partial(random_batch, seen[:, 1:], batch_size, hidden, k)
    ids, targets = hide(held[:, 1:], hidden, k, np.random.default_rng([seed, 2]))

    def look(step):
        is_due = step % 500 == 0 or step == steps
        return dict(val_bits=bits(params, n_head, k, ids, targets)) if is_due else {}

    runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm), look)
    weights.save(run.folder, params, hparams)
    results = dict(parameters=n_params(hparams))
    results["protocol"] = (
        f"bits per hidden pixel, as its place in the palette of {k} colours; {len(seen)} pictures trained on,"
        f" of which {min(n_probe, len(seen))} for the linear probe; {len(held)} others measured, of whose"
        f" {ids.size} pixels {(targets != -1).sum()} are hidden"
    )
    histogram = images.histogram_log_probs(seen, k, held)
    results["bits per hidden pixel"] = {
        "uniform": math.log2(k),
        "histogram of each pixel": images.bits(histogram[targets != -1]),
        "masked": bits(params, n_head, k, ids, targets),
    }
    untrained = init_params(hparams, np.random.default_rng(seed))
    results["right by a linear probe of each layer"] = probe(
        {"masked, untrained": untrained, "masked": params},
        *(n_head, seen[:n_probe], held, k, n_classes),
        pixels=images.levels(data, n_probe, n_test),
    )
    draw_pictures(run.folder / "images.png", params, n_head, ids, targets, palette, data)
    runs.finish(run, results, PUBLISHED)


def random_batch(pictures, batch_size, share, colors, rng):
    """Draw pictures and hide some of their pixels; return what is visible, and what is to be told: [B, T]."""
    return hide(pictures[rng.integers(len(pictures), size=batch_size)], share, colors, rng)


def hide(pictures, share, colors, rng):
    """Hide each pixel with a probability, and at least one of each picture: [N, T] -> ids, targets [N, T].

    The id of a hidden pixel follows those of the colours, and its target is its colour. A visible one is
    itself, and its target -1, which does not count.
    """
    pictures, draws = pictures.astype(np.int64), rng.random(pictures.shape)
    hidden = draws <= np.maximum(share, draws.min(axis=1, keepdims=True))
    return np.where(hidden, colors, pictures), np.where(hidden, pictures, -1)


def bits(params, n_head, colors, ids, targets):
    """Return the bits per hidden pixel, among the colours: that one stays hidden is ruled out."""
    nats, counted = 0.0, targets != -1
    n_parts = math.ceil(ids.size * len(params["wte"]) / images.LOGITS)
    for rows in split(len(ids), min(len(ids), n_parts)):
        logits = gpt2(ids[rows], params, n_head)[..., :colors]
        nats += float(cross_entropy(logits, targets[rows]) * counted[rows].sum())
    return nats / float(counted.sum()) / math.log(2)


def fill(params, n_head, colors, ids):
    """Return pictures in which each hidden pixel has its most likely colour: [N, T] -> [N, T]."""
    return np.where(ids == colors, gpt2(ids, params, n_head)[..., :colors].argmax(axis=-1), ids)


def draw_pictures(path, params, n_head, ids, targets, palette, data, most=12):
    """Write a PNG of held-out pictures [N, T] in three rows: whole, what is visible, and filled."""
    from matplotlib.figure import Figure

    ids, targets, paint = ids[:most], targets[:most], images.paint_of(palette, data)
    filled = fill(params, n_head, len(palette), ids)
    rows = paint[np.concatenate([np.where(targets == -1, ids, targets), ids, filled])]
    figure = Figure(figsize=(6, 2), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.imshow(images.tile(rows.reshape(-1, *data.pixels.shape[1:3], 3), 3, paint[-1]))
    axes.set_title("held out; what is visible; the most likely filling")
    axes.axis("off")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


if __name__ == "__main__":
    runs.main(masked_images)
