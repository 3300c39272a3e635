"""The page in a terminal: what can be shown by characters."""

import shutil

import numpy as np

from picogpt import gpt2
from picogpt.explain import insides
from picogpt.explain.tokens import quoted, token_bytes
from picogpt.ops import softmax

SHADES = " .:-=+*#%@"


def as_text(params, hparams, encoder, ids):
    """Yield the lines that show in a terminal what characters can show of the page."""
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
