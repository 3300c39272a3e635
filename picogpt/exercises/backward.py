"""The backward pass: a rung for each backward function, up to all gradients of the model."""

import numpy as np

from picogpt.exercises.cases import BLOCK, IDS, TRIANGLE, Case, Rung, model, normal
from picogpt.params.tree import flatten, nest

TARGETS = np.array([[16, 3, 0, 7, -1, 2, 1], [5, 1, 14, 0, 9, -1, 4]])  # [B, T]
BY_DIFFERENCES = "found by finite differences of the forward pass"


def numeric(f, x, h=1e-5):
    """Return the derivative of the number f(x) by each element of x, by central differences."""
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        dx[i] = (f(up) - f(down)) / (2 * h)
    return dx


def both(title, run, inputs, by_differences):
    """Return two cases: against our backward function, and against finite differences of our forward one."""
    return [
        Case(title, run, inputs),
        Case(f"{title}, {BY_DIFFERENCES}", run, inputs, by_differences, 1e-6),
    ]


def gelu_cases():
    """Against ours and finite differences."""

    def expected(c, dy, x):
        return numeric(lambda x: (dy * c.gelu(x)).sum(), x)

    inputs = dict(dy=normal(3, 5, of="dy"), x=2 * normal(3, 5))
    return both("gelu_backward", lambda c, dy, x: c.gelu_backward(dy, x), inputs, expected)


GELU = Rung(
    "gelu_backward",
    ["grad:gelu_backward"],
    "The product rule: y = x / 2 * (1 + t), so dy/dx = (1 + t) / 2 + x / 2 * dt/dx, and dt/dx = (1 - t^2)"
    " * du/dx. All of it times dy.",
    gelu_cases,
)


def softmax_cases():
    """Against ours and finite differences; that dx sums to 0."""

    def run(c, dy, x):
        y = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
        return c.softmax_backward(dy, y)

    def expected(c, dy, x):
        return numeric(lambda x: (dy * c.softmax(x)).sum(), x)

    return [
        *both(
            "softmax_backward of 3 rows of 5", run, dict(dy=normal(3, 5, of="dy"), x=normal(3, 5)), expected
        ),
        *both(
            "softmax_backward of [2, 4, 4]",
            run,
            dict(dy=normal(2, 4, 4, of="dy"), x=normal(2, 4, 4)),
            expected,
        ),
        Case(
            "the sum of each row of dx, which is 0",
            lambda c, **inputs: run(c, **inputs).sum(axis=-1),
            dict(dy=normal(3, 5, of="dy"), x=normal(3, 5)),
            np.zeros(3),
            1e-9,
        ),
    ]


SOFTMAX = Rung(
    "softmax_backward",
    ["grad:softmax_backward"],
    "y is what softmax made, not what it took. The sum runs over the last axis, keepdims=True.",
    softmax_cases,
)


def layer_norm_cases():
    """Against ours and finite differences; a square, tiny numbers, no bias."""

    def run(c, dy, x, g, b=None):
        return c.layer_norm_backward(dy, x, g, b)

    def expected(c, dy, x, g, b):
        def loss(x=x, g=g, b=b):
            return (dy * c.layer_norm(x, g, b)).sum()

        grads = dict(g=numeric(lambda g: loss(g=g), g), b=numeric(lambda b: loss(b=b), b))
        return numeric(lambda x: loss(x=x), x), grads

    inputs = dict(dy=normal(2, 3, 5, of="dy"), x=normal(2, 3, 5), g=normal(5, of="g"), b=normal(5, of="b"))
    square = inputs | dict(dy=normal(5, 5, of="dy"), x=0.01 * normal(5, 5))
    return [
        *both("layer_norm_backward of [2, 3, 5]", run, inputs, expected),
        Case("layer_norm_backward of a square array of small numbers", run, square),
        Case("layer_norm_backward without a bias", run, {name: inputs[name] for name in ("dy", "x", "g")}),
    ]


LAYER_NORM = Rung(
    "layer_norm_backward",
    ["grad:layer_norm_backward"],
    "Compute mean, std and n as the forward does. The three means in the formula run over the row"
    " (axis=-1, keepdims=True). The gradients of g and b are sums over all rows: of n * dy, and of dy.",
    layer_norm_cases,
)


def linear_cases():
    """Against ours and finite differences; a square, leading axes, no bias."""

    def run(c, dy, x, w, b=None):
        return c.linear_backward(dy, x, w, b)

    def expected(c, dy, x, w, b):
        def loss(x=x, w=w, b=b):
            return (dy * c.linear(x, w, b)).sum()

        grads = dict(w=numeric(lambda w: loss(w=w), w), b=numeric(lambda b: loss(b=b), b))
        return numeric(lambda x: loss(x=x), x), grads

    square = dict(dy=normal(4, 4, of="dy"), x=normal(4, 4), w=normal(4, 4, of="w"), b=normal(4))
    some = dict(dy=normal(2, 3, 5, of="dy"), x=normal(2, 3, 4), w=normal(4, 5), b=normal(5))
    return [
        *both("linear_backward of square arrays", run, square, expected),
        *both("linear_backward of x [2, 3, 4], w [4, 5]", run, some, expected),
        Case("linear_backward without a bias", run, {name: some[name] for name in ("dy", "x", "w")}),
    ]


LINEAR = Rung(
    "linear_backward",
    ["grad:linear_backward"],
    "Reshape dy and x to rows first. The shapes leave one way: dx [rows, in] = dy [rows, out] @ w.T [out,"
    " in], and dw [in, out] = x.T @ dy. Give dx the shape of x again.",
    linear_cases,
)


def attention_cases():
    """Against ours and finite differences; with a mask, fewer queries than keys."""

    def run(c, dy, q, k, v, mask=None):
        return c.attention_backward(dy, q, k, v, mask)

    def expected(c, dy, q, k, v, mask=None):
        def loss(q=q, k=k, v=v):
            return (dy * c.attention(q, k, v, mask)).sum()

        return (
            numeric(lambda q: loss(q=q), q),
            numeric(lambda k: loss(k=k), k),
            numeric(lambda v: loss(v=v), v),
        )

    dy = dict(dy=normal(2, 1, 4, 4, of="dy"))
    square = dy | dict(zip("qkv", (normal(2, 1, 4, 4, of=name) for name in "qkv"), strict=True))
    some = dict(q=normal(2, 3, 2, 5), k=normal(2, 3, 4, 5, of="k"), v=normal(2, 3, 4, 5, of="v"))
    some |= dict(dy=normal(2, 3, 2, 5, of="dy"), mask=TRIANGLE[2:])
    return [
        *both("attention_backward of 4 queries and keys of size 4", run, square, expected),
        *both("attention_backward with the causal mask", run, square | dict(mask=TRIANGLE), expected),
        Case("attention_backward of 2 queries, 4 keys of size 5", run, some),
    ]


ATTENTION = Rung(
    "attention_backward",
    ["grad:attention_backward"],
    "Compute p again with attention_probs, mask and all, then the five formulas of the docstring in"
    " order; ds is softmax_backward(dp, p). swapaxes(-1, -2) transposes. Return dq, dk, dv.",
    attention_cases,
)


def loss_cases():
    """Against ours and finite differences; targets that do not count, a dloss that is not 1."""

    def run(c, dloss, logits, targets):
        return c.cross_entropy_backward(dloss, logits, targets)

    def expected(c, dloss, logits, targets):
        return numeric(lambda logits: dloss * c.cross_entropy(logits, targets), logits)

    some = dict(dloss=1.0, logits=normal(2, 3, 5), targets=np.array([[3, 0, 4], [1, 1, 2]]))
    not_all = some | dict(targets=np.array([[3, -1, 4], [-1, 1, -1]]))
    return [
        *both("cross_entropy_backward", run, some, expected),
        *both("cross_entropy_backward with targets of -1", run, not_all, expected),
        Case("cross_entropy_backward with dloss=3", run, not_all | dict(dloss=3.0)),
    ]


LOSS = Rung(
    "cross_entropy_backward",
    ["grad:cross_entropy_backward"],
    "softmax(logits), less 1 at each row's target (np.take_along_axis and np.put_along_axis), times dloss"
    " / n; 0 in the rows whose target is -1.",
    loss_cases,
)


def embedding_cases():
    """Ids that occur once and twice; a dw that is not 0 before."""

    def run(c, dy, ids, dw):
        dw = dw.copy()
        c.embedding_backward(dy, ids, dw)
        return dw

    ids = np.array([[1, 2, 1], [2, 2, 4]])
    return [
        Case(
            "dw after embedding_backward, from 0", run, dict(dy=normal(2, 3, 4), ids=ids, dw=np.zeros((6, 4)))
        ),
        Case(
            "dw after embedding_backward, added to", run, dict(dy=normal(2, 3, 4), ids=ids, dw=normal(6, 4))
        ),
        Case(
            "dw for ids without repetition",
            run,
            dict(dy=normal(3, 4), ids=np.array([5, 0, 2]), dw=normal(6, 4)),
        ),
        Case(
            "the sum of dw, which is that of dy",
            lambda c, **inputs: run(c, **inputs).sum(axis=0),
            dict(dy=normal(2, 3, 4), ids=ids, dw=np.zeros((6, 4))),
            normal(2, 3, 4).sum(axis=(0, 1)),
        ),
    ]


EMBEDDING = Rung(
    "embedding_backward",
    ["grad:embedding_backward"],
    "np.add.at(dw, ids, dy) adds to dw in place, once for each id. There is nothing to return.",
    embedding_cases,
)


def block_cases():
    """Against ours, and for dx, gains and biases against finite differences."""

    def run(c, dx, x, mask=None, **block):
        act = {}
        c.transformer_block(x, **block, n_head=3, mask=mask, act=act)
        return c.transformer_block_backward(dx, act, **block, n_head=3, mask=mask)

    def expected(c, dx, x, mask=None, **block):
        def loss(x=x, block=block):
            return (dx * c.transformer_block(x, **block, n_head=3, mask=mask)).sum()

        flat = flatten(block)
        grads = {
            path: numeric(lambda w, path=path: loss(block=nest(flat | {path: w})), flat[path])
            for path in flat
            if path.endswith((".g", ".b"))
        }
        return numeric(lambda x: loss(x=x), x), nest(grads)

    def small(c, **inputs):
        """Only the gains' and biases' gradients, and dx: a difference for each weight would take long."""
        dx, grads = run(c, **inputs)
        return dx, nest({path: grad for path, grad in flatten(grads).items() if path.endswith((".g", ".b"))})

    inputs = dict(dx=normal(2, 4, 12, of="dx"), x=normal(2, 4, 12), **BLOCK)
    return [
        Case("transformer_block_backward", run, inputs),
        Case("transformer_block_backward with the causal mask", run, inputs | dict(mask=TRIANGLE)),
        Case(f"dx and the gradients of gains and biases, {BY_DIFFERENCES}", small, inputs, expected, 1e-5),
    ]


BLOCK_RUNG = Rung(
    "block_backward",
    [
        "grad:attend_backward",
        "grad:project_qkv_backward",
        "grad:feed_forward_backward",
        "grad:transformer_block_backward",
    ],
    "Read the forward function from its last line up; each call becomes its _backward, with what it took,"
    " which is in `act` if your forward noted it there. Where the forward adds, dx goes both ways, and"
    " both come together by a sum. Gradients are nested like the parameters: dict(ln_1=, attn=, ln_2=,"
    " mlp=).",
    block_cases,
)


def gradient_cases():
    """All gradients against ours, some against finite differences; targets that cannot be."""

    def backward(c, ids, params, n_head, dlogits, dnormed=0):
        acts = []
        c.gpt2(ids, params, n_head, acts=acts)
        return c.gpt2_backward(dlogits, ids, params, n_head, acts, dnormed)

    def whole(c, ids, targets, params, n_head, **settings):
        return c.loss_and_grads(params, ids, targets, n_head, **settings)

    def refused(c, **inputs):
        try:
            return whole(c, **inputs)
        except ValueError:
            return "ValueError"

    def flat_gradients(c, **inputs):
        return {path: flatten(whole(c, **inputs)[1])[path] for path in few}

    def expected(c, ids, targets, params, n_head):
        def loss(path, w):
            return c.cross_entropy(c.gpt2(ids, nest(flatten(params) | {path: w}), n_head), targets)

        return {path: numeric(lambda w, path=path: loss(path, w), flatten(params)[path]) for path in few}

    few = [
        "wte",
        "wpe",
        "blocks.0.ln_1.g",
        "blocks.0.attn.c_attn.b",
        "blocks.1.mlp.c_fc.b",
        "ln_f.g",
        "ln_f.b",
    ]
    params, n_head = model()
    known = dict(ids=IDS, params=params, n_head=n_head)
    by_features = dict(dlogits=normal(2, 7, 17), dnormed=normal(2, 7, 12))
    return [
        Case("gpt2_backward", backward, known | dict(dlogits=normal(2, 7, 17))),
        Case("gpt2_backward with dnormed", backward, known | by_features),
        Case("loss_and_grads", whole, known | dict(targets=TARGETS)),
        Case("loss_and_grads with scale=0.25", whole, known | dict(targets=TARGETS, scale=0.25)),
        Case(
            "loss_and_grads for a target that is not in the vocabulary",
            refused,
            known | dict(targets=TARGETS + 1),
            "ValueError",
        ),
        Case(
            "loss_and_grads when no target counts",
            refused,
            known | dict(targets=0 * TARGETS - 1),
            "ValueError",
        ),
        Case(
            f"the gradients of some parameters, {BY_DIFFERENCES}",
            flat_gradients,
            known | dict(targets=TARGETS),
            expected,
            1e-6,
        ),
    ]


GRADIENT = Rung(
    "gradient",
    ["grad:gpt2_backward", "grad:loss_and_grads"],
    "Backwards through the head, ln_f, the blocks from the last to the first, the embeddings. wte is"
    " embedding and head: add both gradients. Row t of wpe is used by every sequence: sum over the batch;"
    " positions that were not used have gradient 0. loss_and_grads: gpt2 with acts, cross_entropy, both"
    " times scale, and back.",
    gradient_cases,
)

RUNGS = [GELU, SOFTMAX, LAYER_NORM, LINEAR, ATTENTION, LOSS, EMBEDDING, BLOCK_RUNG, GRADIENT]
