"""ReZero: each block begins as if it were not there, and learns how much it adds (Bachlechner et al. 2020).

    x = x + rezero * attention(ln_1(x))
    x = x + rezero * feed_forward(ln_2(x))

The factor, one number for both parts of a block, begins at 0: at first a model of any depth hands on its
embeddings, and so do its gradients. minGPT-tuned tried it with GPT-2's norms, which stay here as there; the
paper leaves them out. A factor of what a projection makes is one of its weights and biases, so the block here
is GPT-2's, with c_proj scaled.
"""

import numpy as np

from picogpt import gpt2, grad


def transformer_block(x, attn, mlp, rezero, **rest):
    """Compute GPT-2's block with both of its projections scaled by rezero [1]: x [B, T, C] -> [B, T, C]."""
    return gpt2.transformer_block(x, attn=scaled(attn, rezero), mlp=scaled(mlp, rezero), **rest)


def transformer_block_backward(dy, act, attn, mlp, rezero, **rest):
    """With w' = rezero * w: dw = rezero * dw', drezero = sum(w * dw'), and b as w. -> dx, gradients."""
    dx, grads = grad.transformer_block_backward(
        dy, act, attn=scaled(attn, rezero), mlp=scaled(mlp, rezero), **rest
    )
    drezero = np.zeros_like(rezero)
    for name, part in (("attn", attn), ("mlp", mlp)):
        for leaf, w in part["c_proj"].items():
            drezero += (w * grads[name]["c_proj"][leaf]).sum()
        grads[name] = scaled(grads[name], rezero)
    return dx, grads | dict(rezero=drezero)


def scaled(part, factor):
    """Return the arrays of a part, or its gradients, with those of c_proj times the factor [1]."""
    return part | dict(c_proj={leaf: factor * w for leaf, w in part["c_proj"].items()})
