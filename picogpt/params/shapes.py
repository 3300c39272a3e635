"""The architecture as a table of shapes: which arrays a GPT-2 consists of, for given hyper-parameters.

`hparams` are OpenAI's (hparams.json): n_vocab, n_ctx, n_embd, n_head, n_layer. A descendant of GPT-2 that
differs from it says so by more of them, see options.py.
"""

import math

from picogpt.descendants.parts import more_shapes
from picogpt.params.tree import walk


def gpt2_hparams(n_embd, n_head, n_layer):
    """Return the hyper-parameters of one of OpenAI's models; vocabulary and context are the same in all."""
    return dict(n_vocab=50257, n_ctx=1024, n_embd=n_embd, n_head=n_head, n_layer=n_layer)


SIZES = {
    "124M": gpt2_hparams(n_embd=768, n_head=12, n_layer=12),
    "355M": gpt2_hparams(n_embd=1024, n_head=16, n_layer=24),
    "774M": gpt2_hparams(n_embd=1280, n_head=20, n_layer=36),
    "1558M": gpt2_hparams(n_embd=1600, n_head=25, n_layer=48),
}
HUGGING_FACE_NAMES = {"gpt2": "124M", "gpt2-medium": "355M", "gpt2-large": "774M", "gpt2-xl": "1558M"}


def param_shapes(
    n_vocab, n_ctx, n_embd, n_head, n_layer, bias=True, tied=True, activation="gelu", gelu="tanh", n_inner=0,
    scale_by_width=True, scale_by_layer=False, time_weighting="none", time_mixing=False,
    time_mixed=0, positions="learned", norm="pre", rms=False, rezero=False, band=0, causal=True, adapter=0,
):  # fmt: skip
    """Return the tree of shapes of a GPT-2's `params`, under the names of OpenAI's checkpoints.

    Each linear layer is {"w": [in, out], "b": [out]}, each layer norm {"g": [C], "b": [C]} (gain, bias).
    `n_head` shapes no layer: the heads lie side by side in the columns of c_attn. An option
    without parameters is in the tree as an empty array, whose presence turns it on and whose length is its
    value (see descendants/parts.py). Without position embeddings `wpe` is empty too, but has n_ctx rows.

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
        return dict(w=(n_in, n_out)) | (dict(b=(n_out,)) if bias else {})

    def layer_norm():
        if rms:
            return dict(g=(n_embd,), rms=(0,))
        return dict(g=(n_embd,)) | (dict(b=(n_embd,)) if bias else {})

    def feed_forward(n):
        return dict(c_fc=linear(n_embd, n), c_proj=linear(n, n_embd))

    def block(layer):
        attn = dict(c_attn=linear(n_embd, 3 * n_embd), c_proj=linear(n_embd, n_embd))
        mlp = feed_forward(n_inner or 4 * n_embd)
        narrow = feed_forward(adapter) if adapter else {}
        more = more_shapes(
            layer, n_head, n_ctx, positions, time_weighting, time_mixing, time_mixed, band, causal, gelu,
            activation, scale_by_layer, scale_by_width, narrow,
        )  # fmt: skip
        arrays = dict(ln_1=layer_norm(), attn=attn | more["attn"], ln_2=layer_norm(), mlp=mlp | more["mlp"])
        if norm == "post":
            arrays["post_norm"] = (0,)
            if layer == n_layer - 1:
                del arrays["ln_2"]  # which is ln_f
        if rezero:
            arrays["rezero"] = (1,)
        return arrays

    params = dict(
        wte=(n_vocab, n_embd),  # token embedding, and the output head
        wpe=(n_ctx, n_embd if positions == "learned" else 0),  # position embedding
        blocks=[block(layer) for layer in range(n_layer)],
        ln_f=layer_norm(),
    )
    return params if tied else params | dict(lm_head=(n_vocab, n_embd))  # a head of its own


def side_by_side(path):
    """Return how many matrices the array at a path is: in c_attn those of queries, keys and values.

    >>> side_by_side("blocks.0.attn.c_attn.w"), side_by_side("blocks.0.mlp.c_fc.w")
    (3, 1)
    """
    return 3 if path.endswith(".c_attn.w") else 1


def n_tokens(n_rows):
    """Return how many tokens a vocabulary has whose tokenizer is not known; GPT-2's is padded by some.

    >>> n_tokens(50304), n_tokens(65)
    (50257, 65)
    """
    return 50257 if n_rows == 50304 else n_rows


def n_params(hparams):
    """Return how many numbers a model holds.

    >>> [n_params(SIZES[size]) for size in SIZES]
    [124439808, 354823168, 774030080, 1557611200]
    """
    return sum(math.prod(shape) for _, shape in walk(param_shapes(**hparams)))
