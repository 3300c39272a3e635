"""The first rungs: the whole model in ten lines, then the operations, one by one."""

import numpy as np

from picogpt.exercises.cases import IDS, TRIANGLE, Case, Rung, model, normal


def pico_cases():
    """One token, all, another model; that no token sees later ones."""

    def run(c, ids, params, n_head):
        return c.forward(ids, params, n_head)

    def earlier(c, ids, params, n_head):
        changed = np.append(ids[:-1], 4)
        return c.forward(changed, params, n_head)[:-1] - c.forward(ids, params, n_head)[:-1]

    params, n_head = model()
    known, larger = dict(ids=IDS[0], params=params, n_head=n_head), model(n_layer=3, n_head=2)
    return [
        Case("the logits of one token", run, known | dict(ids=IDS[0, :1])),
        Case("the logits of 7 tokens", run, known),
        Case("the logits of another model", run, dict(ids=IDS[1], params=larger[0], n_head=larger[1])),
        Case("what another last token changes before it: nothing", earlier, known, np.zeros((6, 17)), 1e-9),
    ]


PICO = Rung(
    "pico",
    ["first:forward"],
    "Follow the docstring from left to right, each operation inside out: y = layer_norm(x, **ln_1), then y ="
    " linear(y, **attn['c_attn']), and so on; at the end x = x + y. Then run it: python -m picogpt.first",
    pico_cases,
)


def softmax_cases():
    """Rows, a square, one row, large and far-apart scores; the values that a well-known text prints."""

    def run(c, x):
        return c.softmax(x)

    return [
        Case("softmax of 3 rows of 5", run, dict(x=normal(3, 5))),
        Case(
            "softmax([[2, 10], [-1, 0]])",
            run,
            dict(x=np.array([[2, 10.0], [-1, 0]])),
            np.array([[3.4e-4, 0.99966], [0.26894, 0.73106]]),
            1e-5,
        ),
        Case("softmax of a square array", run, dict(x=normal(4, 4))),
        Case("softmax of one row", run, dict(x=normal(5))),
        Case("softmax of [2, 3, 4, 5]", run, dict(x=normal(2, 3, 4, 5))),
        Case("softmax of large scores", run, dict(x=1000 * normal(3, 5) + 3000)),
        Case("softmax of rows far apart", run, dict(x=np.array([[0, 1.0], [2000, 2001], [-1e10, 0]]))),
        Case(
            "the sum of every row", lambda c, x: c.softmax(x).sum(axis=-1), dict(x=normal(3, 5)), np.ones(3)
        ),
    ]


SOFTMAX = Rung(
    "softmax",
    ["ops:softmax"],
    "e^x of every score, divided by the row's sum of them: sum over axis=-1 with keepdims=True. Subtract"
    " the row's largest score before np.exp.",
    softmax_cases,
)


def layer_norm_cases():
    """Rows, a square, one row, a constant one, tiny numbers; the mean and deviation that must come out."""

    def run(c, x, g, b=None):
        return c.layer_norm(x, g, b)

    def moments(c, x):
        y = c.layer_norm(x, np.ones(5, x.dtype), np.zeros(5, x.dtype))
        return np.array([y.mean(axis=-1), y.std(axis=-1)])

    g, b = normal(5, of="g"), normal(5, of="b")
    return [
        Case("layer_norm of 3 rows of 5", run, dict(x=normal(3, 5), g=g, b=b)),
        Case(
            "layer_norm([[2, 2, 3], [-5, 0, 1]])",
            run,
            dict(x=np.array([[2, 2, 3.0], [-5, 0, 1]]), g=np.ones(3), b=np.zeros(3)),
            np.array([[-0.70709, -0.70709, 1.41418], [-1.397, 0.508, 0.889]]),
            1e-5,
        ),
        Case("layer_norm of a square array", run, dict(x=normal(5, 5), g=g, b=b)),
        Case("layer_norm of [2, 3, 5]", run, dict(x=normal(2, 3, 5), g=g, b=b)),
        Case("layer_norm of one row", run, dict(x=normal(5), g=g, b=b)),
        Case("layer_norm of a constant row", run, dict(x=np.full((2, 5), 3.0), g=g, b=b)),
        Case("layer_norm of tiny numbers", run, dict(x=1e-3 * normal(2, 5), g=g, b=b)),
        Case("layer_norm without a bias", run, dict(x=normal(2, 5), g=g)),
        Case(
            "the mean and standard deviation of every row",
            moments,
            dict(x=100 * normal(3, 5) + 7),
            np.array([[0.0] * 3, [1.0] * 3]),
            1e-6,
        ),
    ]


LAYER_NORM = Rung(
    "layer_norm",
    ["ops:layer_norm"],
    "Take each row's mean (axis=-1, keepdims=True) away, divide by sqrt(variance + eps), the variance"
    " being the mean of the squares; then times g, plus b if there is one.",
    layer_norm_cases,
)


def gelu_cases():
    """Numbers near 0 and far from it; what gelu(x) - gelu(-x) is."""

    def run(c, x):
        return c.gelu(x)

    return [
        Case("gelu of [3, 4]", run, dict(x=normal(3, 4))),
        Case(
            "gelu([[1, 2], [-2, 0.5]])",
            run,
            dict(x=np.array([[1, 2], [-2, 0.5]])),
            np.array([[0.84119, 1.9546], [-0.0454, 0.34571]]),
            1e-5,
        ),
        Case("gelu of [2, 3, 4]", run, dict(x=3 * normal(2, 3, 4))),
        Case(
            "gelu(x) - gelu(-x), which is x",
            lambda c, x: c.gelu(x) - c.gelu(-x),
            dict(x=normal(7)),
            normal(7),
        ),
        Case("gelu of numbers far from 0", run, dict(x=np.array([-100.0, -30, 30, 100]))),
    ]


GELU = Rung(
    "gelu",
    ["ops:gelu"],
    "The docstring has the formula: math.sqrt and math.pi make Python numbers, np.tanh works on arrays,"
    " and x * x * x is the cube.",
    gelu_cases,
)


def linear_cases():
    """Square and other weights, leading axes, no bias, the identity."""

    def run(c, x, w, b=None):
        return c.linear(x, w, b)

    return [
        Case("linear with a square w", run, dict(x=normal(3, 4), w=normal(4, 4), b=normal(4))),
        Case("linear with w [4, 5]", run, dict(x=normal(3, 4), w=normal(4, 5), b=normal(5))),
        Case("linear of x [2, 3, 4]", run, dict(x=normal(2, 3, 4), w=normal(4, 5), b=normal(5))),
        Case("linear of one row", run, dict(x=normal(4), w=normal(4, 5), b=normal(5))),
        Case("linear without a bias", run, dict(x=normal(3, 4), w=normal(4, 5))),
        Case(
            "linear with the identity matrix, which returns x",
            run,
            dict(x=normal(3, 4), w=np.eye(4)),
            normal(3, 4),
        ),
    ]


LINEAR = Rung(
    "linear",
    ["ops:linear"],
    "x @ w, plus b if there is one: w is [in, out], so nothing is transposed.",
    linear_cases,
)


def mask_cases():
    """Without earlier keys, with them, in another dtype."""

    def run(c, T, S, dtype=np.float32):
        return c.causal_mask(T, S, dtype)

    return [
        Case("causal_mask(4, 4)", run, dict(T=4, S=4)),
        Case("causal_mask(2, 5): 2 tokens after 3 earlier ones", run, dict(T=2, S=5)),
        Case("causal_mask(1, 3)", run, dict(T=1, S=3), np.zeros((1, 3), np.float32)),
        Case("causal_mask(3, 3) in float64", run, dict(T=3, S=3, dtype=np.float64)),
    ]


MASK = Rung(
    "mask",
    ["ops:causal_mask"],
    "Query i of T is token S - T + i. Compare np.arange(S) with those numbers as a column: True where the"
    " key is later. np.where makes the numbers, .astype(dtype) the dtype. pad is None: its rung comes"
    " later.",
    mask_cases,
)


def attention_cases():
    """Each function with and without a mask, fewer queries than keys, large scores, equal keys."""

    def weights(c, q, k, v, mask=None):
        w = c.attention_weights(q, k, mask)
        return w / w.sum(axis=-1, keepdims=True)

    def probs(c, q, k, v, mask=None):
        return c.attention_probs(q, k, mask)

    def values(c, q, k, v, mask=None):
        return c.attention(q, k, v, mask)

    square = dict(zip("qkv", (normal(2, 3, 4, 4, of=name) for name in "qkv"), strict=True))
    some = dict(q=normal(2, 3, 2, 5), k=normal(2, 3, 4, 5, of="k"), v=normal(2, 3, 4, 5, of="v"))
    late = dict(mask=TRIANGLE[2:])
    return [
        case
        for run, what in (
            (weights, "attention_weights, each row divided by its sum"),
            (probs, "attention_probs"),
            (values, "attention"),
        )
        for case in (
            Case(f"{what}: 4 queries and keys of size 4", run, square),
            Case(f"{what}: with the causal mask", run, square | dict(mask=TRIANGLE)),
            Case(f"{what}: 2 queries, 4 keys of size 5", run, some | late),
            Case(f"{what}: large scores", run, square | dict(q=1000 * square["q"])),
        )
    ] + [
        Case(
            "attention with equal keys, which is the mean of the values",
            values,
            some | dict(k=np.ones((2, 3, 4, 5))),
            np.broadcast_to(some["v"].mean(axis=-2, keepdims=True), (2, 3, 2, 5)),
        ),
    ]


ATTENTION = Rung(
    "attention",
    ["ops:attention_weights", "ops:attention_probs", "ops:attention"],
    "scores = q @ k transposed (swapaxes(-1, -2)) / sqrt(D), D the last axis of q; plus the mask; softmax"
    " over the keys, the last axis; @ v. attention_weights stops before the division by the sum.",
    attention_cases,
)


def loss_cases():
    """Random, equal and large logits; targets that do not count."""

    def run(c, logits, targets):
        return c.cross_entropy(logits, targets)

    targets = np.array([[3, 0, 4], [1, 1, 2]])
    return [
        Case("cross_entropy of logits [2, 3, 5]", run, dict(logits=normal(2, 3, 5), targets=targets)),
        Case(
            "cross_entropy of equal logits, which is ln 50257",
            run,
            dict(logits=np.zeros((3, 50257)), targets=np.array([0, 7, 50256])),
            np.log(50257),
        ),
        Case(
            "cross_entropy with targets of -1",
            run,
            dict(logits=normal(2, 3, 5), targets=np.array([[3, -1, 4], [-1, 1, -1]])),
        ),
        Case("cross_entropy of large logits", run, dict(logits=2000 * normal(2, 3, 5), targets=targets)),
        Case(
            "cross_entropy of logits [5, 5]",
            run,
            dict(logits=normal(5, 5), targets=np.array([0, 1, 1, 4, 2])),
        ),
    ]


LOSS = Rung(
    "loss",
    ["ops:cross_entropy"],
    "-ln softmax(logits)[target] = ln(sum of e^logits) - logits[target], with the largest logit"
    " subtracted from both. np.take_along_axis picks each row's target. The mean is over the targets that"
    " are not -1.",
    loss_cases,
)


RUNGS = [PICO, SOFTMAX, LAYER_NORM, GELU, LINEAR, MASK, ATTENTION, LOSS]
