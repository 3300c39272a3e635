"""A right cache, and the usual mistakes: below each line, what is written in its place."""

from picogpt.gpt2 import KVCache, prepare, transformer_block
from picogpt.ops import layer_norm


class KVCache(KVCache):
    def extend(self, layer, k, v):
        S = self.length + k.shape[-2]
        # wrong: S = k.shape[-2]; self.length = 0
        # The new tokens are written over the first ones; they come after the `length` ones.
        self.kv[layer, 0, :, :, self.length : S] = k
        # wrong: self.kv[:, 0, :, :, self.length : S] = k
        # k is written into all layers; each layer has its own.
        self.kv[layer, 1, :, :, self.length : S] = v
        # wrong: self.kv[layer, 1, :, :, self.length : S] = k
        # The keys are stored as values, too.
        # wrong: pass
        # The values are not stored.
        return self.kv[layer, :, :, :, :S]
        # wrong: return k, v
        # Only the new keys and values are returned; all so far are needed.
        # wrong: return self.kv[layer]
        # The whole room is returned, empty places too; only the first S tokens are there.
        # wrong: self.length = S; return self.kv[layer, :, :, :, :S]
        # extend advances length, once for each layer; gpt2 does that once, after all.


def gpt2(ids, params, n_head, cache=None, acts=None, pad=None, n_last=None, p_drop=0.0, rng=None):
    ids, places, mask, _ = prepare(ids, params, n_head, cache, pad, p_drop, rng)
    # wrong: ids, places, mask, _ = prepare(ids, params, n_head, None, pad, p_drop, rng)
    # Positions and mask do not count the tokens in the cache: the first new one is at cache.length.
    T, S = ids.shape[1], ids.shape[1] + (cache.length if cache else 0)
    # wrong: T, places = ids.shape[1], positions(0, ids.shape[1], pad); S = T + (cache.length if cache else 0)
    # Positions begin at 0 in every call; the first new token is at cache.length.
    # wrong: T = S = ids.shape[1]; mask = causal_mask(T, T, mask.dtype, pad)
    # The mask knows only the new tokens: it has T queries and past + T keys.
    # wrong: T, mask = ids.shape[1], mask if cache is None or cache.length == 0 else None; S = T
    # With a cache there is no mask; several new tokens still must not see what comes after them.
    x = params["wte"][ids] + params["wpe"][places]
    acts = [] if acts is None else acts
    for layer, block in enumerate(params["blocks"]):
        # wrong: for layer, block in [(0, block) for block in params["blocks"]]:
        # All layers write into the first one's place.
        acts.append({})
        x = transformer_block(x, **block, n_head=n_head, mask=mask, cache=cache, layer=layer, act=acts[-1])
        # wrong: x = transformer_block(x, **block, n_head=n_head, mask=mask, act=acts[-1])
        # The cache is not handed to the blocks: transformer_block(..., cache=cache, layer=layer).
    if cache:
        cache.length = S
        # wrong: pass
        # cache.length is not advanced by T after a call.
        # wrong: cache.length += 1
        # cache.length is advanced by 1; a call adds T tokens.
        # wrong: cache.length = T
        # cache.length becomes T; T is added to it.
    normed = layer_norm(x, **params["ln_f"])
    acts.append(dict(x=x, ln_f=normed, mask=mask))
    return (normed @ params["wte"].T)[:, -(n_last or T) :]
