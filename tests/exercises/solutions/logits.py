"""Another right form of what the rung logits asks for."""

import numpy as np

from picogpt.gpt2 import check, transformer_block
from picogpt.ops import causal_mask, layer_norm, positions


def gpt2(ids, params, n_head, cache=None, acts=None, pad=None, n_last=None, p_drop=0.0, rng=None):
    ids = np.array(ids)
    check(ids, params, n_head, cache, pad, p_drop, rng)
    x = np.take(params["wte"], ids, axis=0) + params["wpe"][positions(0, ids.shape[1], pad)]
    mask = causal_mask(ids.shape[1], ids.shape[1], x.dtype.type, pad)
    acts = [] if acts is None else acts
    for block in params["blocks"]:
        acts.append({})
        x = transformer_block(x, **block, n_head=n_head, mask=mask, act=acts[-1])
    acts.append({})
    return (layer_norm(x, **params["ln_f"]) @ params["wte"].T)[:, -(n_last or ids.shape[1]) :]
