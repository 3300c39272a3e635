"""A right forward pass, and the usual mistakes: below each line, what is written in its place."""

from picogpt.exercises.first import attention, gelu, layer_norm, linear


def forward(ids, params, n_head):
    x = params["wte"][ids] + params["wpe"][: len(ids)]  # [T, C]
    # wrong: x = params["wte"][ids]
    # The positions are forgotten: each token has one, the first at 0: + wpe[: T].
    # wrong: x = params["wte"][ids] + params["wpe"]
    # All rows of wpe are added; there are T tokens: wpe[: len(ids)].
    # wrong: x = params["wte"][ids] + params["wpe"][ids % 11]
    # wpe is looked up by id; it is looked up by place, 0 to T - 1.
    # wrong: x = params["wte"][ids] + params["wpe"][len(ids)]
    # That is one row of wpe for all; each token has the row of its place: wpe[: len(ids)].
    for block in params["blocks"]:
        # wrong: for block in params["blocks"][:1]:
        # Only the first block is used.
        # wrong: for block in params["blocks"][::-1]:
        # The blocks are in reverse order.
        attn, mlp = block["attn"], block["mlp"]
        y = linear(layer_norm(x, **block["ln_1"]), **attn["c_attn"])  # [T, 3C]
        # wrong: y = linear(x, **attn["c_attn"])
        # The first layer norm, ln_1, is forgotten.
        x = x + linear(attention(y, n_head), **attn["c_proj"])
        # wrong: x = linear(attention(y, n_head), **attn["c_proj"])
        # The residual is forgotten: what attention says is added to x.
        # wrong: x = x + attention(y, n_head)
        # The projection after attention, attn's c_proj, is forgotten.
        # wrong: x = layer_norm(x, **block["ln_1"]) + linear(attention(y, n_head), **attn["c_proj"])
        # Added to the normalised copy; it is added to the stream x itself.
        y = gelu(linear(layer_norm(x, **block["ln_2"]), **mlp["c_fc"]))  # [T, 4C]
        # wrong: y = gelu(linear(x, **mlp["c_fc"]))
        # The second layer norm, ln_2, is forgotten.
        # wrong: y = gelu(linear(layer_norm(x, **block["ln_1"]), **mlp["c_fc"]))
        # ln_1 is used twice; the second norm has its own, ln_2.
        # wrong: y = linear(layer_norm(x, **block["ln_2"]), **mlp["c_fc"])
        # The gelu between the two linears is forgotten.
        x = x + linear(y, **mlp["c_proj"])
        # wrong: x = linear(y, **mlp["c_proj"])
        # The residual is forgotten: what the feed-forward layer says is added to x.
    return layer_norm(x, **params["ln_f"]) @ params["wte"].T
    # wrong: return x @ params["wte"].T
    # The last layer norm, ln_f, is forgotten.
    # wrong: return layer_norm(x, **params["ln_f"])
    # That is the normalised stream [T, C]; times wte transposed it becomes the logits [T, V].
    # wrong: return (layer_norm(x, **params["ln_f"]) @ params["wte"].T)[-1]
    # Those are the last token's logits; a row for each token is asked for.
