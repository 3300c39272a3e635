"""The drawings of the book, made when it is made: every number in them comes from the code.

A function here is named as a chapter asks for it, ```drawing softmax```, and returns a Drawing with a title
and a description in words.
"""

import functools
import re

import numpy as np

from book.source import read
from book.svg import WIDTH, Drawing
from picogpt.checkpoints import weights
from picogpt.generate import keep_top_k, keep_top_p
from picogpt.gpt2 import KVCache, gpt2
from picogpt.grad import (
    cross_entropy_backward,
    gelu_backward,
    gpt2_backward,
)
from picogpt.ops import attention_probs, causal_mask, cross_entropy, gelu, layer_norm, softmax
from picogpt.params.tree import flatten
from picogpt.train.optim import SCHEDULES, adamw_init, adamw_step, learning_rate

SENTENCE = "The king had a daughter, and she was"


@functools.cache
def tales():
    """Return (params, n_head, encoder) of the bundled model."""
    params, hparams, encoder = weights.load(weights.shipped("tales"))
    return params, hparams["n_head"], encoder


@functools.cache
def forward():
    """Return (ids [T], the words, the activations, the logits) of the bundled model for SENTENCE."""
    params, n_head, encoder = tales()
    ids, acts = encoder.encode(SENTENCE), []
    logits = gpt2(np.array([ids]), params, n_head, acts=acts)
    return ids, [encoder.decode([i]).strip() for i in ids], acts, logits


def probabilities(layer):
    """Return who looks at whom in a layer for SENTENCE: [H, T, T]."""
    act = forward()[2][layer]
    return attention_probs(act["q"], act["k"], forward()[2][-1]["mask"])[0]


def size(tree):
    """Return how many numbers are in a tree, in words."""
    n = sum(w.size for w in flatten(tree).values()) if isinstance(tree, dict | list) else tree.size
    return f"{n:,}"


def model():
    """The whole model: a stream from the embedding to the logits, to which each block adds twice."""
    params, n_head, _ = tales()
    (V, C), L, block = params["wte"].shape, len(params["blocks"]), params["blocks"][0]
    d = Drawing("model", "The whole model", 470)
    x = 70
    d.text(x, 16, "ids of T tokens", "middle")
    d.arrow(x, 22, x, 40)
    d.box(x - 60, 40, 120, 30)
    d.text(x, 60, "wte[ids] + wpe[: T]", "middle", "small")
    d.text(x + 70, 52, f"{size(params['wte'])} + {size(params['wpe'])} numbers", class_="soft")
    d.text(x + 70, 65, f"a row of {C} for each of {V:,} tokens and", class_="soft")
    d.text(x + 70, 78, f"of {len(params['wpe'])} places", class_="soft")
    d.line([(x, 70), (x, 380)], "stream")
    d.box(12, 92, 356, 232, class_="dashed")
    d.text(360, 316, f"{L} such blocks, each {size(block)} numbers", "end", "soft")
    for y, norm, name, inner, n in (
        (108, "ln_1", "attention", f"c_attn [{C}, {3 * C}], {n_head} heads, c_proj", size(block["attn"])),
        (208, "ln_2", "feed-forward", f"c_fc [{C}, {4 * C}], gelu, c_proj", size(block["mlp"])),
    ):
        d.arrow(x, y + 12, x + 50, y + 12)
        d.box(x + 50, y, 44, 24)
        d.text(x + 72, y + 16, norm, "middle", "small")
        d.arrow(x + 94, y + 12, x + 116, y + 12)
        d.box(x + 116, y, 174, 44)
        d.text(x + 203, y + 17, f"{name}: {n} numbers", "middle", "small")
        d.text(x + 203, y + 34, inner, "middle", "soft")
        d.line([(x + 203, y + 44), (x + 203, y + 68)])
        d.arrow(x + 203, y + 68, x + 10, y + 68)
        d.add("circle", cx=x, cy=y + 68, r=9, class_="box")
        d.text(x, y + 72.5, "+", "middle")
    d.text(x - 12, 196, "stream [T, C]", "middle", "soft", transform=f"rotate(-90 {x - 12} 196)")
    d.arrow(x, 324, x, 348)
    for y, name, note in (
        (348, "ln_f", f"{size(params['ln_f'])} numbers"),
        (396, "@ wte.T", "the embedding again, no numbers of its own"),
    ):
        d.box(x - 60, y, 120, 26)
        d.text(x, y + 17, name, "middle", "small")
        d.text(x + 70, y + 17, note, class_="soft")
    d.arrow(x, 374, x, 396)
    d.arrow(x, 422, x, 440)
    d.text(x, 456, f"logits [T, {V:,}]", "middle")
    d.description = (
        f"Token ids become rows of {C} numbers, the stream. In each of {L} blocks attention, behind the norm"
        " ln_1, reads the stream and adds to it, then the feed-forward layer behind ln_2. After the"
        f" last block a norm and a product with the embedding make {V:,} logits for each token."
        f" The bundled model has {size(params)} numbers."
    )
    return d


def softmax_drawing():
    """Scores, and what softmax makes of them when they are divided by three temperatures."""
    scores, temperatures = np.array([2.0, 1.0, 0.0, -1.0]), (0.5, 1.0, 2.0)
    d = Drawing("softmax", "softmax at three temperatures", 172)
    said = []
    for n, t in enumerate(temperatures):
        left, probs = 14 + n * 124, softmax(scores / t)
        d.text(left + 52, 16, f"softmax(x / {t:g})", "middle", "small")
        for j, p in enumerate(probs):
            x, h = left + j * 27, 100 * p
            d.box(x, 132 - h, 22, h, 0.75)
            d.text(x + 11, 126 - h, f"{p:.2f}", "middle", "soft")
            d.text(x + 11, 147, f"{scores[j]:g}", "middle", "small")
        d.line([(left - 4, 132), (left + 107, 132)])
        said.append(f"divided by {t:g}: " + ", ".join(f"{p:.2f}" for p in probs))
    d.text(WIDTH / 2, 166, "the scores x", "middle", "soft")
    d.description = "Probabilities of the scores 2, 1, 0 and -1; " + "; ".join(said) + "."
    return d


def curves(d, x, functions, box, limits):
    """Draw functions over x, each with its class, into a box (left, top, width, height)."""
    (left, top, width, height), (low, high) = box, limits
    across = left + (x - x[0]) / (x[-1] - x[0]) * width
    zero = top + height * high / (high - low)
    d.line([(left, zero), (left + width, zero)], "faint")
    for y, class_ in functions:
        d.line(list(zip(across, top + height * (high - y) / (high - low), strict=True)), class_)


def gelu_drawing():
    """gelu between the line x and 0, and its slope."""
    x = np.linspace(-4, 4, 81)
    y, slope = gelu(x), gelu_backward(np.ones_like(x), x)
    d = Drawing("gelu", "gelu and its slope", 214)
    box, limits = (24, 14, 332, 170), (-0.5, 4)
    curves(d, x, [(np.maximum(x, 0), "faint"), (slope, "second"), (y, "curve")], box, limits)
    for tick in (-4, -2, 0, 2, 4):
        d.text(24 + (tick + 4) / 8 * 332, 206, tick, "middle", "soft")
    d.text(322, 44, "gelu", "end", "first-word")
    d.text(350, 128, "its slope", "end", "second-word")
    d.text(250, 60, "relu, faint", "end", "soft")
    d.description = (
        f"gelu follows 0 on the left and x on the right. Its lowest value is {y.min():.2f} at x ="
        f" {x[y.argmin()]:.1f}; its slope rises from 0 to {slope.max():.2f} at x = {x[slope.argmax()]:.1f},"
        " and comes back to 1."
    )
    return d


def words_beside(d, words, left, top, cell):
    """Write the words of the queries at the left and of the keys above a table of cells."""
    for i, word in enumerate(words):
        d.text(left - 5, top + (i + 0.7) * cell, word, "end", "small")
        x = left + (i + 0.65) * cell
        d.text(x, top - 5, word, class_="small", transform=f"rotate(-55 {x:.0f} {top - 5})")


def attention():
    """One head's probabilities for a sentence, and the triangle that the mask hides."""
    words, cell = forward()[1], 26
    found = {(layer, head): p for layer in range(4) for head, p in enumerate(probabilities(layer))}
    (layer, head), probs = max(found.items(), key=lambda item: np.tril(item[1][:, 1:], -2).max(axis=1).sum())
    d = Drawing("attention", f"Who looks at whom: head {head} of block {layer}", 80 + len(words) * cell)
    words_beside(d, words, 80, 70, cell)
    hidden = causal_mask(len(words), len(words), np.float32) < 0
    d.cells(80, 70, cell, probs, hidden)
    most = [(words[i], words[int(row.argmax())], row.max()) for i, row in enumerate(probs)][1:]
    said = "; ".join(f"{q} most at {k}, {p:.0%}" for q, k, p in most)
    d.description = (
        "A row for each token, a square for each token that it may look at, the fuller the more it looks;"
        f" later ones are crossed out by the mask. {said}."
    )
    return d


def mask():
    """The causal mask for all tokens at once, for two after a cache, and with padding."""
    d = Drawing("mask", "Which keys a query sees", 150)
    for x, title, table in (
        (14, "T = 5, S = 5", causal_mask(5, 5, np.float32)),
        (142, "T = 2, S = 5", causal_mask(2, 5, np.float32)),
        (270, "pad = 2", causal_mask(5, 5, np.float32, np.array([2]))[0, 0]),
    ):
        d.text(x + 48, 16, title, "middle", "small")
        d.cells(x, 26, 19, np.full(table.shape, 0.7), table < 0)
    d.text(14, 140, "full: 0, the query sees the key; crossed: -1e10, it does not", class_="soft")
    d.description = (
        "Three tables of queries, downwards, and keys, to the right. Five tokens at once: a triangle, each"
        " sees itself and those before. Two tokens after three in a cache: the last two rows of that"
        " triangle. With two tokens of padding the first two columns are hidden as well."
    )
    return d


def heads():
    """All heads of two blocks, each looking its own way."""
    n_head, words = tales()[1], forward()[1]
    cell = 80 / len(words)
    d = Drawing("heads", "Each head looks its own way", 232)
    said = []
    for row, layer in enumerate((0, len(tales()[0]["blocks"]) - 1)):
        for h, probs in enumerate(probabilities(layer)):
            x, y = 12 + h * 92, 24 + row * 110
            d.text(x + 40, y - 6, f"block {layer}, head {h}", "middle", "soft")
            d.box(x, y, 80, 80, class_="grid")
            for i in range(len(words)):
                for j in range(i + 1):
                    d.box(x + j * cell, y + i * cell, cell, cell, float(probs[i, j]))
            before = np.mean([probs[i, i - 1] for i in range(1, len(words))])
            own = np.mean(np.diagonal(probs)[1:])
            said.append(f"block {layer} head {h}: {own:.0%} to itself, {before:.0%} to the token before")
    d.description = (
        f"Small tables, one for each of {n_head} heads of the first and the last block: {'; '.join(said)}."
    )
    return d


def stream():
    """What the model would say after each block, and how long the stream is."""
    params, _, encoder = tales()
    acts = forward()[2]
    d = Drawing("stream", f'"{SENTENCE}": the stream of the last token', 56 + 38 * len(acts))
    lengths = [float(np.linalg.norm(act["x"][0, -1])) for act in acts]
    d.text(12, 16, "after", class_="soft")
    d.text(120, 16, "length", class_="soft")
    d.text(250, 16, "the likeliest next token", class_="soft")
    said = []
    for n, act in enumerate(acts):
        y = 30 + n * 38
        probs = softmax(layer_norm(act["x"][0, -1], **params["ln_f"]) @ params["wte"].T)
        word, p = encoder.decode([int(probs.argmax())]).strip(), float(probs.max())
        name = "embedding" if n == 0 else f"block {n - 1}"
        d.text(12, y + 15, name, class_="small")
        d.box(120, y, 110 * lengths[n] / max(lengths), 20, 0.6)
        d.text(124, y + 15, f"{lengths[n]:.1f}", class_="small")
        d.text(250, y + 15, f"{word}  {p:.0%}", class_="small")
        said.append(f"after {name}: length {lengths[n]:.1f}, {word} {p:.0%}")
    d.text(12, 46 + 38 * len(acts), "each block adds; the head can read the stream anywhere", class_="soft")
    d.description = (
        f"The residual stream of the last token, read by the head at each stage; {'; '.join(said)}."
    )
    return d


def cache():
    """The cache of keys and values, call by call: what is computed, what is looked up."""
    params, n_head, encoder = tales()
    cache, ids = KVCache(params, n_head), encoder.encode("Once upon a time there")
    calls, before = [3, 1, 1], []
    d = Drawing("cache", "The cache fills, call by call", 206)
    for n in calls:
        at = cache.length
        gpt2([ids[at : at + n]], params, n_head, cache)
        before.append((at, cache.length))
    for row, (at, length) in enumerate(before):
        y = 34 + row * 54
        d.text(12, y + 16, f"call {row + 1}", class_="small")
        for j in range(len(ids)):
            x = 70 + j * 60
            if j < length:
                d.box(x, y - 4, 54, 28, 0.55 if j >= at else 0.15)
            d.add("rect", x=x, y=y - 4, width=54, height=28, class_="grid")
            if j < length:
                d.text(x + 27, y + 14, encoder.decode([ids[j]]).strip(), "middle", "small")
        d.text(70, y + 38, f"{at} looked up, {length - at} computed, length {length}", class_="soft")
    d.text(12, 16, "keys and values of each token, in every layer and head", class_="soft")
    d.text(12, 198, "full: computed in this call; pale: found in the cache", class_="soft")
    said = "; ".join(f"call {n + 1} computes {b - a} and finds {a}" for n, (a, b) in enumerate(before))
    d.description = f"Five tokens in three calls: {said}. A key once computed stays."
    return d


def layer_norm_drawing():
    """A row before and after the norm."""
    x = np.array([2.0, 2.5, 3.0, 7.0, 4.0, 2.2, 3.6, 1.7])
    y = layer_norm(x, np.ones(8), np.zeros(8))
    d = Drawing("layer_norm", "A row before and after layer_norm", 168)
    for left, row, title in ((14, x, "before"), (204, y, "after")):
        zero, unit = 110, 12
        moments = f"{title}: mean {abs(row.mean()):.2f}, deviation {row.std():.2f}"
        d.text(left + 80, 16, moments, "middle", "small")
        for j, value in enumerate(row):
            top = zero - unit * max(value, 0)
            d.box(left + j * 20, top, 16, unit * abs(value), 0.7)
        d.line([(left - 4, zero), (left + 162, zero)])
        d.line([(left - 4, zero - unit * row.mean()), (left + 162, zero - unit * row.mean())], "second")
    d.text(14, 160, "the line is the mean; shape and order stay", class_="soft")
    d.description = (
        f"Eight numbers with mean {x.mean():.2f} and deviation {x.std():.2f}; after the norm the same shape"
        f" around 0 with deviation 1: {', '.join(f'{v:.2f}' for v in y)}."
    )
    return d


def loss():
    """What is predicted, what came, and the gradient, their difference."""
    params, n_head, encoder = tales()
    ids = encoder.encode("Once upon a time there was")
    logits = gpt2(np.array([ids[:-1]]), params, n_head)[0, -1]
    probs, target = softmax(logits), ids[-1]
    order = list(np.argsort(-probs)[:6])
    order = order if target in order else [*order[:5], target]
    dlogits = cross_entropy_backward(1.0, logits[None], np.array([target]))[0]
    d = Drawing("loss", "What was predicted, and where the gradient pulls", 60 + 26 * len(order))
    d.text(12, 16, "next token", class_="soft")
    d.text(90, 16, "predicted", class_="soft")
    d.text(225, 16, "gradient: predicted - came", class_="soft")
    for n, i in enumerate(order):
        y = 26 + n * 26
        d.text(12, y + 14, encoder.decode([int(i)]).strip() or "(space)", class_="small")
        d.box(90, y, 110 * float(probs[i]), 18, 0.7)
        d.text(94 + 110 * float(probs[i]), y + 14, f"{probs[i]:.2f}", class_="soft")
        g = float(dlogits[i])
        d.box(300 + min(0, 70 * g), y, 70 * abs(g), 18, 0.7 if g > 0 else 0.35)
        d.text(304 if g < 0 else 304 + 70 * g, y + 14, f"{g:+.2f}", class_="soft")
    d.line([(300, 22), (300, 26 + 26 * len(order))])
    value = float(cross_entropy(logits[None], np.array([target])))
    came = encoder.decode([target]).strip()
    d.text(12, 50 + 26 * len(order), f'"{came}" came: the loss is {value:.2f} nats', class_="soft")
    d.description = (
        f"After Once upon a time there the model gives {came} {probs[target]:.2f}, a loss of {value:.2f}"
        f" nats. The gradient by its logit is {dlogits[target]:+.2f}, by all others what was"
        f" predicted; {len(order)} are shown."
    )
    return d


def backward():
    """The gradient's length through the blocks, beside the stream's, forwards and back."""
    params, n_head, _ = tales()
    ids, _, acts, logits = forward()
    targets = np.array([[*ids[1:], -1]])
    dlogits = cross_entropy_backward(1.0, logits, targets)
    dstream = []
    gpt2_backward(dlogits, np.array([ids]), params, n_head, list(acts), dstream=dstream)
    lengths = [float(np.linalg.norm(dx)) for dx in reversed(dstream)]
    stages = ["embedding", *(f"block {n}" for n in range(len(params["blocks"])))]
    d = Drawing("backward", "Forwards and back: the stream, and the gradient by it", 96 + 52 * len(stages))
    top = 34
    d.text(70, 16, "forward: |x|", "middle", "soft")
    d.text(310, 16, "back: |dx|", "middle", "soft")
    xs = [float(np.linalg.norm(act["x"])) for act in acts]
    for n, stage in enumerate(stages):
        y = top + n * 52
        d.box(130, y, 120, 30)
        d.text(190, y + 19, stage, "middle", "small")
        d.text(70, y + 44, f"{xs[n]:.1f}", "middle", "small")
        d.arrow(100, y + 30, 100, y + 52)
        d.arrow(280, y + 52, 280, y + 30)
        d.text(310, y + 44, f"{lengths[n]:.3f}", "middle", "small")
    y = top + len(stages) * 52
    d.box(130, y, 120, 30)
    d.text(190, y + 19, "head and loss", "middle", "small")
    value = float(cross_entropy(logits, targets))
    d.text(190, y + 48, f"loss {value:.2f} nats", "middle", "soft")
    pairs = zip(stages, xs, lengths, strict=True)
    said = "; ".join(f"after {stage} |x| {a:.1f}, |dx| {b:.3f}" for stage, a, b in pairs)
    d.description = (
        f"The stream's length, forwards, and the gradient's, back: {said}; the loss is {value:.2f}."
    )
    return d


def adamw():
    """AdamW and plain gradient descent, from the same place in the same narrow valley."""
    start, steps, steep = np.array([-3.4, 1.6]), 40, np.array([0.05, 2.0])

    def descend(step_from):
        places = [start.copy()]
        for n in range(1, steps + 1):
            places.append(step_from(places[-1].copy(), n))
        return np.array(places)

    w = start.copy()
    moments = adamw_init(dict(w=w))

    def adam(place, n):
        adamw_step(dict(w=w), dict(w=steep * w), moments, n, lr=0.25, betas=(0.8, 0.95), weight_decay=0.0)
        return w.copy()

    paths = [(descend(lambda p, n: p - 0.9 * steep * p), "second"), (descend(adam), "curve")]
    d = Drawing("adamw", "Forty steps in a narrow valley", 216)

    def on_paper(p):
        return [(190 + 48 * a, 100 - 48 * b) for a, b in p]

    for level in (0.02, 0.08, 0.3, 1.0, 2.4):
        rx, ry = (2 * level / steep) ** 0.5
        d.add("ellipse", cx=190, cy=100, rx=48 * rx, ry=48 * ry, class_="faint")
    for path, class_ in paths:
        d.line(on_paper(path), class_)
        for x, y in on_paper(path):
            d.add("circle", cx=x, cy=y, r=1.6, class_=f"{class_} head")
    d.text(12, 196, "AdamW, lr 0.25", class_="first-word")
    d.text(140, 196, "gradient descent, lr 0.9", class_="second-word")
    ends = [np.linalg.norm(path[-1]) for path, _ in paths]
    d.text(12, 211, f"distance to the bottom after {steps}: {ends[1]:.2f} and {ends[0]:.2f}", class_="soft")
    d.description = (
        "Contours of a valley forty times as steep across as along. Gradient descent jumps from wall to wall"
        f" and creeps along; AdamW, which scales each direction by itself, is {ends[1]:.2f} from the bottom"
        f" after {steps} steps, gradient descent {ends[0]:.2f}."
    )
    return d


def schedule():
    """The learning rate by step, for each schedule."""
    steps = np.arange(0, 121)
    d = Drawing("schedule", "The learning rate, step by step", 190)
    said = []
    for n, name in enumerate(SCHEDULES):
        x, y = 14 + n % 2 * 186, 14 + n // 2 * 88
        rates = np.array([learning_rate(int(s), 1.0, 0.1, 20, 120, name) for s in steps])
        curves(d, steps, [(rates, "curve")], (x, y, 166, 60), (0, 1.05))
        d.text(x + 83, y + 74, name, "middle", "small")
        said.append(f"{name}: {rates[60]:.2f} at step 60, {rates[-1]:.2f} at the end")
    d.description = f"Warm-up to 1 over 20 steps, then to step 120 with min_lr 0.1; {'; '.join(said)}."
    return d


def top_p():
    """The likeliest next tokens, and which of them top_k and top_p leave."""
    params, n_head, encoder = tales()
    ids = encoder.encode("There was once a")
    logits = gpt2(np.array([ids]), params, n_head, n_last=1)[0]
    probs = softmax(logits)[0]
    order = np.argsort(-probs)[:10]
    kept = [("top_k 4", keep_top_k(logits, 4)[0]), ("top_p 0.5", keep_top_p(logits, 0.5)[0])]
    d = Drawing("top_p", '"There was once a": the ten likeliest tokens', 60 + 22 * len(order))
    for n, (name, _) in enumerate(kept):
        d.text(270 + n * 62, 16, name, "middle", "soft")
    for row, i in enumerate(order):
        y = 24 + row * 22
        d.text(78, y + 13, encoder.decode([int(i)]).strip(), "end", "small")
        d.box(84, y, 130 * float(probs[i] / probs[order[0]]), 16, 0.7)
        d.text(88 + 130 * float(probs[i] / probs[order[0]]), y + 13, f"{probs[i]:.3f}", class_="soft")
        for n, (_, left) in enumerate(kept):
            d.text(270 + n * 62, y + 13, "kept" if np.isfinite(left[i]) else "-", "middle", "small")
    counts = [int(np.isfinite(left).sum()) for _, left in kept]
    said = f"top_k 4 keeps {counts[0]}, top_p 0.5 keeps {counts[1]}"
    d.text(12, 50 + 22 * len(order), f"of {len(probs):,} tokens {said}", class_="soft")
    shown = ", ".join(f"{encoder.decode([int(i)]).strip()} {probs[i]:.3f}" for i in order)
    d.description = f"The likeliest tokens: {shown}. Of all, {said}."
    return d


def bytes_and_time():
    """The time of a token against the bytes of the weights, as docs/speed.md measured them."""
    row = next(line for line in read("docs/speed.md").splitlines() if line.startswith("| parameters |"))
    pairs = re.findall(r"([\d.]+) at ([\d,]+\d)", row)  # milliseconds, parameters of 4 bytes
    found = [(float(ms), int(n.replace(",", "")) * 4 / 1e9) for ms, n in pairs]
    d = Drawing("bytes", "Bytes of the weights, and the time of a token", 210)
    gigabytes, ms = max(g for _, g in found), max(t for t, _ in found)
    d.line([(46, 14), (46, 168), (366, 168)])
    points = [(46 + 300 * g / gigabytes, 168 - 140 * t / ms) for t, g in found]
    d.line([(46, 168), *points], "curve")
    for (t, g), (x, y) in zip(found, points, strict=True):
        d.add("circle", cx=x, cy=y, r=3.5, class_="curve head")
        d.text(x - 7, y - 6, f"{t:g} ms", "end", "small")
        d.text(x, 183, f"{g:.1f} GB", "middle", "small")
    rates = [g / t * 1000 for t, g in found]
    d.text(46, 202, f"weights read at {min(rates):.0f} to {max(rates):.0f} GB a second", class_="soft")
    said = ", ".join(f"{t:g} ms for {g:.2f} GB of weights" for t, g in found)
    d.description = (
        f"A token takes {said}: that is {min(rates):.0f} to {max(rates):.0f} GB a second, nearly in"
        " proportion. Measured in docs/speed.md."
    )
    return d


DRAWINGS = dict(
    model=model, softmax=softmax_drawing, layer_norm=layer_norm_drawing, gelu=gelu_drawing,
    attention=attention, mask=mask, heads=heads, stream=stream, cache=cache, loss=loss,
    backward=backward, adamw=adamw,
    schedule=schedule, top_p=top_p, bytes=bytes_and_time,
)  # fmt: skip
BESIDE = {  # a function of a source file, and the drawing that stands beside it
    "picogpt/pico.py#gpt2": "model",
    "picogpt/ops.py#causal_mask": "mask",
    "picogpt/gpt2.py#KVCache": "cache",
    "picogpt/gpt2.py#split_heads": "heads",
    "picogpt/gpt2.py#transformer_block": "stream",
    "picogpt/grad.py#gpt2_backward": "backward",
    "picogpt/train/optim.py#learning_rate": "schedule",
    "picogpt/generate.py#keep_top_p": "top_p",
}
