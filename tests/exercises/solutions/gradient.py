"""Another right form of what the rung gradient asks for."""

import numpy as np

from picogpt.grad import embedding_backward, layer_norm_backward, transformer_block_backward


def gpt2_backward(dlogits, ids, params, n_head, acts, dnormed=0):
    last, dwpe = acts[-1], np.zeros_like(params["wpe"])
    dwte = np.einsum("btv,btc->vc", dlogits, last["ln_f"])
    dx, dln_f = layer_norm_backward(dlogits @ params["wte"] + dnormed, last["x"], **params["ln_f"])
    dblocks = [None] * len(params["blocks"])
    for i in range(len(dblocks))[::-1]:
        block = params["blocks"][i]
        dx, dblocks[i] = transformer_block_backward(dx, acts[i], **block, n_head=n_head, mask=last["mask"])
    embedding_backward(dx, ids, dwte)
    for row in dx:
        dwpe[: len(row)] += row
    return dict(blocks=dblocks, ln_f=dln_f, wpe=dwpe, wte=dwte)
