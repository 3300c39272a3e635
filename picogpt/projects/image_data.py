"""Pictures as tokens: files of pictures, a palette by k-means, and each pixel by its nearest colour.

A set of pictures is scikit-learn's digits, or lies in a folder: CIFAR-10's binary files, as A. Krizhevsky
gives them out, or PNGs, whose folders within this one are their classes.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picogpt.system.files import open_file, read_bytes

CIFAR_BATCH, CIFAR_SHAPE = re.compile(r"data_batch_\d+\.bin"), (3, 32, 32)  # the red levels, green, blue
LARGEST = 1 << 12  # pixels of a picture, each of which is a token of the context
PIECE = 1 << 22  # distances that are in memory at a time
MOST_POINTS = 250_000  # pixels that k-means looks at, as many as minGPT's


class Pictures(NamedTuple):
    """A set of pictures: first those that are trained on, then those that are held out."""

    pixels: np.ndarray  # levels [N, H, W, channels], one channel if all is grey
    classes: np.ndarray  # [N], from 0 on
    names: list  # of the classes
    n_seen: int  # how many are trained on
    black: float  # the level of black
    white: float  # and of white


def load(folder, rng):
    """Return the Pictures in a folder, or scikit-learn's digits; `rng` draws which PNGs are held out."""
    if not folder:
        return digits()
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is no folder: give one of CIFAR-10's binary files, or of PNGs")
    batches = sorted(path for path in Path(folder).iterdir() if CIFAR_BATCH.fullmatch(path.name))
    return cifar10(Path(folder), batches) if batches else pngs(Path(folder), rng)


def digits():
    """Return scikit-learn's digits, 8 x 8, levels 0 (paper) to 16 (ink); the last fifth is held out."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ValueError(f'{error.name} is not installed: pip install -e ".[images]"') from None
    pixels, classes = datasets.load_digits(return_X_y=True)
    names = [str(i) for i in range(10)]
    return Pictures(pixels.reshape(-1, 8, 8, 1), classes, names, len(pixels) * 4 // 5, black=16, white=0)


def cifar10(folder, batches):
    """Return CIFAR-10: data_batch_*.bin to train on, test_batch.bin held out; a record is class, pixels."""
    size, parts = 1 + int(np.prod(CIFAR_SHAPE)), []
    for path in [*batches, folder / "test_batch.bin"]:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: it has the pictures that are held out")
        content = np.frombuffer(read_bytes(path), np.uint8)
        if not content.size or content.size % size:
            raise ValueError(
                f"{path} has {content.size:,} bytes, no multiple of {size:,}: a class and 3 x 32 x 32 levels,"
                " as in the binary version of CIFAR-10"
            )
        parts.append(content.reshape(-1, size))
        if (worst := int(parts[-1][:, 0].max())) > 9:
            raise ValueError(f"{path} has a picture of class {worst}: CIFAR-10 has 0 to 9")
    records = np.concatenate(parts)
    pixels = records[:, 1:].reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1)
    classes, n_seen = records[:, 0].astype(int), len(records) - len(parts[-1])
    meta = folder / "batches.meta.txt"
    names = read_bytes(meta, 1 << 16).decode(errors="replace").split() if meta.is_file() else []
    names = names if len(names) == 10 else [str(i) for i in range(10)]
    return Pictures(pixels, classes, names, n_seen, black=0, white=255)


def pngs(folder, rng):
    """Return the PNGs of a folder, all of one size; a fifth of them, drawn at random, are held out.

    Those in folders within it have these as classes; if there are none, all are of one class.
    """
    paths = sorted(folder.glob("*/*.png")) or sorted(folder.glob("*.png"))
    if len(paths) < 5:
        raise ValueError(
            f"{folder} has {len(paths)} PNGs, and no data_batch_1.bin: give a folder of five PNGs or more, or"
            " of folders of them, one for each class"
        )
    pixels = []
    for path in paths:
        pixels.append(read_png(path))
        if pixels[-1].shape != pixels[0].shape:
            (h, w), (first_h, first_w) = pixels[-1].shape[:2], pixels[0].shape[:2]
            raise ValueError(
                f"{path} has {w} x {h} pixels, {paths[0]} {first_w} x {first_h}: make them alike"
            )
    pixels, order = np.array(pixels), rng.permutation(len(paths))
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    names = sorted({path.parent.name for path in paths})
    classes = np.array([names.index(path.parent.name) for path in paths])
    return Pictures(pixels[order], classes[order], names, len(paths) - len(paths) // 5, black=0, white=255)


def read_png(path):
    """Return the levels of a PNG: [H, W, 3] uint8; what is transparent is on black."""
    try:
        from PIL import Image
    except ImportError:
        raise ValueError('PNGs need Pillow, which is not installed: pip install -e ".[images]"') from None
    with open_file(path) as file:
        try:
            with Image.open(file, formats=["PNG"]) as image:  # only its header is read
                if image.width * image.height <= LARGEST:
                    return np.asarray(image.convert("RGB"))
                size = f"{image.width} x {image.height}"
        except Exception as error:  # of whatever kind: a damaged file makes Pillow stumble anywhere
            raise ValueError(f"{path} is no PNG that can be read: {' '.join(str(error).split())}") from None
    raise ValueError(f"{path} has {size} pixels, and {LARGEST:,} are the most: make it smaller, say 32 x 32")


def palette_of(pixels, k, rng):
    """Return k colours for pictures [N, H, W, channels], from dark to light in one channel: [k, channels]."""
    points = pixels.reshape(-1, pixels.shape[-1])
    if len(points) > MOST_POINTS:
        points = points[rng.integers(len(points), size=MOST_POINTS)]
    centres = kmeans(points.astype(np.float64), k, rng)
    return np.sort(centres, axis=0) if pixels.shape[-1] == 1 else centres


def kmeans(points, k, rng, n=8):
    """Find k centres, each the mean of the points that are nearest to it: points [N, d] -> [k, d].

    They begin as points, all different, and move to the means of theirs, `n` times; one that no point is
    nearest to is drawn again (Lloyd 1982; minGPT's play_image).
    """
    different = np.unique(points, axis=0)
    if k > len(different):
        raise ValueError(
            f"a palette of {k} colours is too large: the pictures have {len(different)} (--colors)"
        )
    centres = rng.permutation(different)[:k]
    for _ in range(n):
        own = nearest(points, centres)
        counts = np.bincount(own, minlength=k)
        sums = np.array([np.bincount(own, axis, minlength=k) for axis in points.T]).T  # [k, d]
        centres = sums / np.maximum(counts, 1)[:, None]
        for i in np.flatnonzero(counts == 0):
            centres[i] = rng.choice(points)
    return centres


def nearest(points, centres):
    """Return the place of the centre that is nearest to each point: [N, d], [k, d] -> [N] uint16.

    Of |p - c|^2 = |p|^2 - 2 p c + |c|^2 the first part is the same for all centres.
    """
    found, step = np.empty(len(points), np.uint16), max(1, PIECE // len(centres))
    for begin in range(0, len(points), step):
        piece = slice(begin, begin + step)
        found[piece] = ((centres**2).sum(axis=-1) - 2 * (points[piece] @ centres.T)).argmin(axis=-1)
    return found


def encode(pixels, classes, palette):
    """Return pictures as tokens, the class first: the colours are 0 to k - 1, and the classes follow them.

    pixels [N, H, W, channels], classes [N] -> [N, 1 + H W] uint16, row by row from the upper left
    """
    tokens = np.empty((len(pixels), 1 + pixels[0, ..., 0].size), np.uint16)
    tokens[:, 0] = len(palette) + classes
    tokens[:, 1:] = nearest(pixels.reshape(-1, pixels.shape[-1]), palette).reshape(len(pixels), -1)
    return tokens
