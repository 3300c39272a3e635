"""Image GPT: read pictures pixel by pixel like a text, learn to go on, and so draw and complete pictures.

usage: python -m picogpt.projects.images [FOLDER] [--out FOLDER] [flags]

FOLDER has CIFAR-10's binary files (data_batch_1.bin ..., test_batch.bin), or PNGs of one size, in folders for
each class. Without it the pictures are the 1797 handwritten digits that come with scikit-learn, of 8 x 8
pixels (E. Alpaydin and C. Kaynak 1998, from the UCI repository, CC BY 4.0). Each picture becomes tokens: its
class, from which the model starts; then its pixels row by row, each by its nearest colour of a palette. Some
are held out: CIFAR-10's test batch, of the others a fifth. Leaves in the folder of --out the model; log.jsonl
with a line for each update; images.png with drawings and completions; positions.png with what the model has
learned of places; and result.json with bits per dimension beside those of simpler models, and how well a
linear probe of each layer tells the class.

{flags}

Needs scikit-learn, matplotlib and, for PNGs, Pillow: pip install -e ".[images]"

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
import hashlib
import math
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import Choice, sample
from picogpt.gpt2 import KVCache, gpt2
from picogpt.ops import softmax
from picogpt.params.checks import check_hparams
from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.projects.image_data import encode, load, palette_of
from picogpt.projects.image_probe import probe
from picogpt.system import command, flags
from picogpt.system.files import atomic_write
from picogpt.system.machine import split
from picogpt.system.signature import FREE, Range, Usual
from picogpt.train import runs, trainer
from picogpt.train.settings import Recipe

LOGITS = 1 << 24  # how many are in memory at a time
PUBLISHED = dict(
    protocol="not to be compared: image GPT-S 2.0895 nats on ImageNet, 32 x 32 pixels, 512 colours;"
    " minGPT 2.535 on CIFAR-10, held out, after an epoch, 512 colours; a linear probe of image GPT-L is"
    " right about 0.963 of CIFAR-10"
)
Folder = Annotated[str, FREE, Usual("scikit-learn's digits"), "CIFAR-10's binary files, or PNGs"]
Colors = Annotated[
    int | None,
    Range(2, below=1 << 15),
    Usual("8; for pictures in colour 512"),
    "colours of the palette, which k-means finds",
]
Pictures = Annotated[flags.BatchSize, "pictures in a batch"]
Tested = Annotated[flags.Count, "how many of the held-out pictures are measured"]
Probed = Annotated[flags.Count, "how many pictures the linear probe learns from"]


def images(
    pictures: Folder = "",
    *,
    out: flags.Out = "runs/images",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    colors: Colors = None,
    n_layer: flags.Layers = 4,
    n_head: flags.Heads = 4,
    n_embd: flags.Channels = 64,
    steps: flags.Steps = 3000,
    batch_size: Pictures = 32,
    lr: flags.LearningRate = 3e-3,
    dropout: flags.Dropout = 0.1,
    n_test: Tested = 360,
    n_probe: Probed = 1437,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
    seed: Annotated[flags.Seed, "of the palette, the weights, the batches and the drawings"] = 1337,
):
    """Train, measure and draw as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(images, locals())
    command.needs("matplotlib", "images")  # for what is drawn when all is done
    rng = np.random.default_rng(seed)
    data, palette, seen, held = read(run, pictures, colors, n_test, rng)
    k, T, n_classes = len(palette), seen.shape[1] - 1, len(data.names)
    hparams = dict(n_vocab=k + n_classes, n_ctx=T, n_embd=n_embd, n_head=n_head, n_layer=n_layer)
    check_hparams(hparams)
    params = init_params(hparams, rng)

    c = Recipe(steps=steps, lr=lr, min_lr=lr / 10, dropout=dropout)
    draw = functools.partial(random_batch, seen, batch_size)
    model = functools.partial(log_probs, params, n_head, k)

    def look(step):
        return dict(val_bits=bits(model(held))) if step % 500 == 0 or step == steps else {}

    runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm), look)
    weights.save(run.folder, params, hparams)
    results = dict(parameters=n_params(hparams))
    if k <= 16:
        results["palette"] = palette.round(2).squeeze().tolist()
    results["protocol"] = (
        f"bits per pixel, as its place in the palette; {len(seen)} pictures trained on, of which"
        f" {min(n_probe, len(seen))} for the linear probe; {len(held)} others measured"
    )
    results["bits per dimension"] = compare(model, seen, held, k, n_classes)
    untrained = init_params(hparams, np.random.default_rng(seed))
    results["right by a linear probe of each layer"] = probe(
        {"image GPT, untrained": untrained, "image GPT": params},
        *(n_head, seen[:n_probe], held, k, n_classes),
        pixels=levels(data, n_probe, n_test),
    )
    paint = paint_of(palette, data)
    draw_pictures(run.folder / "images.png", params, n_head, model, held, paint, data, seed)
    draw_positions(run.folder / "positions.png", params["wpe"], data)
    runs.finish(run, results, PUBLISHED)


def read(run, pictures, colors, n_test, rng):
    """Return the Pictures, their palette [k, channels], and the tokens [N, 1 + T] of those seen and held out.

    A checksum of the pixels goes among the settings of the run, which must be the same when it resumes.
    """
    data = load(pictures, rng)
    run.settings["pictures_sha256"] = hashlib.sha256(np.ascontiguousarray(data.pixels).data).hexdigest()
    k = colors or (8 if data.pixels.shape[-1] == 1 else 512)
    palette = palette_of(data.pixels[: data.n_seen], k, rng)
    sequences = encode(data.pixels, data.classes, palette)
    return data, palette, sequences[: data.n_seen], sequences[data.n_seen :][:n_test]


def levels(data, n_probe, n_test):
    """Return the pixels themselves of the pictures that are probed, seen and held out: both [N, D]."""
    pixels = data.pixels.reshape(len(data.pixels), -1)
    return pixels[: data.n_seen][:n_probe], pixels[data.n_seen :][:n_test]


def random_batch(sequences, batch_size, rng):
    """Draw pictures; return all of their tokens but the last, and what should come next: both [B, T]."""
    rows = sequences[rng.integers(len(sequences), size=batch_size)].astype(np.int64)
    return rows[:, :-1], rows[:, 1:]


def log_probs(params, n_head, colors, sequences):
    """Return ln p of each pixel, given the class and the pixels before: [N, 1 + T] -> [N, T].

    Among the colours: that a class comes next is ruled out.
    """
    sequences = sequences.astype(np.int64)
    N, T = sequences[:, 1:].shape
    logs = np.empty((N, T))
    for rows in split(N, math.ceil(N * T * len(params["wte"]) / LOGITS)):
        probs = softmax(gpt2(sequences[rows, :-1], params, n_head)[..., :colors])
        logs[rows] = np.log(np.take_along_axis(probs, sequences[rows, 1:, None], axis=-1)[..., 0])
    return logs


def histogram_log_probs(seen, colors, sequences):
    """Return ln p of each pixel from how often, at its place, each colour was seen, plus one: -> [N, T]."""
    places = range(1, seen.shape[1])
    counts = 1 + np.array([np.bincount(seen[:, t], minlength=colors) for t in places])  # [T, k]
    return np.log(counts / counts.sum(axis=-1, keepdims=True))[np.arange(len(counts)), sequences[:, 1:]]


def by_class(model, colors, n_classes, sequences):
    """Return ln p of the pixels of each picture, were it of each class: [N, 1 + T] -> [N, n_classes]."""
    first = [np.full((len(sequences), 1), colors + i) for i in range(n_classes)]
    return np.stack(
        [model(np.concatenate([one, sequences[:, 1:]], axis=1)).sum(axis=1) for one in first], axis=1
    )


def bits(logs):
    """Return the bits per dimension for ln p of each pixel."""
    return -float(logs.mean()) / math.log(2)


def compare(model, seen, held, colors, n_classes):
    """Return each model's bits per dimension, and how often p(pixels | class) is largest for the class."""

    def class_histogram(sequences):
        own = seen[seen[:, 0] == sequences[0, 0]]
        return histogram_log_probs(own, colors, sequences)

    T = held.shape[1] - 1
    found = {"uniform": {"class unknown": math.log2(colors)}}
    found["histogram of each pixel"] = {"class unknown": bits(histogram_log_probs(seen, colors, held))}
    for name, each in (("histogram of each pixel and class", class_histogram), ("image GPT", model)):
        logs = by_class(each, colors, n_classes, held)  # [N, n_classes]
        classes = held[:, :1].astype(int) - colors
        unknown = np.logaddexp.reduce(logs, axis=1) - math.log(n_classes)
        found[name] = {
            "class unknown": bits(unknown / T),
            "class given": bits(np.take_along_axis(logs, classes, axis=1) / T),
            "classes told right": float((logs.argmax(axis=1) == classes[:, 0]).mean()),
        }
    return found


def complete(params, n_head, colors, starts, rngs):
    """Draw the pixels that pictures lack, one after the other: [N, 1 + t] -> [N, 1 + T]."""
    rows = ids = starts.astype(np.int64)
    cache, T = KVCache(params, n_head, len(starts)), len(params["wpe"])
    while rows.shape[1] <= T:
        logits = gpt2(ids, params, n_head, cache, n_last=1)[:, -1, :colors]
        ids = sample(logits, Choice(temperature=1.0), rngs)[:, None]
        rows = np.concatenate([rows, ids], axis=1)
    return rows


def paint_of(palette, data):
    """Return red, green and blue, 0 to 1, of each colour and of a pixel that is not there: [k + 1, 3]."""
    levels = np.broadcast_to((palette - data.black) / (data.white - data.black), (len(palette), 3))
    return np.concatenate([levels, [(0.69, 0.77, 0.87)]]).clip(0, 1)


def draw_pictures(path, params, n_head, model, held, paint, data, seed, n=6, most=12):
    """Write a PNG: `n` drawings of each class; held-out pictures, their upper halves, `n - 2` completions.

    A completion does not know the class: it is drawn first, by how well it explains the upper half.
    """
    from matplotlib.figure import Figure

    colors, (height, width), n_classes = len(paint) - 1, data.pixels.shape[1:3], min(len(data.names), most)
    held = held[:most].astype(np.int64)
    top = held[:, : 1 + height // 2 * width]
    rngs = [np.random.default_rng([seed, i]) for i in range(n * most)]
    starts = np.tile(colors + np.arange(n_classes), n)[:, None]
    drawn = complete(params, n_head, colors, starts, rngs[: len(starts)])
    halves = np.tile(top, (n - 2, 1))
    chances = by_class(model, colors, len(data.names), halves)
    halves[:, 0] = colors + sample(chances, Choice(temperature=1.0), rngs[: len(halves)])
    completed = complete(params, n_head, colors, halves, rngs[: len(halves)])
    blank = np.pad(top, ((0, 0), (0, held.shape[1] - top.shape[1])), constant_values=colors)
    figure = Figure(figsize=(11, 3.3), dpi=150, layout="constrained")
    titles = "drawn, by class", "held out; upper half; completed from that alone"
    rows = drawn, np.concatenate([held, blank, completed])
    both = figure.subplots(1, 2, width_ratios=[n_classes, len(held)])
    for axes, title, tokens in zip(both, titles, rows, strict=True):
        axes.imshow(tile(paint[tokens[:, 1:]].reshape(-1, height, width, 3), n, paint[-1]))
        axes.set_title(title)
        axes.axis("off")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def draw_positions(path, wpe, data, n=8):
    """Write a PNG of the position embedding: each picture one channel, at the places of the pixels."""
    from matplotlib.figure import Figure

    (height, width), n_rows = data.pixels.shape[1:3], min(n, wpe.shape[1])
    channels = wpe.T[: wpe.shape[1] // n_rows * n_rows][: n * n]  # [channels, T]
    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(tile(channels.reshape(-1, height, width, 1), n_rows, np.nan)[..., 0], cmap="viridis")
    axes.set_title("position embedding, by channel")
    axes.axis("off")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def tile(pictures, n_rows, gap):
    """Lay pictures [N, H, W, channels] out in `n_rows` rows, a pixel of `gap` between them."""
    _, height, width, channels = pictures.shape
    framed = np.empty((len(pictures), height + 1, width + 1, channels))
    framed[...] = gap
    framed[:, :-1, :-1] = pictures
    grid = framed.reshape(n_rows, -1, height + 1, width + 1, channels)  # [row, column, y, x, channel]
    return grid.swapaxes(1, 2).reshape(n_rows * (height + 1), -1, channels)[:-1, :-1]


if __name__ == "__main__":
    runs.main(images)
