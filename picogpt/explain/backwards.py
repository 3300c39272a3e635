"""The backward pass through a text: how long the gradient is at each token, and for each part of the model.

The gradients are those of `grad.py`; here they are only measured. The length of a gradient is the root of the
sum of its numbers' squares.
"""

import numpy as np

from picogpt.gpt2 import gpt2
from picogpt.grad import cross_entropy_backward, gpt2_backward
from picogpt.ops import cross_entropy
from picogpt.params.tree import walk


def way_back(params, n_head, ids, target):
    """Follow the loss at the last of `ids`, -ln p(target), back to the embeddings.

    -> the loss; its derivatives by the residual stream before the first block and after each,
    [n_layer + 1, T, C]; and those by the parameters, a tree like `params`.
    """
    acts, dstream = [], []
    logits = gpt2([ids], params, n_head, acts=acts)
    targets = np.array([[-1] * (len(ids) - 1) + [target]])
    dlogits = cross_entropy_backward(1.0, logits, targets)
    grads = gpt2_backward(dlogits, np.array([ids]), params, n_head, acts, dstream=dstream)
    return cross_entropy(logits, targets), np.concatenate(dstream[::-1]), grads


def length(*arrays, axis=None):
    """Return the root of the sum of squares of arrays, each summed over all axes or those given."""
    return np.sqrt(sum((a * a).sum(axis=axis) for a in arrays))


def lengths_of_arrays(grads):
    """Return the length of the gradient of each array of parameters, in the order of `walk`: [arrays]."""
    return np.array([length(g) for _, g in walk(grads)], np.float32)


def lengths_of_heads(grads, n_head):
    """Return the length of the gradient of all weights of each head: [n_layer, H].

    A head's are its columns of c_attn, for query, key and value, and its rows of c_proj.
    """
    found = []
    for block in grads["blocks"]:
        c_attn, c_proj = block["attn"]["c_attn"]["w"], block["attn"]["c_proj"]["w"]
        into = c_attn.reshape(len(c_attn), 3, n_head, -1)  # [C, 3, H, D]
        out = c_proj.reshape(n_head, -1, c_proj.shape[-1])  # [H, D, C]
        found.append(np.hypot(length(into, axis=(0, 1, 3)), length(out, axis=(1, 2))))
    return np.array(found, np.float32)


def lengths_of_neurons(grads):
    """Return the length of the gradient of all weights of each neuron: [n_layer, 4C].

    A neuron's are its column of c_fc and its row of c_proj.
    """
    found = []
    for block in grads["blocks"]:
        into, out = block["mlp"]["c_fc"]["w"], block["mlp"]["c_proj"]["w"]
        found.append(np.hypot(length(into, axis=0), length(out, axis=1)))
    return np.array(found, np.float32)


def relevance(params, ids, dstream):
    """Return how much of the loss hangs on each token: its embedding times its gradient, [T].

    To first order, that is how much the loss would grow if the embedding were longer by a hundredth, times a
    hundred; below 0: the token speaks for what came.
    """
    return (params["wte"][ids] * dstream[0]).sum(axis=-1)
