"""ReZero: each block begins as if it were not there, and learns how much it adds (Bachlechner et al. 2020).

    x = x + rezero * attention(ln_1(x))
    x = x + rezero * feed_forward(ln_2(x))

The factor, one number for both parts of a block, begins at 0: at first a model of any depth hands on its
embeddings, and so do its gradients. minGPT-tuned tried it with GPT-2's norms, which stay here as there; the
paper leaves them out. The block here is GPT-2's, or that with norms after, whose parts get the factor along
with their own arrays.
"""

from picogpt import gpt2, grad


def transformer_block(x, attn, mlp, rezero, **rest):
    """Compute a block whose parts are multiplied by rezero [1]: x [B, T, C] -> [B, T, C]."""
    factor = dict(rezero=rezero)
    return gpt2.transformer_block(x, attn=attn | factor, mlp=mlp | factor, **rest)


def transformer_block_backward(dy, act, attn, mlp, rezero, **rest):
    """Back through it; the factor's derivative is the sum of both parts'. -> dx [B, T, C], gradients."""
    factor = dict(rezero=rezero)
    dx, grads = grad.transformer_block_backward(dy, act, attn=attn | factor, mlp=mlp | factor, **rest)
    return dx, grads | dict(rezero=grads["attn"].pop("rezero") + grads["mlp"].pop("rezero"))


def scale(y, rezero, act, name):
    """Multiply what a part puts out, and remember it: y [B, T, C] -> [B, T, C]."""
    act[name] = y
    return y * rezero


def scale_backward(dy, rezero, y):
    """With y' = rezero * y: dy = rezero * dy', drezero = sum(dy' * y). -> [B, T, C], [1]"""
    return dy * rezero, (dy * y).sum().reshape(1)
