"""GPT-2's forward pass in ten lines. To run yours, in your folder: python -m picogpt.first "Once upon"

The operations are those of pico.py, the model on one page, which also hands out their ways back; `forward`
takes only what they make.
"""

import sys

import numpy as np

from picogpt import pico
from picogpt.checkpoints import weights


def layer_norm(x, g, b):
    """Shift and stretch each row to mean 0 and variance 1, then by g and b: [T, C] -> [T, C]."""
    return pico.layer_norm(x, g, b)[0]


def linear(x, w, b):
    """Multiply by a matrix and add a bias, x w + b: [T, m] -> [T, n]."""
    return pico.linear(x, w, b)[0]


def attention(qkv, n_head):
    """Let each token take from itself and those before it what its heads ask for: [T, 3C] -> [T, C]."""
    return pico.attention(qkv, n_head, len(qkv))[0]


def gelu(x):
    """Let large numbers through and hold back negative ones: any shape."""
    return pico.gelu(x)[0]


def forward(ids, params, n_head):
    """After each token of ids [T], score each token of the vocabulary as the next: logits [T, V].

    x = wte[ids] + wpe[: T]                                     [T, C], the stream
    for each block in params["blocks"]:
        x = x + c_proj(attention(c_attn(ln_1(x))))              c_attn and c_proj are in block["attn"]
        x = x + c_proj(gelu(c_fc(ln_2(x))))                     c_fc and c_proj are in block["mlp"]
    logits = ln_f(x) wte^T

    Each name that is no function above is one of the arrays, or a dict of those that an operation takes:
    ln_1(x) is layer_norm(x, **block["ln_1"]), c_fc(x) is linear(x, **block["mlp"]["c_fc"]).
    """
    x = params["wte"][ids] + params["wpe"][: len(ids)]  # [T, C]
    for block in params["blocks"]:
        attn, mlp = block["attn"], block["mlp"]
        y = linear(layer_norm(x, **block["ln_1"]), **attn["c_attn"])  # [T, 3C]
        x = x + linear(attention(y, n_head), **attn["c_proj"])
        y = gelu(linear(layer_norm(x, **block["ln_2"]), **mlp["c_fc"]))  # [T, 4C]
        x = x + linear(y, **mlp["c_proj"])
    return layer_norm(x, **params["ln_f"]) @ params["wte"].T


def main(prompt="Once upon a time", n=30):
    """Continue a text by the small model that comes with picogpt, always with the likeliest token."""
    params, hparams, encoder = weights.load(weights.shipped("tales"))
    ids = encoder.encode(prompt)
    print(prompt, end="", flush=True)
    for _ in range(n):
        ids.append(int(forward(np.array(ids), params, hparams["n_head"])[-1].argmax()))
        print(encoder.decode(ids[-1:]), end="", flush=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:2])
