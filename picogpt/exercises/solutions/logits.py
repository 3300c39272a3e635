"""A right gpt2, and the usual mistakes: below each line, what is written in its place."""

from picogpt.gpt2 import prepare, transformer_block
from picogpt.ops import layer_norm


def gpt2(ids, params, n_head, cache=None, acts=None, pad=None, n_last=None, p_drop=0.0, rng=None):
    ids, places, mask, _ = prepare(ids, params, n_head, cache, pad, p_drop, rng)
    # wrong: T = ids.shape[1]; places, mask = positions(0, T), causal_mask(T, T, params["wte"].dtype)
    # prepare(...) is there to say what cannot be, and gives places and mask: call it first.
    x = params["wte"][ids] + params["wpe"][places]  # [B, T, C]
    # wrong: x = params["wte"][ids]
    # The position embedding wpe is forgotten.
    # wrong: x = params["wte"][ids] + params["wpe"][places + 1]
    # Positions are counted from 1; the first token is at 0.
    # wrong: x = params["wte"][ids] + params["wpe"][ids % 11]
    # wpe is looked up by id; it is looked up by position.
    # wrong: x = params["wte"][ids] + params["wpe"]
    # All rows of wpe are added; each position has its own: wpe[places].
    acts = [] if acts is None else acts
    for block in params["blocks"]:
        # wrong: for block in params["blocks"][::-1]:
        # The blocks are in reverse order.
        # wrong: for block in params["blocks"][:1]:
        # Only the first block is used.
        # wrong: for block in params["blocks"][:1] * 2:
        # The first block is used for all.
        acts.append({})
        # wrong: acts = [{}]
        # acts receives nothing of the blocks; your backward pass will need it.
        x = transformer_block(x, **block, n_head=n_head, mask=mask, act=acts[-1])
        # wrong: x = transformer_block(x, **block, n_head=n_head, act=acts[-1])
        # The blocks get no mask: tokens see what comes after them.
        # wrong: y = transformer_block(x, **block, n_head=n_head, mask=mask, act=acts[-1])
        # What a block returns is the stream, which the next one takes: x = transformer_block(x, ...).
    normed = layer_norm(x, **params["ln_f"])
    # wrong: normed = x
    # The last layer norm, ln_f, is forgotten.
    acts.append(dict(x=x, ln_f=normed, mask=mask))
    # wrong: pass
    # acts receives nothing of the end: after the blocks' comes one for the model itself.
    logits = normed @ params["wte"].T
    # wrong: logits = np.exp(normed @ params["wte"].T); logits /= logits.sum(axis=-1, keepdims=True)
    # Those are probabilities; gpt2 returns the logits, before softmax.
    # wrong: logits = normed
    # That is the normalised stream [B, T, C]; times wte transposed it becomes the logits [B, T, V].
    return logits if n_last is None else logits[:, -n_last:]
    # wrong: return logits
    # n_last is ignored: it asks for the logits of the last n_last tokens only.
    # wrong: return logits if n_last is None else logits[:, :n_last]
    # Those are the first tokens; n_last asks for the last.
    # wrong: return logits if n_last is None else logits[:, n_last]
    # That is one token; n_last is how many, counted from the end.
