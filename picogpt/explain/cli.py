"""Look inside a model: one HTML page of what it does with a prompt.

usage: python -m picogpt.explain PROMPT [flags]

Continues the prompt by the likeliest tokens and writes what happens inside to a page that needs nothing
else, no network either: the probabilities of each next token, the attention of every head, what each layer
would say, what each part adds, what happens without a head, and the lines of source with their shapes.

{flags}

Most of the work is for the heads: without each of them, all layers after it are computed again.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import base64
import html
import json
import logging
import re
import shutil
import webbrowser
from pathlib import Path
from typing import Annotated

import numpy as np

from picogpt import cli, gpt2, ops
from picogpt.checkpoints import weights
from picogpt.descendants import erf, tricks
from picogpt.explain import insides, trace
from picogpt.generate import generate
from picogpt.ops import softmax
from picogpt.params.shapes import n_params
from picogpt.system import command, flags, machine, progress
from picogpt.system.files import atomic_write, check_out, read_text

log = logging.getLogger("picogpt")
MOST = 128  # tokens in a page: attention grows with their square
KEPT = 200  # logits in the page after each token
TEMPERATURES = [n / 20 for n in range(1, 41)]
SHADES = " .:-=+*#%@"


def explain(
    prompt: Annotated[str | None, "the text to look at; without it, or with -, it is read from stdin"] = None,
    *,
    n: Annotated[flags.Whole, "how many tokens to add ({}). With those of the prompt, at most 128"] = 8,
    model: flags.Model = "tales",
    models_dir: flags.ModelsDir = "models",
    out: Annotated[str, "FILE", "the page"] = "explain.html",
    open: Annotated[bool, "show it in the browser"] = False,
    text: Annotated[
        bool, "write to the terminal instead: tokens, the five likeliest after each, attention"
    ] = False,
    threads: flags.Threads = 0,
):
    """Explain as the docstring of this module says; these are the command's flags."""
    command.check(explain, locals())
    log.setLevel(logging.INFO)
    machine.set_threads(threads)
    if not text:
        check_out(out)
    prompt = cli.read_prompt(prompt)
    params, hparams, encoder = weights.load_with_encoder(model, models_dir)
    ids, n_prompt = continue_ids(prompt, n, params, hparams, encoder)
    if text:
        print("\n".join(as_text(params, hparams, encoder, ids)))
        return
    data = gather(params, hparams, encoder, ids, n_prompt, Path(model).resolve().name)
    path = write_page(out, data)
    log.info("%s is written, %.0f kB", path, path.stat().st_size / 1000)
    if open:
        webbrowser.open(path.absolute().as_uri())


def continue_ids(prompt, n, params, hparams, encoder):
    """Return the ids of the prompt and its continuation, and how many of them are the prompt's."""
    ids = encoder.encode(prompt) or [encoder.start]
    most = min(MOST, hparams["n_ctx"])
    if len(ids) + n > most:
        raise ValueError(
            f"{len(ids)} tokens of the prompt and {n} new ones are more than the {most} that a page"
            " can show: give a shorter prompt or a smaller --n"
        )
    return ids + generate(params, hparams["n_head"], [ids], n)[0], len(ids)


def gather(params, hparams, encoder, ids, n_prompt, name):
    """Return all that the page shows, as what JSON can hold; arrays are packed, see `pack`."""
    n_head, acts, logits = hparams["n_head"], [], []
    steps = trace.follow(
        lambda: logits.append(gpt2.gpt2([ids], params, n_head, acts=acts)), [gpt2, ops, tricks, erf]
    )
    logits = logits[0][0]  # [T, V]
    kept = insides.likeliest(logits, KEPT)  # [T, KEPT]
    watched = np.stack([[*ids[1:], kept[-1, 0]], kept[:, 0]], axis=-1)  # [T, 2]: what follows, the likeliest
    lens = see_through(params, acts, watched)
    ablation = switch_off(params, acts, n_head, watched)
    rows, columns = np.tril_indices(len(ids))
    attention = insides.attention_maps(params, acts)[..., rows, columns]  # [n_layer, H, T (T + 1) / 2]
    named = {int(i) for array in (ids, kept, lens["ids"], ablation["says"]) for i in np.ravel(array)}
    packed = dict(
        top=dict(
            ids=kept.astype(np.uint32),
            logits=np.take_along_axis(logits, kept, axis=-1).astype(np.float32),
            rest=insides.log_sum_rest(logits, kept, TEMPERATURES).astype(np.float32),
        ),
        attention=np.round(attention * 255).astype(np.uint8),
        watched=watched.astype(np.uint32),
        lens=lens,
        stream=add_up(params, acts, ids),
        ablation=ablation,
    )
    return dict(
        model=dict(name=name, hparams=hparams, n_params=n_params(hparams)),
        ids=[int(i) for i in ids],
        n_prompt=n_prompt,
        bytes=[token_bytes(encoder, i).hex(" ") for i in ids],
        texts={i: token_text(encoder, i) for i in sorted(named)},
        temperatures=TEMPERATURES,
        time_weighting="time_weighting" in params["blocks"][0]["attn"],
        steps=steps,
        **pack(packed),
    )


def see_through(params, acts, watched):
    """Return what the model would say after each layer: five ids and probabilities, those of the watched."""
    ids, probs, of_watched = [], [], []
    for x in insides.streams(acts):
        p = softmax(insides.read_out(params, x))  # [T, V]
        ids.append(insides.likeliest(p, 5))
        probs.append(np.take_along_axis(p, ids[-1], axis=-1))
        of_watched.append(np.take_along_axis(p, watched, axis=-1))
    numbers = dict(probs=np.array(probs, np.float32), watched=np.array(of_watched, np.float32))
    return dict(ids=np.array(ids, np.uint32), **numbers)


def switch_off(params, acts, n_head, watched):
    """Return the probabilities of the watched tokens without each head, and what is then the likeliest."""
    after, says = [], []
    for layer in progress.bar(range(len(params["blocks"])), "switching heads off", leave=False):
        for x in insides.streams_without_heads(params, acts, n_head, layer):
            p = softmax(insides.read_out(params, x))  # [T, V]: of one head at a time, as V is large
            after.append(np.take_along_axis(p, watched, axis=-1))
            says.append(p.argmax(axis=-1))
    shape = len(params["blocks"]), n_head, len(watched)
    return dict(
        after=np.array(after, np.float32).reshape(*shape, 2), says=np.array(says, np.uint32).reshape(shape)
    )


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


def pack(tree):
    """Return a tree with each array as its shape, type and bytes in base64, the smallest byte first."""
    if isinstance(tree, dict):
        return {key: pack(value) for key, value in tree.items()}
    if not isinstance(tree, np.ndarray):
        return tree
    kind = tree.dtype.newbyteorder("<")
    content = base64.b64encode(tree.astype(kind).tobytes()).decode()
    return dict(shape=list(tree.shape), dtype=kind.str[1:], base64=content)


def token_bytes(encoder, i):
    """Return the bytes of a token, also of a tokenizer that knows only characters."""
    return encoder.token_bytes(i) if hasattr(encoder, "token_bytes") else encoder.decode([i]).encode()


def token_text(encoder, i):
    r"""Return the text of a token; bytes that are not a whole character stand as \xe2."""
    return token_bytes(encoder, i).decode("utf-8", errors="backslashreplace")


def quoted(encoder, i):
    r"""Return the text of a token in quotes; bytes that are not whole characters stand as '\xe2'."""
    content = token_bytes(encoder, i)
    try:
        return repr(content.decode())
    except UnicodeDecodeError:
        return repr(content)[1:]


def write_page(path, data):
    """Write the page: the template beside this file, with the data in it; return its path."""
    path, template = Path(path), read_text(Path(__file__).with_name("page.html"))
    title = html.escape(f"Inside {data['model']['name']}")
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    with atomic_write(path) as file:
        parts = dict(title=title, data=content)  # put in at once: a title may look like a place
        file.write(re.sub(r"\{\{(title|data)\}\}", lambda place: parts[place[1]], template).encode())
    return path


def as_text(params, hparams, encoder, ids):
    """Yield the lines that say the same in a terminal, as far as characters can."""
    acts = []
    logits = gpt2.gpt2([ids], params, hparams["n_head"], acts=acts)[0]
    kept, probs = insides.likeliest(logits, 5), softmax(logits)
    texts = [quoted(encoder, i) for i in ids]
    yield "tokens, and the five likeliest after each"
    for t, i in enumerate(ids):
        after = "  ".join(f"{quoted(encoder, j)} {probs[t, j]:.1%}" for j in kept[t])
        yield f"{t:3d} {i:6d} {texts[t]:16s} {token_bytes(encoder, i).hex(' '):30s} {after}"
    maps = insides.attention_maps(params, acts).mean(axis=1)  # [n_layer, T, T]
    at_once = max(1, (shutil.get_terminal_size().columns - 14) // (len(ids) + 2))
    yield "\nattention, mean of the heads: a row looks at the tokens of its columns, from 0 to 1 as"
    yield f"{SHADES!r}, the root of the weight"
    for begin in range(0, len(maps), at_once):
        some = range(begin, min(begin + at_once, len(maps)))
        heads = "  ".join(f"layer {n + 1}".ljust(len(ids))[: len(ids)] for n in some)
        yield "\n" + (" " * 14 + heads).rstrip()
        for t, text in enumerate(texts):
            rows = (np.sqrt(maps[n, t]) * (len(SHADES) - 1) for n in some)
            drawn = ("".join(SHADES[round(float(w))] for w in row) for row in rows)
            yield (f"{text[:12]:>12s}  " + "  ".join(drawn)).rstrip()
