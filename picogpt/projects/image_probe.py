"""What a model of pictures has understood: a linear probe of each layer, as image GPT's authors do.

A picture's features at a layer are the mean, over all pixels, of what the layer's norm gives; a logistic
regression learns from them to tell the class (Chen et al. 2020, section 3.4). Of image GPT it is better in
the middle than at the end, where the model is busy with the next pixel. Here a class comes first in each
sequence; so that it tells nothing, the features are averaged over all classes in that place. A model that
looks both ways, see masked_images.py, has no classes: it reads the pixels, all of them visible.
"""

import math

import numpy as np

from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.system.machine import split


def features(params, n_head, sequences, n_classes, piece=1 << 15):
    """Return the features of pictures at each layer: [N, 1 + T] -> [n_layer + 1, N, C].

    Layer l is what block l + 1 reads, the last what the output head reads. `piece` tokens are read at a time.
    """
    n_vocab, n_layer, (N, T) = len(params["wte"]), len(params["blocks"]), sequences[:, :-1].shape
    both_ways = "both_ways" in params["blocks"][0]["attn"]
    starts = [None] if both_ways else range(n_vocab - n_classes, n_vocab)  # the ids of the classes
    found = np.zeros((n_layer + 1, N, params["wte"].shape[1]))
    for rows in split(N, math.ceil(N * T / piece)):
        pixels = sequences[rows, 1:].astype(np.int64)
        for start in starts:
            ids, acts = pixels if start is None else np.insert(pixels[:, :-1], 0, start, axis=1), []
            gpt2(ids, params, n_head, acts=acts, n_last=T)
            for layer, act in enumerate(acts):
                found[layer, rows] += act["ln_f" if layer == n_layer else "ln_1"].mean(axis=1)
    return found / len(starts)


def logistic_regression(x, labels, n_classes, decay=1e-3, n=300):
    """Return w [D + 1, K] that tells labels [N] from x [N, D]; its last row is the bias.

    It minimises the mean of -ln softmax(x w)[label], plus decay / 2 |w|^2 without the bias, by `n` steps of
    Nesterov's accelerated gradient descent. Their length is 1 / L for a gradient that changes by no more than
    L |dw|: for softmax, half of the largest eigenvalue of x x / N, plus the decay (Boehning 1992).
    """
    x = np.pad(x, ((0, 0), (0, 1)), constant_values=1)
    targets = np.eye(n_classes)[labels]  # [N, K]
    decays = np.append(np.full(x.shape[1] - 1, decay), 0)[:, None]
    rate = 1 / (np.linalg.eigvalsh(x.T @ x / len(x))[-1] / 2 + decay)
    w = before = np.zeros((x.shape[1], n_classes))
    for step in range(n):
        ahead = w + step / (step + 3) * (w - before)
        gradient = x.T @ (softmax(x @ ahead) - targets) / len(x) + decays * ahead
        before, w = w, ahead - rate * gradient
    return w


def accuracy(seen, seen_classes, held, held_classes, n_classes):
    """Return how often a logistic regression on features [N, D] is right about those that are held out."""
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    scale = 1 / np.where(deviation > 0, deviation, 1)
    w = logistic_regression((seen - mean) * scale, seen_classes, n_classes)
    told = ((held - mean) * scale @ w[:-1] + w[-1]).argmax(axis=-1)
    return float((told == held_classes).mean())


def probe(models, n_head, seen, held, colors, n_classes, pixels):
    """Return {model: {layer: accuracy}} for sequences of both kinds, and that of the pixels themselves.

    models: {name: params}; seen, held [N, 1 + T], in the first column the classes, from id `colors` on;
    pixels: the levels of both, [N, D] each
    """
    classes = [sequences[:, 0].astype(int) - colors for sequences in (seen, held)]
    found = {
        "the pixels themselves": {"0": accuracy(pixels[0], classes[0], pixels[1], classes[1], n_classes)}
    }
    for name, params in models.items():
        layers = zip(*(features(params, n_head, each, n_classes) for each in (seen, held)), strict=True)
        found[name] = {
            str(layer): accuracy(a, classes[0], b, classes[1], n_classes)
            for layer, (a, b) in enumerate(layers)
        }
    return found
