"""The architecture as a table of shapes: which arrays a GPT-2 consists of, for given hyper-parameters.

`hparams` are OpenAI's (hparams.json): n_vocab, n_ctx, n_embd, n_head, n_layer.
"""

import math

from picogpt.tree import walk


def gpt2_hparams(n_embd, n_head, n_layer):
    """Return the hyper-parameters of one of OpenAI's models; vocabulary and context are the same in all."""
    return dict(n_vocab=50257, n_ctx=1024, n_embd=n_embd, n_head=n_head, n_layer=n_layer)


SIZES = {
    "124M": gpt2_hparams(n_embd=768, n_head=12, n_layer=12),
    "355M": gpt2_hparams(n_embd=1024, n_head=16, n_layer=24),
    "774M": gpt2_hparams(n_embd=1280, n_head=20, n_layer=36),
    "1558M": gpt2_hparams(n_embd=1600, n_head=25, n_layer=48),
}


def param_shapes(n_vocab, n_ctx, n_embd, n_head, n_layer):
    """Return the tree of shapes of a GPT-2's `params`, under the names of OpenAI's checkpoints.

    Each linear layer is {"w": [in, out], "b": [out]}, each layer norm {"g": [C], "b": [C]} (gain, bias).
    `n_head` shapes nothing: the heads lie side by side in the columns of c_attn.

    >>> shapes = param_shapes(**SIZES["124M"])
    >>> shapes["wte"], shapes["wpe"], len(shapes["blocks"])
    ((50257, 768), (1024, 768), 12)
    >>> shapes["blocks"][0]["attn"]
    {'c_attn': {'w': (768, 2304), 'b': (2304,)}, 'c_proj': {'w': (768, 768), 'b': (768,)}}
    >>> shapes["blocks"][0]["mlp"]
    {'c_fc': {'w': (768, 3072), 'b': (3072,)}, 'c_proj': {'w': (3072, 768), 'b': (768,)}}
    >>> shapes["ln_f"]
    {'g': (768,), 'b': (768,)}
    """

    def linear(n_in, n_out):
        return dict(w=(n_in, n_out), b=(n_out,))

    def norm():
        return dict(g=(n_embd,), b=(n_embd,))

    def block():
        return dict(
            ln_1=norm(),
            attn=dict(c_attn=linear(n_embd, 3 * n_embd), c_proj=linear(n_embd, n_embd)),
            ln_2=norm(),
            mlp=dict(c_fc=linear(n_embd, 4 * n_embd), c_proj=linear(4 * n_embd, n_embd)),
        )

    return dict(
        wte=(n_vocab, n_embd),  # token embedding, and the output head
        wpe=(n_ctx, n_embd),  # position embedding
        blocks=[block() for _ in range(n_layer)],
        ln_f=norm(),
    )


def n_params(hparams):
    """Return how many numbers a model holds.

    >>> [n_params(SIZES[size]) for size in SIZES]
    [124439808, 354823168, 774030080, 1557611200]
    """
    return sum(math.prod(shape) for _, shape in walk(param_shapes(**hparams)))
