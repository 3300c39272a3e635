"""Image GPT: read pictures pixel by pixel like a text, learn to go on, and so draw and complete digits.

usage: python -m picogpt.projects.images [--out FOLDER] [flags]

The pictures are the 1797 handwritten digits that come with scikit-learn, of 8 x 8 pixels (E. Alpaydin and
C. Kaynak 1998, from the UCI repository, CC BY 4.0). Each becomes 65 tokens: its class, 0 to 9, from which
the model starts; then its pixels row by row, each by its nearest colour of a palette. The last fifth of the
pictures is held out. Leaves in FOLDER the model, log.jsonl with a line for each update, images.png with
drawings and completions, and result.json with bits per dimension beside those of simpler models.

{flags}

Needs scikit-learn and matplotlib: pip install -e ".[images]"

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import functools
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
from picogpt.system import flags
from picogpt.system.files import atomic_write
from picogpt.system.signature import Range
from picogpt.train import runs, trainer
from picogpt.train.settings import Recipe

CLASSES, SIDE = 10, 8
PROTOCOL = "bits per pixel, as its place in the palette; pictures 0 to 1436 trained on, the others held out"
PUBLISHED = dict(
    protocol="not to be compared: image GPT-S 2.0895 nats on ImageNet, 32 x 32 pixels, 512 colours;"
    " minGPT 2.535 on CIFAR-10, held out, after an epoch, 512 colours"
)


def images(
    *,
    out: flags.Out = "runs/images",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    colors: Annotated[int, Range(2, below=2**31), "colours of the palette, which k-means finds"] = 8,
    n_layer: flags.Layers = 4,
    n_head: flags.Heads = 4,
    n_embd: flags.Channels = 64,
    steps: flags.Steps = 3000,
    batch_size: Annotated[flags.BatchSize, "pictures in a batch"] = 32,
    lr: flags.LearningRate = 3e-3,
    dropout: flags.Dropout = 0.1,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
    seed: Annotated[flags.Seed, "of the palette, the weights, the batches and the drawings"] = 1337,
):
    """Train, measure and draw as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(images, locals())
    pixels, classes = load_digits()  # [N, 64], [N]
    rng, cut = np.random.default_rng(seed), len(pixels) * 4 // 5
    palette = np.sort(kmeans(pixels[:cut].reshape(-1, 1), colors, rng), axis=0)  # [k, 1], from paper to ink
    sequences = encode(pixels, classes, palette)  # [N, 65]
    seen, held = sequences[:cut], sequences[cut:]
    hparams = dict(n_vocab=colors + CLASSES, n_ctx=SIDE**2, n_embd=n_embd, n_head=n_head, n_layer=n_layer)
    check_hparams(hparams)
    params = init_params(hparams, rng)

    c = Recipe(steps=steps, lr=lr, min_lr=lr / 10, dropout=dropout)
    draw = functools.partial(random_batch, seen, batch_size)
    model = functools.partial(log_probs, params, n_head, colors)

    def look(step):
        return dict(val_bits=bits(model(held))) if step % 500 == 0 or step == steps else {}

    runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm), look)
    weights.save(run.folder, params, hparams)
    results = dict(parameters=n_params(hparams), palette=palette[:, 0].round(2).tolist(), protocol=PROTOCOL)
    results["bits per dimension"] = compare(model, seen, held, colors)
    draw_pictures(run.folder / "images.png", params, n_head, model, held, palette, seed)
    runs.finish(run, results, PUBLISHED)


def load_digits():
    """Return scikit-learn's digits: grey levels 0 (paper) to 16 (ink), [N, 64], and classes, [N]."""
    try:
        import matplotlib  # noqa: F401  (for draw_pictures, when all is done)
        from sklearn import datasets
    except ImportError as error:
        raise ValueError(f'{error.name} is not installed: pip install -e ".[images]"') from None
    return datasets.load_digits(return_X_y=True)


def kmeans(points, k, rng, n=8):
    """Find k centres, each the mean of the points that are nearest to it: points [N, d] -> [k, d].

    They begin as points, all different, and move to the means of theirs, `n` times; one that no point is
    nearest to is drawn again (Lloyd 1982; minGPT's play_image).
    """
    different = np.unique(points, axis=0)
    if k > len(different):
        raise ValueError(f"a palette of {k} colours is too large: the pictures have {len(different)}")
    centres = rng.permutation(different)[:k]
    for _ in range(n):
        own = nearest(points, centres)
        centres = np.array(
            [(points[own == i] if i in own else rng.choice(points, 1)).mean(axis=0) for i in range(k)]
        )
    return centres


def nearest(points, centres):
    """Return the place of the centre that is nearest to each point: [N, d], [k, d] -> [N]."""
    return ((points[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=-1)


def encode(pixels, classes, palette):
    """Return pictures as tokens, the class first: the colours are 0 to k - 1, and the classes follow them.

    pixels [N, 64], classes [N] -> [N, 65]
    """
    colors = nearest(pixels.reshape(-1, 1), palette).reshape(pixels.shape)
    return np.concatenate([len(palette) + classes[:, None], colors], axis=1)


def random_batch(sequences, batch_size, rng):
    """Draw pictures; return all of their tokens but the last, and what should come next: both [B, 64]."""
    rows = sequences[rng.integers(len(sequences), size=batch_size)]
    return rows[:, :-1], rows[:, 1:]


def log_probs(params, n_head, colors, sequences):
    """Return ln p of each pixel, given the class and the pixels before: [N, 1 + T] -> [N, T].

    Among the colours: that a class comes next is ruled out.
    """
    logits = gpt2(sequences[:, :-1], params, n_head)[..., :colors]
    return np.log(np.take_along_axis(softmax(logits), sequences[:, 1:, None], axis=-1)[..., 0])


def histogram_log_probs(seen, colors, sequences):
    """Return ln p of each pixel from how often, at its place, each colour was seen, plus one: -> [N, 64]."""
    counts = 1 + (seen[:, 1:, None] == np.arange(colors)).sum(axis=0)  # [64, k]
    return np.log(counts / counts.sum(axis=-1, keepdims=True))[np.arange(SIDE**2), sequences[:, 1:]]


def by_class(model, colors, sequences):
    """Return ln p of the pixels of each picture, were it of each class: [N, 1 + T] -> [N, 10]."""
    first = [np.full((len(sequences), 1), colors + i) for i in range(CLASSES)]
    return np.stack(
        [model(np.concatenate([one, sequences[:, 1:]], axis=1)).sum(axis=1) for one in first], axis=1
    )


def bits(logs):
    """Return the bits per dimension for ln p of each pixel."""
    return -float(logs.mean()) / math.log(2)


def compare(model, seen, held, colors):
    """Return each model's bits per dimension, and how often p(pixels | class) is largest for the class."""

    def class_histogram(sequences):
        own = seen[seen[:, 0] == sequences[0, 0]]
        return histogram_log_probs(own, colors, sequences)

    found = {"uniform": {"class unknown": math.log2(colors)}}
    found["histogram of each pixel"] = {"class unknown": bits(histogram_log_probs(seen, colors, held))}
    for name, each in (("histogram of each pixel and class", class_histogram), ("image GPT", model)):
        logs = by_class(each, colors, held)  # [N, 10]
        given = np.take_along_axis(logs, held[:, :1] - colors, axis=1)
        unknown = np.logaddexp.reduce(logs, axis=1) - math.log(CLASSES)
        found[name] = {
            "class unknown": bits(unknown / SIDE**2),
            "class given": bits(given / SIDE**2),
            "classes told right": float((logs.argmax(axis=1) == held[:, 0] - colors).mean()),
        }
    return found


def complete(params, n_head, colors, starts, rngs):
    """Draw the pixels that pictures lack, one after the other: [N, 1 + T] -> [N, 65]."""
    cache, ids, rows = KVCache(params, n_head, len(starts)), starts, starts
    while rows.shape[1] <= SIDE**2:
        logits = gpt2(ids, params, n_head, cache, n_last=1)[:, -1, :colors]
        ids = sample(logits, Choice(temperature=1.0), rngs)[:, None]
        rows = np.concatenate([rows, ids], axis=1)
    return rows


def draw_pictures(path, params, n_head, model, held, palette, seed, n=6, shown=12):
    """Write a PNG: `n` drawings of each class; held-out pictures, their upper halves, `n - 2` completions.

    A completion does not know the class: it is drawn first, by how well it explains the upper half.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colors, top = len(palette), held[:shown, : 1 + SIDE**2 // 2]
    rngs = [np.random.default_rng([seed, i]) for i in range(n * max(CLASSES, shown))]
    starts = np.tile(colors + np.arange(CLASSES), n)[:, None]
    drawn = complete(params, n_head, colors, starts, rngs[: len(starts)])
    halves = np.tile(top, (n - 2, 1))
    halves[:, 0] = colors + sample(
        by_class(model, colors, halves), Choice(temperature=1.0), rngs[: len(halves)]
    )
    completed = complete(params, n_head, colors, halves, rngs[: len(halves)])
    paint = np.append(palette[:, 0], np.nan)  # of a pixel that is not there: none
    blank = np.pad(top, ((0, 0), (0, SIDE**2 // 2)), constant_values=colors)
    figure = Figure(figsize=(11, 3.3), dpi=150, layout="constrained")
    ink = colormaps["gray_r"].with_extremes(bad="lightsteelblue")
    titles = "drawn, by class", "held out; upper half; completed from that alone"
    rows = drawn, np.concatenate([held[:shown], blank, completed])
    both = figure.subplots(1, 2, width_ratios=[CLASSES, shown])
    for axes, title, tokens in zip(both, titles, rows, strict=True):
        axes.imshow(tile(paint[tokens[:, 1:]], n), cmap=ink)
        axes.set_title(title)
        axes.axis("off")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def tile(pictures, n_rows):
    """Lay pictures [N, 64] out in `n_rows` rows, a pixel of nothing between them, as one picture."""
    squares = np.pad(pictures.reshape(-1, SIDE, SIDE), ((0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    grid = squares.reshape(n_rows, -1, SIDE + 1, SIDE + 1)  # [row, column, y, x]
    return grid.swapaxes(1, 2).reshape(n_rows * (SIDE + 1), -1)[:-1, :-1]


if __name__ == "__main__":
    runs.main(images)
