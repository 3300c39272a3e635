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
    "heads",
    ["gpt2:split_heads", "gpt2:merge_heads"],
    "Head h has the channels h * D to (h + 1) * D. reshape to [B, T, H, D] cuts, swapaxes(1, 2) puts the"
    " heads before the tokens; the backward pass in reverse order.",
    heads_cases,
)


def block_cases():
    """The two layers alone, with a mask, with a memory; the block, and one that adds nothing."""

    def attend(c, x, mask=None, **attn):
        return c.self_attention(x, **attn, n_head=3, mask=mask)

    class Past:  # in place of a cache, whose rung comes later
        def __init__(self, kv):
            self.kv = kv

        def extend(self, layer, k, v):
            return np.concatenate([self.kv, k], axis=2), np.concatenate([layer * self.kv, v], axis=2)

    def remembering(c, x, past, **attn):
        return c.self_attention(x, **attn, n_head=3, cache=Past(past), layer=2)

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
            "self_attention with 2 tokens in the cache",
            remembering,
            dict(x=x, past=normal(2, 3, 2, 4), **attn),
        ),
        Case("feed_forward", lambda c, x, **mlp: c.feed_forward(x, **mlp), dict(x=x, **BLOCK["mlp"])),
        Case("transformer_block", whole, dict(x=x, **BLOCK)),
        Case("transformer_block with the causal mask", whole, dict(x=x, mask=TRIANGLE, **BLOCK)),
        Case("transformer_block whose c_proj are 0, which returns x", whole, dict(x=x, **still), x),
    ]


BLOCK_RUNG = Rung(
    "block",
    ["gpt2:project_qkv", "gpt2:attend", "gpt2:feed_forward", "gpt2:transformer_block"],
    "project_qkv: one linear makes q, k and v side by side, [B, T, 3C]; split each into heads. attend: with a"
    " cache k, v = cache.extend(layer, k, v); attention, merge, linear. feed_forward: linear, gelu, linear."
    " transformer_block: x = x + self_attention(layer_norm(x)), then the same with feed_forward. Note in"
    " `act`, under names of your choice, what its backward will need (ours: x, ln_1, q, k, v, heads, x_mid,"
    " ln_2, c_fc, gelu). Leave dropout, `draw`, aside.",
    block_cases,
)


def logits_cases():
    """Batches, the last tokens only; that no token sees later ones; an id that is none."""

    def run(c, ids, params, n_head, **settings):
        return c.gpt2(ids, params, n_head, **settings)

    def earlier(c, ids, params, n_head):
        changed = ids.copy()
        changed[:, -1] = 4
        return c.gpt2(changed, params, n_head)[:, :-1] - c.gpt2(ids, params, n_head)[:, :-1]

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
        Case(
            "what another last token changes in the logits before it: nothing",
            earlier,
            known,
            np.zeros((2, 6, 17)),
            1e-9,
        ),
        Case("how many things acts receives: one for each of 2 blocks, one for the end", n_acts, known, 3),
        Case("what gpt2 says of an id that is not in the vocabulary", refused, known | dict(ids=IDS + 1)),
    ]


LOGITS = Rung(
    "logits",
    ["gpt2:gpt2"],
    "prepare(...) checks what is given and returns ids, places and mask. x = wte[ids] + wpe[places]; each"
    " block; layer_norm with ln_f; times wte transposed. acts receives one dict for each block (hand it on"
    " as act) and a last one for the end. The cache comes on the next rung; leave dropout aside.",
    logits_cases,
)


def in_pieces(c, ids, params, n_head, sizes, pad=None):
    """Return the logits of calls of so many tokens each, with a cache, and its length after them."""
    cache, logits, at = c.KVCache(params, n_head, len(ids)), [], 0
    for size in sizes:
        logits.append(c.gpt2(ids[:, at : at + size], params, n_head, cache, pad=pad))
        at += size
    n_pad = 0 if pad is None else max(pad)  # what is said of padding means nothing
    return np.concatenate(logits, axis=1)[:, n_pad:], cache.length


def at_once(c, ids, params, n_head, sizes, pad=None):
    """Return the logits of one call without a cache, and how many tokens they are of."""
    n_pad = 0 if pad is None else max(pad)
    return c.gpt2(ids, params, n_head, pad=pad)[:, n_pad:], ids.shape[1]


def cache_cases():
    """What `extend` returns and keeps; the logits in pieces, which are those of one call."""

    def extended(c, params, n_head, k, v):
        cache = c.KVCache(params, n_head, batch=2)
        cache.kv[:] = 0  # of what comes
        seen = [cache.extend(1, k[:, :, :3], v[:, :, :3])]
        cache.length = 3
        seen.append(cache.extend(1, k[:, :, 3:], v[:, :, 3:]))
        return [np.array(pair) for pair in seen], np.array(cache.kv[0])

    params, n_head = model()
    known = dict(ids=IDS, params=params, n_head=n_head)
    past = dict(params=params, n_head=n_head, k=normal(2, 3, 5, 4, of="k"), v=normal(2, 3, 5, 4, of="v"))
    return [
        Case(
            "extend: what it returns for 3 tokens, then for 2 more; what is in another layer", extended, past
        ),
        Case("the logits of 7 tokens in one call, with a cache", in_pieces, known | dict(sizes=[7]), at_once),
        Case("the logits of 3 tokens, then 4, with a cache", in_pieces, known | dict(sizes=[3, 4]), at_once),
        Case("the logits, one token at a time", in_pieces, known | dict(sizes=[1] * 7), at_once),
    ]


CACHE = Rung(
    "cache",
    ["gpt2:KVCache.extend", "gpt2:gpt2"],
    "extend writes k and v into self.kv[layer, 0 and 1] from self.length on and returns all tokens' so"
    " far. gpt2 hands each block `cache=cache, layer=layer`, and adds T to cache.length after the last one."
    " prepare(...) has counted the tokens in the cache: places begin at cache.length, and the mask is for"
    " S = cache.length + T keys.",
    cache_cases,
)


def pad_cases():
    """The mask, after a cache and in another dtype, too; logits of padded rows, at once and in pieces."""

    def run(c, T, S, pad, dtype=np.float32):
        return c.causal_mask(T, S, dtype, pad)

    def logits(c, ids, params, n_head, pad):
        return c.gpt2(ids, params, n_head, pad=pad)[:, max(pad) :]

    def padded(c, ids, params, n_head):
        short = np.concatenate([[0, 0], ids[1, :5]])
        logits = c.gpt2(np.array([ids[0], short]), params, n_head, pad=np.array([0, 2]))
        return logits[1, 2:] - c.gpt2(ids[1:, :5], params, n_head)[0]

    params, n_head = model()
    known, pad = dict(ids=IDS, params=params, n_head=n_head), np.array([0, 2])
    pieces = known | dict(pad=pad, sizes=[4, 2, 1])
    return [
        Case("causal_mask(3, 3, pad=[0, 2])", run, dict(T=3, S=3, pad=pad)),
        Case("causal_mask(2, 5, pad=[1, 3])", run, dict(T=2, S=5, pad=np.array([1, 3]))),
        Case("causal_mask(3, 4, pad=[1, 0, 2])", run, dict(T=3, S=4, pad=np.array([1, 0, 2]))),
        Case("causal_mask(3, 3) without pad", run, dict(T=3, S=3, pad=None)),
        Case("causal_mask(3, 3, pad=[0, 2]) in float64", run, dict(T=3, S=3, pad=pad, dtype=np.float64)),
        Case("the logits with pad=[0, 2]", logits, known | dict(pad=pad)),
        Case("a padded row's logits, less those of the row alone", padded, known, np.zeros((5, 17)), 1e-9),
        Case("the logits of padded rows in pieces, with a cache", in_pieces, pieces, at_once),
    ]


PAD = Rung(
    "pad",
    ["ops:causal_mask"],
    "Texts of unequal length stand in one batch, the short ones filled up at the left. In row b the first"
    " pad[b] keys are hidden too: np.arange(S) < pad as a column [B, 1, 1, S], so that the heads, axis 1, and"
    " the queries, axis 2, share it. hidden = later | padding.",
    pad_cases,
)


def sampling_cases():
    """The filters by their logits, `sample` by how often it chooses what: any way of drawing will do."""

    def top_k(c, logits, k):
        return c.keep_top_k(logits, k)

    def top_p(c, logits, p, rule="openai"):
        return c.keep_top_p(logits, p, rule)

    def shares(c, logits, n=4000, temperature=1.0, **settings):
        rows, rng = np.tile(logits, (n, 1)), np.random.default_rng(7)
        chosen = c.sample(rows, c.Choice(temperature, **settings), [rng] * n)
        return np.bincount(chosen, minlength=len(logits)) / n

    def probabilities(logits, temperature=1.0, keep=(0, 1, 2, 3, 4)):
        p = np.exp(logits / temperature) * np.isin(np.arange(5), keep)
        return p / p.sum()

    def alike(c, logits):
        rngs = [np.random.default_rng(seed) for seed in (3, 4, 3)]
        first, _, third = c.sample(np.tile(logits, (3, 1)), c.Choice(temperature=1.0), rngs)
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
            lambda c, logits: c.sample(logits, c.GREEDY, []),
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
    "sampling",
    ["generate:keep_top_k", "generate:keep_top_p", "generate:sample"],
    "top_k: np.partition finds the k-th largest logit; np.where hides what is less with -np.inf. top_p:"
    " sort descending, softmax, cumsum in float64: the tokens up to p are kept. sample: argmax for"
    " temperature 0; else divide by it, top_k, top_p, softmax, cumsum, and one rng.random() finds its place"
    " (searchsorted).",
    sampling_cases,
)

RUNGS = [HEADS, BLOCK_RUNG, LOGITS, CACHE, PAD, SAMPLING]
