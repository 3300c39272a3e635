"""GPT-1's block, written out."""

import numpy as np
from record.options import model

from picogpt.descendants import post_norm
from picogpt.gpt2 import feed_forward, gpt2, self_attention
from picogpt.ops import causal_mask, layer_norm


def test_a_block_is_the_formula_written_out():
    params, ids, _ = model(dict(norm="post"))
    x, mask = params["wte"][ids] + params["wpe"][:7], causal_mask(7, 7, np.float64)
    for block in params["blocks"]:
        found = post_norm.transformer_block(x, **block, n_head=3, mask=mask)
        x = layer_norm(x + self_attention(x, **block["attn"], n_head=3, mask=mask), **block["ln_1"])
        x = x + feed_forward(x, **block["mlp"])
        x = layer_norm(x, **block["ln_2"]) if "ln_2" in block else x
        np.testing.assert_allclose(found, x, rtol=0, atol=1e-13)
    logits = layer_norm(x, **params["ln_f"]) @ params["wte"].T
    np.testing.assert_allclose(gpt2(ids, params, 3), logits, rtol=0, atol=1e-12)
