"""The right gradients of the model, and the usual mistakes: below each line, what is written in its place."""

import numpy as np

from picogpt.gpt2 import gpt2
from picogpt.grad import (
    cross_entropy_backward,
    embedding_backward,
    layer_norm_backward,
    transformer_block_backward,
)
from picogpt.ops import cross_entropy


def gpt2_backward(dlogits, ids, params, n_head, acts, dnormed=0):
    end, wte = acts[-1], params["wte"]
    dwte = np.einsum("btv,btc->vc", dlogits, end["ln_f"])  # of wte as head
    # wrong: dwte = np.zeros_like(wte)
    # wte has only its gradient as embedding; as head it has one too: add both.
    dx = dlogits @ wte + dnormed
    # wrong: dx = dlogits @ wte
    # dnormed is ignored: it is added to what comes back through the head, before ln_f.
    dx, dln_f = layer_norm_backward(dx, end["x"], **params["ln_f"])
    # wrong: dln_f = layer_norm_backward(dx, end["x"], **params["ln_f"])[1]
    # The gradient does not go through ln_f: its layer_norm_backward makes the dx that goes on.
    dblocks = []
    for block, act in zip(params["blocks"][::-1], acts[-2::-1], strict=True):
        # wrong: for block, act in zip(params["blocks"], acts, strict=False):
        # The blocks are gone through from the first to the last; the backward pass begins with the last.
        dx, dblock = transformer_block_backward(dx, act, **block, n_head=n_head, mask=end["mask"])
        # wrong: _, dblock = transformer_block_backward(dx, act, **block, n_head=n_head, mask=end["mask"])
        # All blocks get the same dx; each one's dx is the next one's, going back.
        # wrong: dx, dblock = transformer_block_backward(dx, act, **block, n_head=n_head)
        # The mask is not handed on to transformer_block_backward; it is in the last of acts.
        dblocks.insert(0, dblock)
        # wrong: dblocks.append(dblock)
        # The blocks' gradients are in reverse order: the last block comes first.
    embedding_backward(dx, ids, dwte)  # and as embedding
    # wrong: pass
    # wte has only its gradient as head; as embedding it has one too: add both.
    dwpe = np.zeros_like(params["wpe"])
    dwpe[: ids.shape[1]] = dx.sum(axis=0)
    # wrong: pass
    # wpe has no gradient; it was added to the embedding of every token.
    # wrong: dwpe[: ids.shape[1]] = dx.mean(axis=0)
    # The gradient of wpe is the sum over the batch, not the mean.
    # wrong: dwpe = dx.sum(axis=0)
    # The gradient of wpe has only T rows; positions that were not used have gradient 0.
    return dict(wte=dwte, wpe=dwpe, blocks=dblocks, ln_f=dln_f)


def loss_and_grads(params, ids, targets, n_head, p_drop=0.0, rng=None, scale=1.0):
    if targets.min() < -1 or not -1 < targets.max() < len(params["wte"]):
        # wrong: if False:
        # Targets that are no ids, or all -1, are a ValueError, as the docstring says.
        raise ValueError("targets must be ids, or -1, and not all of them -1")
    acts = []
    logits = gpt2(ids, params, n_head, acts=acts)
    loss = cross_entropy(logits, targets) * scale
    # wrong: loss = cross_entropy(logits, targets)
    # scale multiplies the gradients but not the loss.
    # wrong: loss = np.exp(cross_entropy(logits, targets)) * scale
    # That is the perplexity e^loss; the loss is asked for.
    dlogits = cross_entropy_backward(scale, logits, targets)
    # wrong: dlogits = cross_entropy_backward(1.0, logits, targets)
    # scale multiplies the loss but not the gradients.
    return loss, gpt2_backward(dlogits, ids, params, n_head, acts)
    # wrong: return gpt2_backward(dlogits, ids, params, n_head, acts)
    # Only the gradients are returned; the loss comes first: loss, gradients.
