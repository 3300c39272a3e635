"""All the numbers of a page, gathered from the model and packed as JSON can hold them."""

import base64

import numpy as np

from picogpt import gpt2, ops
from picogpt.descendants import erf, positions, tricks
from picogpt.explain import backwards, insides, one_step, trace
from picogpt.explain.prompts import OTHERS
from picogpt.explain.tokens import token_bytes, token_text
from picogpt.ops import softmax
from picogpt.params.shapes import n_params
from picogpt.params.tree import walk
from picogpt.system import progress

KEPT = 200  # logits in the page after each token
TEMPERATURES = [n / 20 for n in range(1, 41)]
NEURONS = 5  # of each layer, those that fire most
LEARNERS = 8  # neurons with the largest gradients
VECTORS = 300_000  # bytes in the page for queries, keys and values
LARGEST = 400_000_000  # parameters of a model that is copied for a step of learning
# The steps of attention, and the beginning of the line of ops.py that does each.
WALK = dict(
    scores="scores = (q *",
    mask="scores += mask",
    largest="scores -= scores.max",
    weights="return np.exp(scores)",
    sum="weights /= weights.sum",
    values="return dropout(weights, keep) @ v",
)


def gather(params, hparams, encoder, ids, n_prompt, name):
    """Return all that the page shows, as what JSON can hold; arrays are packed, see `pack`."""
    n_head, acts, logits = hparams["n_head"], [], []
    steps = trace.follow(
        lambda: logits.append(gpt2.gpt2([ids], params, n_head, acts=acts)),
        [gpt2, ops, tricks, positions, erf],
    )
    logits = logits[0][0]  # [T, V]
    kept = insides.likeliest(logits, KEPT)  # [T, KEPT]
    watched = np.stack([[*ids[1:], kept[-1, 0]], kept[:, 0]], axis=-1)  # [T, 2]: what follows, the likeliest
    packed = dict(
        top=dict(
            ids=kept.astype(np.uint32),
            logits=np.take_along_axis(logits, kept, axis=-1).astype(np.float32),
            rest=insides.log_sum_rest(logits, kept, TEMPERATURES).astype(np.float32),
        ),
        watched=watched.astype(np.uint32),
        scores=triangle(insides.attention_scores(params, acts)),
        vectors=vectors(acts, n_head),
        lens=look_through_lens(params, acts, watched),
        neurons=fire(params, acts, watched),
        stream=add_up(params, acts, ids),
        ablation=ablate_heads(params, acts, n_head, watched),
    )
    if len(ids) > 1:
        packed["back"] = go_back(params, n_head, ids)
    others = known(encoder, OTHERS, hparams["n_ctx"])
    if len(ids) > 1 and n_params(hparams) <= LARGEST:
        packed["step"] = one_step.before_and_after(params, n_head, ids, [e for _, e in others])
    named = {int(i) for array in ids_in(packed) for i in np.ravel(array)} | set(ids)
    return dict(
        model=dict(name=name, hparams=hparams, n_params=n_params(hparams)),
        ids=[int(i) for i in ids],
        n_prompt=n_prompt,
        bytes=[token_bytes(encoder, i).hex(" ") for i in ids],
        texts={i: token_text(encoder, i) for i in sorted(named)},
        temperatures=TEMPERATURES,
        rates=one_step.RATES,
        others=[text for text, _ in others],
        arrays=[path for path, _ in walk(params)],
        lines=source_lines(),
        time_weighting="time_weighting" in params["blocks"][0]["attn"],
        tied="lm_head" not in params,
        positions=len(params["wpe"]),
        steps=steps,
        **pack(packed),
    )


def known(encoder, prompts, n_ctx):
    """Return (prompt, its ids) of those that this tokenizer can write and this context hold."""
    found = []
    for prompt in prompts:
        try:
            found.append((prompt, encoder.encode(prompt)))
        except ValueError:  # a tokenizer of characters knows only those of its text
            continue
    return [(prompt, ids) for prompt, ids in found if 0 < len(ids) <= n_ctx]


def ids_in(packed):
    """Yield the arrays of token ids among those of a page, whose texts it needs."""
    yield from (packed["top"]["ids"], packed["watched"], packed["lens"]["ids"])
    yield from (packed["ablation"]["says"], packed["neurons"]["promotes"])
    if "step" in packed:
        yield packed["step"]["likeliest"]


def triangle(square):
    """Return the lower triangles of [..., T, T], their rows one after the other: [..., T (T + 1) / 2]."""
    rows, columns = np.tril_indices(square.shape[-1])
    return square[..., rows, columns].astype(np.float32)


def vectors(acts, n_head):
    """Return the queries, keys and values, [n_layer, H, T, d] each: as many of their D numbers as fit."""
    T, C = acts[0]["ln_1"].shape[1:]
    D = C // n_head
    d = max(1, min(D, VECTORS // (3 * 4 * len(acts[:-1]) * n_head * T)))
    stacked = {key: np.stack([act[key][0] for act in acts[:-1]])[..., :d] for key in ("q", "k", "v")}
    return {key: array.astype(np.float32) for key, array in stacked.items()}


def look_through_lens(params, acts, watched):
    """Return what the model would say after each layer: five ids and probabilities, those of the watched."""
    ids, probs, of_watched = [], [], []
    for x in insides.streams(acts):
        p = softmax(insides.logit_lens(params, x))  # [T, V]
        ids.append(insides.likeliest(p, 5))
        probs.append(np.take_along_axis(p, ids[-1], axis=-1))
        of_watched.append(np.take_along_axis(p, watched, axis=-1))
    numbers = dict(probs=np.array(probs, np.float32), watched=np.array(of_watched, np.float32))
    return dict(ids=np.array(ids, np.uint32), **numbers)


def ablate_heads(params, acts, n_head, watched):
    """Return the probabilities of the watched tokens without each head, and what is then the likeliest."""
    after, says = [], []
    for layer in progress.bar(range(len(params["blocks"])), "switching heads off", leave=False):
        for x in insides.streams_without_heads(params, acts, n_head, layer):
            p = softmax(insides.logit_lens(params, x))  # [T, V]: of one head at a time, as V is large
            after.append(np.take_along_axis(p, watched, axis=-1))
            says.append(p.argmax(axis=-1))
    shape = len(params["blocks"]), n_head, len(watched)
    return dict(
        after=np.array(after, np.float32).reshape(*shape, 2), says=np.array(says, np.uint32).reshape(shape)
    )


def fire(params, acts, watched):
    """Return the neurons that fire most in each layer, and what they do to the logits of the watched tokens.

    ids, values [n_layer, T, k]; effect [n_layer, T, k, 2] on the two watched; promotes [n_layer, T, k, 3]:
    the tokens whose logits each raises most.
    """
    found = dict(ids=[], values=[], effect=[], promotes=[])
    for layer in progress.bar(range(len(params["blocks"])), "neurons", leave=False):
        ids, values, written = insides.firing(params, acts, layer, NEURONS)
        effects, promotes = [], []
        for n in range(ids.shape[-1]):
            effect = insides.direct_effect(params, acts, written[:, n])  # [T, V]
            effects.append(np.take_along_axis(effect, watched, axis=-1))
            promotes.append(insides.likeliest(effect, 3))
        found["ids"].append(ids)
        found["values"].append(values)
        found["effect"].append(np.stack(effects, axis=1))
        found["promotes"].append(np.stack(promotes, axis=1))
    kinds = dict(ids=np.uint32, values=np.float32, effect=np.float32, promotes=np.uint32)
    return {key: np.array(found[key], kind) for key, kind in kinds.items()}


def add_up(params, acts, ids):
    """Return who adds to the stream, how long what each adds is, which share of the end it is, and the sums.

    The share is the part of the final stream's length that points the added vector's way: x_added . x_end /
    |x_end|^2. The shares add up to 1; one below 0 takes away.
    """
    added = insides.contributions(params, acts, ids)
    x = np.stack(list(added.values()))  # [who, T, C]
    sums = x.cumsum(axis=0)
    share = (x * sums[-1]).sum(axis=-1) / (sums[-1] * sums[-1]).sum(axis=-1)
    lengths = {key: np.linalg.norm(value, axis=-1) for key, value in dict(added=x, sums=sums).items()}
    lengths = {key: value.astype(np.float32) for key, value in lengths.items()}
    return dict(names=list(added), share=share.astype(np.float32), **lengths)


def go_back(params, n_head, ids):
    """Return the backward pass of the loss at each token t but the last, whose target is the token after it.

    loss [T - 1]; of the lower triangle, tokens s up to t: stream [n_layer + 1, triangle], the length of the
    gradient at token s, and relevance [triangle]; heads [T - 1, n_layer, H], arrays [T - 1, arrays], and of
    the neurons with the largest gradients layer and number, [T - 1, k, 2], and length, [T - 1, k].
    """
    found = dict(loss=[], stream=[], relevance=[], heads=[], arrays=[], neurons=[], lengths=[])
    for t in progress.bar(range(len(ids) - 1), "the backward pass", leave=False):
        loss, dstream, grads = backwards.way_back(params, n_head, ids[: t + 1], ids[t + 1])
        neurons = backwards.lengths_of_neurons(grads)  # [n_layer, 4C]
        largest = np.argsort(-neurons, axis=None, kind="stable")[:LEARNERS]
        found["loss"].append(loss)
        found["stream"].append(backwards.length(dstream, axis=-1))  # [n_layer + 1, t + 1]
        found["relevance"].append(backwards.relevance(params, ids[: t + 1], dstream))
        found["heads"].append(backwards.lengths_of_heads(grads, n_head))
        found["arrays"].append(backwards.lengths_of_arrays(grads))
        found["neurons"].append(np.stack(np.unravel_index(largest, neurons.shape), axis=-1))
        found["lengths"].append(neurons.ravel()[largest])
    joined = {key: np.concatenate(found.pop(key), axis=-1) for key in ("stream", "relevance")}
    arrays = {key: np.array(value, np.float32) for key, value in (found | joined).items()}
    return arrays | dict(neurons=arrays["neurons"].astype(np.uint32))


def source_lines():
    """Return the line of ops.py of each step of attention: {step: [number, text]}."""
    return {name: trace.find_line(ops, text) for name, text in WALK.items()}


def pack(tree):
    """Return a tree with each array as its shape, type and bytes in base64, the smallest byte first."""
    if isinstance(tree, dict):
        return {key: pack(value) for key, value in tree.items()}
    if not isinstance(tree, np.ndarray):
        return tree
    kind = tree.dtype.newbyteorder("<")
    content = base64.b64encode(tree.astype(kind).tobytes()).decode()
    return dict(shape=list(tree.shape), dtype=kind.str[1:], base64=content)
