"""The model, from its heads to its logits, with a cache, and up to sampled tokens."""

import numpy as np

from picogpt.exercises.cases import BLOCK, IDS, TRIANGLE, Case, Rung, model, normal


def heads_cases():
    """Different sizes and equal ones, at which no shape betrays a wrong order; there and back."""
    x = normal(2, 3, 9)
    return [
        Case(
            "split_heads of [2, 5, 12] into 3 heads",
            lambda c, x: c.split_heads(x, 3),
            dict(x=normal(2, 5, 12)),
        ),
        Case("split_heads of [2, 3, 9] into 3 heads", lambda c, x: c.split_heads(x, 3), dict(x=x)),
        Case("merge_heads of [2, 3, 5, 4]", lambda c, x: c.merge_heads(x), dict(x=normal(2, 3, 5, 4))),
        Case("merge_heads of [2, 3, 3, 3]", lambda c, x: c.merge_heads(x), dict(x=normal(2, 3, 3, 3))),
        Case(
            "merge_heads of split_heads, which is x",
            lambda c, x: c.merge_heads(c.split_heads(x, 3)),
            dict(x=x),
            x,
        ),
    ]


HEADS = Rung(
    "heads", ["gpt2.split_heads", "gpt2.merge_heads"],
    "Head h has the channels h * D to (h + 1) * D. reshape to [B, T, H, D] cuts, swapaxes(1, 2) puts the"
    " heads before the tokens; the way back in reverse order.",
    heads_cases,
    [
        ("x.reshape(B, T, n_head, C // n_head).swapaxes(1, 2)", "x.reshape(B, n_head, T, C // n_head)",
         "reshape alone mixes tokens and heads: cut the channels first, [B, T, H, D], then swap the axes 1"
         " and 2."),
        ("x.reshape(B, T, n_head, C // n_head).swapaxes(1, 2)",
         "x.reshape(B, T, C // n_head, n_head).transpose(0, 3, 1, 2)",
         "Head h takes every n_head-th channel; it has D neighbouring ones: reshape to [B, T, H, D]."),
        (".swapaxes(1, 2)\n\n", "\n\n", "The heads stand after the tokens; the shape is [B, H, T, D]."),
        ("C // n_head).swapaxes(1, 2)", "C // n_head).transpose(0, 2, 3, 1)",
         "Tokens and channels of a head are swapped: [B, H, T, D]."),
        ("x.swapaxes(1, 2).reshape(B, T, H * D)", "x.reshape(B, T, H * D)",
         "reshape alone mixes tokens and heads: swap the axes 1 and 2 first."),
        ("x.swapaxes(1, 2).reshape(B, T, H * D)", "x.transpose(0, 2, 3, 1).reshape(B, T, H * D)",
         "The channels of the heads are interleaved; head 0's come first, then head 1's."),
        ("x.swapaxes(1, 2).reshape(B, T, H * D)", "x.swapaxes(1, 2)",
         "The heads are not laid side by side: [B, T, H, D] is to become [B, T, H * D]."),
        ("x.swapaxes(1, 2).reshape(B, T, H * D)", "x.swapaxes(-1, -2).reshape(B, T, H * D)",
         "The last two axes are swapped; it should be axes 1 and 2, heads and tokens."),
    ],
)  # fmt: skip


def block_cases():
    """The two layers alone, with a mask, with a memory; the block, and one that adds nothing."""

    def attend(c, x, mask=None, **attn):
        return c.self_attention(x, **attn, n_head=3, mask=mask)

    def remembering(c, x, past, **attn):
        def remember(k, v):
            return np.concatenate([past, k], axis=2), np.concatenate([past * 2, v], axis=2)

        return c.self_attention(x, **attn, n_head=3, remember=remember)

    def whole(c, x, mask=None, **block):
        return c.transformer_block(x, **block, n_head=3, mask=mask)

    x, attn = normal(2, 4, 12), BLOCK["attn"]
    silent = dict(c_proj=dict(w=np.zeros((12, 12)), b=np.zeros(12)))
    still = BLOCK | dict(
        attn=attn | silent, mlp=BLOCK["mlp"] | dict(c_proj=dict(w=np.zeros((48, 12)), b=np.zeros(12)))
    )
    return [
        Case("self_attention", attend, dict(x=x, **attn)),
        Case("self_attention with the causal mask", attend, dict(x=x, mask=TRIANGLE, **attn)),
        Case(
            "self_attention that remembers 2 tokens", remembering, dict(x=x, past=normal(2, 3, 2, 4), **attn)
        ),
        Case("feed_forward", lambda c, x, **mlp: c.feed_forward(x, **mlp), dict(x=x, **BLOCK["mlp"])),
        Case("transformer_block", whole, dict(x=x, **BLOCK)),
        Case("transformer_block with the causal mask", whole, dict(x=x, mask=TRIANGLE, **BLOCK)),
        Case("transformer_block whose c_proj are 0, which returns x", whole, dict(x=x, **still), x),
    ]


BLOCK_RUNG = Rung(
    "block", ["gpt2.self_attention", "gpt2.feed_forward", "gpt2.transformer_block"],
    "self_attention: one linear makes q, k and v side by side, [B, T, 3C]; split into heads, remember,"
    " attention, merge, linear. feed_forward: linear, gelu, linear. transformer_block: x = x +"
    " self_attention(layer_norm(x)), then the same with feed_forward. Note in `act`, under names of your"
    ' choice, what your way back will need (ours: "x", "ln_1", "q", "k", "v", "heads", "x_mid", "ln_2",'
    ' "c_fc", "gelu"). Leave dropout (`draw`) and what is not GPT-2 (`around`, `tricks`) aside.',
    block_cases,
    [
        ("q, k, v = (heads", "k, q, v = (heads",
         "q and k are swapped: q, k, v stand in c_attn's columns in this order."),
        ("q, k, v = (heads", "v, k, q = (heads",
         "q and v are swapped: q, k, v stand in c_attn's columns in this order."),
        ("q, k, v = (heads", "q, v, k = (heads",
         "k and v are swapped: q, k, v stand in c_attn's columns in this order."),
        ("i * n_head : (i + 1) * n_head]", "i::3]",
         "q, k and v alternate from head to head; they are the thirds of c_attn's columns."),
        ("attention(q, k, v, mask,", "attention(q, k, v, None,", "The mask is not handed on to attention."),
        ("if remember:", "if False:",
         "`remember` is not called: it adds k and v to the cache and returns all."),
        ('linear(act["heads"], **c_proj)', 'act["heads"]', "The projection c_proj is forgotten."),
        ('act["gelu"] = ', 'act["gelu"] = act["c_fc"] if True else ',
         "The gelu between the two linears is forgotten."),
        ('linear(act["gelu"], **c_proj)', 'GELUS["tanh"](linear(act["gelu"], **c_proj))',
         "There is a gelu after the second linear, too; there is only the one in between."),
        ('x = x + dropout(y, act["keep_attn"])', "x = y",
         "The residual is forgotten: what attention says is added to x."),
        ('x = x + dropout(y, act["keep_attn"])', 'x = act["ln_1"] + y',
         "Added to the normalised copy; it is added to the stream x itself."),
        ("return x + dropout(y", "return dropout(y",
         "The residual is forgotten: what the feed-forward layer says is added to x."),
        ('return x + dropout(y, act["keep_mlp"])', 'return act["ln_2"] + y',
         "Added to the normalised copy; it is added to the stream x itself."),
        ('act["ln_1"] = layer_norm(x, **ln_1)', 'act["ln_1"] = x',
         "The first layer norm, ln_1, is forgotten."),
        ('act["ln_2"] = layer_norm(x, **ln_2)', 'act["ln_2"] = x',
         "The second layer norm, ln_2, is forgotten."),
        ("layer_norm(x, **ln_2)", "layer_norm(x, **ln_1)",
         "ln_1 is used twice; the second norm has its own, ln_2."),
        ("layer_norm(x, **ln_2)", 'layer_norm(act["x"], **ln_2)',
         "The feed-forward layer sees the stream as it was before attention; it comes after."),
        ('return x + dropout(y, act["keep_mlp"])', "return layer_norm(x + y, **ln_2)",
         "A norm comes after the sum; GPT-2's come before, on the way into the branches."),
    ],
)  # fmt: skip


def logits_cases():
    """Batches, the last tokens only, padding; that no token sees later ones; an id that is none."""

    def run(c, ids, params, n_head, **settings):
        return c.gpt2(ids, params, n_head, **settings)

    def earlier(c, ids, params, n_head):
        changed = ids.copy()
        changed[:, -1] = 4
        return c.gpt2(changed, params, n_head)[:, :-1] - c.gpt2(ids, params, n_head)[:, :-1]

    def padded(c, ids, params, n_head):
        short = np.concatenate([[0, 0], ids[1, :5]])
        logits = c.gpt2(np.array([ids[0], short]), params, n_head, pad=np.array([0, 2]))
        return logits[1, 2:] - c.gpt2(ids[1:, :5], params, n_head)[0]

    def n_acts(c, ids, params, n_head):
        acts = []
        c.gpt2(ids, params, n_head, acts=acts)
        return len(acts)

    def refused(c, ids, params, n_head):
        try:
            return c.gpt2(ids, params, n_head)
        except ValueError as error:
            return str(error)

    params, n_head = model()
    known = dict(ids=IDS, params=params, n_head=n_head)
    return [
        Case("the logits of one token", run, known | dict(ids=IDS[:1, :1])),
        Case("the logits of 2 rows of 7 tokens", run, known),
        Case("the logits of the last 2 tokens, n_last=2", run, known | dict(n_last=2)),
        Case("the logits with pad=[0, 2]", run, known | dict(pad=np.array([0, 2]))),
        Case(
            "what another last token changes in the logits before it: nothing",
            earlier,
            known,
            np.zeros((2, 6, 17)),
            1e-9,
        ),
        Case(
            "the logits of a padded row, less those of the row alone", padded, known, np.zeros((5, 17)), 1e-9
        ),
        Case("how many things acts receives: one for each of 2 blocks, one for the end", n_acts, known, 3),
        Case("what gpt2 says of an id that is not in the vocabulary", refused, known | dict(ids=IDS + 1)),
    ]


LOGITS = Rung(
    "logits", ["gpt2.gpt2"],
    "x = wte[ids] + wpe[positions]; each block; layer_norm with ln_f; times wte transposed. positions()"
    " and causal_mask() know about pad; acts receives one dict for each block (hand it on as act) and a"
    " last one for the end. The cache comes on the next rung; leave dropout and what is not GPT-2 aside.",
    logits_cases,
    [
        ("check(ids, params, n_head, cache, pad, p_drop, rng)", "pass",
         "check(...) is there to say what cannot be: call it first."),
        ('x = x + params["wpe"][places]', "pass", "The position embedding wpe is forgotten."),
        ('params["wpe"][places]', 'params["wpe"][places + 1]',
         "Positions are counted from 1; the first token is at 0."),
        ('params["wpe"][places]', 'params["wpe"][ids % 11]',
         "wpe is looked up by id; it is looked up by position."),
        ('normed = layer_norm(x, **params["ln_f"])', "normed = x",
         "The last layer norm, ln_f, is forgotten."),
        ("mask=mask, remember", "mask=None, remember",
         "The blocks get no mask: tokens see what comes after them."),
        ('in enumerate(params["blocks"])', 'in enumerate(params["blocks"][::-1])',
         "The blocks are in reverse order."),
        ('in enumerate(params["blocks"])', 'in enumerate(params["blocks"][:1])',
         "Only the first block is used."),
        ('in enumerate(params["blocks"])', 'in enumerate(params["blocks"][:1] * 2)',
         "The first block is used for all."),
        ('return linear(normed, params.get("lm_head", params["wte"]).T)',
         'y = np.exp(linear(normed, params["wte"].T)); return y / y.sum(axis=-1, keepdims=True)',
         "Those are probabilities; gpt2 returns the logits, before softmax."),
        ('return linear(normed, params.get("lm_head", params["wte"]).T)', "return normed",
         "That is the normalised stream [B, T, C]; times wte transposed it becomes the logits [B, T, V]."),
        ("acts.append(act)", "pass", "acts receives nothing of the blocks; your way back will need it."),
        ("x = x[:, T - n_last :]", "pass",
         "n_last is ignored: it asks for the logits of the last n_last tokens only."),
        ("x = x[:, T - n_last :]", "x = x[:, :n_last]",
         "Those are the first tokens; n_last asks for the last."),
        ("beside(positions(past, T, pad))", "beside(positions(past, T))",
         "Positions do not mind the padding: positions(past, T, pad) counts after it."),
        ("causal_mask(T, past + T, x.dtype, pad)", "causal_mask(T, past + T, x.dtype)",
         "The mask does not hide the padding: hand pad to causal_mask."),
    ],
)  # fmt: skip


def cache_cases():
    """What `extend` returns and keeps; the logits in pieces, which are those of one call."""

    def extended(c, params, n_head, k, v):
        cache = c.KVCache(params, n_head, batch=2)
        cache.kv[:] = 0  # of what comes
        seen = [cache.extend(1, k[:, :, :3], v[:, :, :3])]
        cache.length = 3
        seen.append(cache.extend(1, k[:, :, 3:], v[:, :, 3:]))
        return [np.array(pair) for pair in seen], np.array(cache.kv[0])

    def in_pieces(c, ids, params, n_head, sizes, pad=None):
        cache, logits, at = c.KVCache(params, n_head, len(ids)), [], 0
        for size in sizes:
            logits.append(c.gpt2(ids[:, at : at + size], params, n_head, cache, pad=pad))
            at += size
        n_pad = 0 if pad is None else max(pad)  # what is said of padding means nothing
        return np.concatenate(logits, axis=1)[:, n_pad:], cache.length

    def at_once(c, ids, params, n_head, sizes, pad=None):
        n_pad = 0 if pad is None else max(pad)
        return c.gpt2(ids, params, n_head, pad=pad)[:, n_pad:], ids.shape[1]

    params, n_head = model()
    known, pad = dict(ids=IDS, params=params, n_head=n_head), dict(pad=np.array([0, 2]))
    past = dict(params=params, n_head=n_head, k=normal(2, 3, 5, 4, of="k"), v=normal(2, 3, 5, 4, of="v"))
    return [
        Case(
            "extend: what it returns for 3 tokens, then for 2 more; what is in another layer", extended, past
        ),
        Case("the logits of 7 tokens in one call, with a cache", in_pieces, known | dict(sizes=[7]), at_once),
        Case("the logits of 3 tokens, then 4, with a cache", in_pieces, known | dict(sizes=[3, 4]), at_once),
        Case("the logits, one token at a time", in_pieces, known | dict(sizes=[1] * 7), at_once),
        Case("the logits of padded rows in pieces", in_pieces, known | pad | dict(sizes=[4, 2, 1]), at_once),
    ]


CACHE = Rung(
    "cache", ["gpt2.KVCache.extend", "gpt2.gpt2"],
    "extend writes k and v into self.kv[layer, 0 and 1] from self.length on and returns all tokens' so"
    " far. gpt2 hands each block `remember=functools.partial(cache.extend, layer)`, counts positions from"
    " cache.length, makes the mask for S = cache.length + T keys, and adds T to cache.length after the"
    " last block.",
    cache_cases,
    [
        ("return self.kv[layer, :, :, :, :S]", "return k, v",
         "Only the new keys and values are returned; all so far are needed."),
        ("return self.kv[layer, :, :, :, :S]", "return self.kv[layer]",
         "The whole room is returned, empty places too; only the first S tokens are there."),
        ("self.kv[layer, 1, :, :, self.length : S] = v", "self.kv[layer, 1, :, :, self.length : S] = k",
         "The keys are stored as values, too."),
        ("self.kv[layer, 1, :, :, self.length : S] = v", "pass", "The values are not stored."),
        ("S = self.length + k.shape[-2]", "S = k.shape[-2]; self.length = 0",
         "The new tokens are written over the first ones; they come after the `length` ones."),
        ("return self.kv[layer, :, :, :, :S]", "self.length = S; return self.kv[layer, :, :, :, :S]",
         "extend advances length, once for each layer; gpt2 does that once, after all."),
        ("self.kv[layer, 0, :, :, self.length : S] = k", "self.kv[:, 0, :, :, self.length : S] = k",
         "k is written into all layers; each layer has its own."),
        ("past, T = cache.length if cache else 0, ids", "past, T = 0, ids",
         "Positions and mask do not count the tokens in the cache: the first new one is at cache.length."),
        ("beside(positions(past, T, pad))", "beside(positions(0, T, pad))",
         "Positions begin at 0 in every call; the first new token is at cache.length."),
        ("causal_mask(T, past + T,", "causal_mask(T, T,",
         "The mask knows only the new tokens: it has T queries and past + T keys."),
        ("cache.length += T", "pass", "cache.length is not advanced by T after a call."),
        ("cache.length += T", "cache.length += 1", "cache.length is advanced by 1; a call adds T tokens."),
        ("functools.partial(cache.extend, layer)", "functools.partial(cache.extend, 0)",
         "All layers write into the first one's place."),
        ("mask = None if T == 1 and pad is None", "mask = None if cache and past",
         "With a cache there is no mask; several new tokens still must not see what comes after them."),
    ],
)  # fmt: skip


def sampling_cases():
    """The filters by their logits, `sample` by how often it chooses what: any way of drawing will do."""

    def top_k(c, logits, k):
        return c.keep_top_k(logits, k)

    def top_p(c, logits, p, rule="openai"):
        return c.keep_top_p(logits, p, rule)

    def shares(c, logits, n=4000, **settings):
        rng = np.random.default_rng(7)
        chosen = c.sample(np.broadcast_to(logits, (n, len(logits))).copy(), [rng] * n, **settings)
        return np.bincount(chosen, minlength=len(logits)) / n

    def probabilities(logits, temperature=1.0, keep=(0, 1, 2, 3, 4)):
        p = np.exp(logits / temperature) * np.isin(np.arange(5), keep)
        return p / p.sum()

    def alike(c, logits):
        rngs = [np.random.default_rng(seed) for seed in (3, 4, 3)]
        first, _, third = c.sample(np.tile(logits, (3, 1)), rngs)
        return int(third - first)

    rows, skewed = normal(3, 6), np.log(np.array([0.02, 0.45, 0.13, 0.3, 0.1]))
    tied = np.array([[1.0, 3, 2, 2, 0]])
    return [
        Case("keep_top_k of 3 rows, k=2", top_k, dict(logits=rows, k=2)),
        Case("keep_top_k of logits with equals, k=2", top_k, dict(logits=tied, k=2)),
        Case("keep_top_k, k=1", top_k, dict(logits=rows, k=1)),
        Case("keep_top_k, k=0, which keeps all", top_k, dict(logits=rows, k=0), rows),
        Case("keep_top_k, k=99, which keeps all", top_k, dict(logits=rows, k=99), rows),
        Case("keep_top_p of 3 rows, p=0.7", top_p, dict(logits=rows, p=0.7)),
        Case('keep_top_p of 3 rows, p=0.7, rule="hf"', top_p, dict(logits=rows, p=0.7, rule="hf")),
        Case("keep_top_p, p=0.01, which keeps the likeliest", top_p, dict(logits=rows, p=0.01)),
        Case("keep_top_p, p=1, which keeps all", top_p, dict(logits=rows, p=1.0), rows),
        Case(
            "sample with temperature 0",
            lambda c, logits: c.sample(logits, [], 0),
            dict(logits=rows),
            rows.argmax(axis=-1),
        ),
        Case("how often sample chooses each token", shares, dict(logits=skewed), probabilities(skewed), 0.04),
        Case(
            "how often, with temperature 2",
            shares,
            dict(logits=skewed, temperature=2.0),
            probabilities(skewed, 2),
            0.04,
        ),
        Case(
            "how often, with top_k=2",
            shares,
            dict(logits=skewed, top_k=2),
            probabilities(skewed, keep=[1, 3]),
            0.04,
        ),
        Case(
            "how often, with top_p=0.8",
            shares,
            dict(logits=skewed, top_p=0.8),
            probabilities(skewed, keep=[1, 3]),
            0.04,
        ),
        Case(
            "how often, with temperature 0.5 and top_p=0.8",
            shares,
            dict(logits=skewed, temperature=0.5, top_p=0.8),
            probabilities(skewed, 0.5, keep=[1]),
            0.04,
        ),
        Case(
            "how often, with top_k=2 and top_p=0.8",
            shares,
            dict(logits=skewed, top_k=2, top_p=0.8),
            probabilities(skewed, keep=[1]),
            0.04,
        ),
        Case(
            "the difference between rows whose generators have the same seed",
            alike,
            dict(logits=np.zeros(50)),
            0,
        ),
    ]


SAMPLING = Rung(
    "sampling", ["generate.keep_top_k", "generate.keep_top_p", "generate.sample"],
    "top_k: np.partition finds the k-th largest logit; np.where hides what is less with -np.inf. top_p:"
    " sort descending, softmax, cumsum in float64: the tokens up to p are kept. sample: argmax for"
    " temperature 0; else divide by it, top_k, top_p, softmax, cumsum, and one rng.random() finds its place"
    " (searchsorted).",
    sampling_cases,
    [
        ("np.partition(logits, -k, axis=-1)[..., -k, None]",
         "np.partition(logits, -k - 1, axis=-1)[..., -k - 1, None]",
         "One token too many is kept: k of them."),
        ("return np.where(logits < smallest, -np.inf, logits)",
         "return np.where(logits <= smallest, -np.inf, logits)",
         "The k-th largest itself is hidden: hide what is less than it."),
        ("return np.where(logits < smallest, -np.inf, logits)",
         "return np.where(logits < smallest, 0, logits)",
         "A logit of 0 hides nothing, e^0 is 1; -inf does."),
        ("np.partition(logits, -k, axis=-1)[..., -k, None]", "np.partition(logits, k, axis=-1)[..., k, None]",
         "Counted from the smallest: k of the largest are kept."),
        ("if not 0 < k < logits.shape[-1]:", "if not k:",
         "k may be more than there are tokens; all are kept then."),
        ("descending = -np.sort(-logits, axis=-1)", "descending = np.sort(logits, axis=-1)",
         "The tokens are added up from the unlikeliest; begin with the likeliest."),
        ('before = total < p if rule == "hf" else total <= p',
         'before = total < p if rule != "hf" else total <= p\n    rule = "openai" if rule == "hf" else "hf"',
         'The rules are swapped: "hf" keeps the token that crosses p, "openai" drops it.'),
        ('last = before.sum(axis=-1, keepdims=True) - (rule == "openai")',
         "last = before.sum(axis=-1, keepdims=True)",
         'The token that crosses p is kept by both rules; "openai" drops it, unless it is the only one.'),
        ('last = before.sum(axis=-1, keepdims=True) - (rule == "openai")',
         "last = before.sum(axis=-1, keepdims=True) - 1",
         'The token that crosses p is dropped by both rules; "hf" keeps it.'),
        ("total = softmax(descending.astype(np.float64)).cumsum(axis=-1)",
         "total = np.exp(descending).cumsum(axis=-1)",
         "e^logits are added up; probabilities are, softmax of them."),
        ("keepdims=True)) / temperature", "keepdims=True)) * temperature",
         "Multiplied by the temperature; the logits are divided by it."),
        ("    if temperature == 0:", "    if True:",
         "The likeliest token is always taken; only temperature 0 does that."),
        ("keepdims=True)) / temperature", "keepdims=True))",
         "The temperature is ignored: the logits are divided by it."),
        ("keep_top_p(keep_top_k(logits, top_k), top_p, top_p_rule)",
         "keep_top_k(keep_top_p(logits, top_p, top_p_rule), top_k)",
         "top_p comes before top_k; OpenAI's order is temperature, top_k, top_p."),
        ("keep_top_p(keep_top_k(logits, top_k), top_p, top_p_rule)", "keep_top_p(logits, top_p, top_p_rule)",
         "top_k is ignored."),
        ("keep_top_p(keep_top_k(logits, top_k), top_p, top_p_rule)", "keep_top_k(logits, top_k)",
         "top_p is ignored."),
        ("draws = [rng.random() for rng in rngs]", "draws = [rngs[0].random()] * len(rngs)",
         "One draw serves all rows; each row draws from its own generator."),
        ("draws = [rng.random() for rng in rngs]",
         "draws = [np.random.default_rng(1).random() if False else rngs[0].random() for rng in rngs]",
         "All rows draw from the first generator; each has its own."),
    ],
)  # fmt: skip

RUNGS = [HEADS, BLOCK_RUNG, LOGITS, CACHE, SAMPLING]
