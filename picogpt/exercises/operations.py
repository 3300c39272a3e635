"""The first rungs: the operations, one by one."""

import numpy as np

from picogpt.exercises.cases import TRIANGLE, Case, Rung, normal


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
    "softmax", ["ops.softmax"],
    "e^x of every score, divided by the row's sum of them: sum over axis=-1 with keepdims=True. Subtract"
    " the row's largest score before np.exp.",
    softmax_cases,
    [
        ("y.sum(axis=-1, keepdims=True)", "y.sum(axis=0, keepdims=True)",
         "The sum runs over axis 0, down the columns; each row, axis=-1, has to sum to 1."),
        ("y.sum(axis=-1, keepdims=True)", "y.sum()",
         "All numbers together sum to 1; each row has to, by itself: sum over axis=-1."),
        ("y /= y.sum(axis=-1, keepdims=True)", "y = y / y.sum(axis=-1)",
         "The sum has lost the axis that it ran over: keepdims=True keeps it, as [3, 1] beside [3, 5]."),
        ("x - x.max(axis=-1, keepdims=True)", "x",
         "The largest score is not subtracted first, so e^x overflows to infinity, and inf / inf is nan."),
        ("x.max(axis=-1, keepdims=True)", "x.mean(axis=-1, keepdims=True)",
         "The mean is subtracted instead of the maximum: e^x still overflows for the larger scores."),
        ("x.max(axis=-1, keepdims=True)", "x.max()",
         "The largest score of the whole array is subtracted: all of a row far below it becomes 0, and 0 / 0"
         " is nan."),
        ("x - x.max(axis=-1, keepdims=True)", "x.max(axis=-1, keepdims=True) - x",
         "The sign is reversed: the largest score gets the smallest probability."),
        ("y /= y.sum(axis=-1, keepdims=True)", "pass",
         "The numbers are not divided by their sum, so they are no probabilities."),
        ("return y", "return np.log(y)", "That is the logarithm of the softmax."),
    ],
)  # fmt: skip


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
    "layer_norm", ["ops.layer_norm"],
    "Take each row's mean (axis=-1, keepdims=True) away, divide by sqrt(variance + eps), the variance"
    " being the mean of the squares; then times g, plus b if there is one.",
    layer_norm_cases,
    [
        ("x.mean(axis=-1, keepdims=True)", "x.mean(axis=0, keepdims=True)",
         "The mean runs over axis 0, other tokens; a row, axis=-1, is normalised by itself."),
        ("x.mean(axis=-1, keepdims=True)", "x.mean()",
         "That is the mean of the whole array; a row, axis=-1, is normalised by itself."),
        ("x - x.mean(axis=-1, keepdims=True)", "x - x.mean(axis=-1)",
         "The mean has lost the axis that it ran over: keepdims=True keeps it, as [3, 1] beside [3, 5]."),
        ("x - x.mean(axis=-1, keepdims=True)", "1 * x", "The mean of the row is not subtracted."),
        ("(1 / x.shape[-1]) + eps)", "(1 / x.shape[-1])) + eps",
         "eps is added outside of the square root; it belongs to the variance, inside."),
        (" + eps)", ")", "eps is forgotten: it keeps a constant row from 0 / 0, and it is in the formula."),
        ("np.sqrt(", "(", "Divided by the variance; the standard deviation is its square root."),
        ("(1 / x.shape[-1])", "(1 / (x.shape[-1] - 1))",
         "The variance is divided by C - 1; here it is the mean of the squares, divided by C."),
        ("y *= g", "pass", "The gain g is forgotten."),
        ("y += b", "pass", "The bias b is forgotten."),
        ("y *= g", "y += 0 if b is None else b; y *= g; b = None",
         "The bias is added before the gain; the gain comes first."),
        ("if b is not None:", "if True:", "Without a bias b is None, and nothing is added."),
    ],
)  # fmt: skip


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
    "gelu", ["ops.gelu"],
    "The docstring has the formula: math.sqrt and math.pi make Python numbers, np.tanh works on arrays,"
    " and x * x * x is the cube.",
    gelu_cases,
    [
        ("c = math",
         "return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)).astype(x.dtype))\n    c = math",
         "That is the exact gelu, with erf; GPT-2 was trained with the tanh form."),
        ("c = math", "return x / (1 + np.exp(-1.702 * x))\n    c = math",
         "That is the approximation with a sigmoid; GPT-2 was trained with the tanh form."),
        ("c = math", "return np.maximum(x, 0)\n    c = math", "That is relu."),
        ("y = x * x ", "y = 1 * x ", "The cube is a square: the formula has x^3."),
        ("math.sqrt(2 / math.pi)", "2 / math.pi", "The root of 2 / pi is forgotten."),
        ("math.sqrt(2 / math.pi)", "math.sqrt(2 * math.pi)",
         "That is the root of 2 * pi; the formula has 2 / pi."),
        ("0.044715 *", "0.44715 *", "The constant is 0.044715, not 0.44715."),
        ("0.044715 * c", "0.044715", "sqrt(2 / pi) multiplies the whole bracket, the cube too."),
        ("y += 1\n", "pass\n", "The 1 + before tanh is forgotten."),
        ("y *= 0.5", "pass", "The half, x / 2, is forgotten."),
        ("    y *= x\n    y *= 0.5", "    y *= 0.5", "The bracket is multiplied by 1 / 2 and not by x / 2."),
    ],
)  # fmt: skip


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
    "linear", ["ops.linear"],
    "x @ w, plus b if there is one: w is [in, out], so nothing is transposed.",
    linear_cases,
    [
        ("@ w\n", "@ w.T\n", "The weight is transposed: w is [in, out], as it stands in x @ w."),
        ("y += b", "pass", "The bias is forgotten."),
        ("y += b", "y *= b", "The bias multiplies; it is added."),
        ("y += b", "y -= b", "The bias is subtracted; it is added."),
        ("y = x.reshape(-1, x.shape[-1]) @ w",
         "y = (x.reshape(-1, x.shape[-1]) + (0 if b is None else b)) @ w; b = None",
         "The bias is added before the product; it comes after."),
        ("return y.reshape(*x.shape[:-1], w.shape[-1])", "return y",
         "The leading axes are lost: x [2, 3, 4] gives [2, 3, 5], not [6, 5]."),
        ("x.reshape(-1, x.shape[-1])", "x.reshape(x.shape[-1], -1).T",
         "The rows are mixed up: reshape to (-1, the last axis), without transposing."),
        ("if b is not None:", "if True:", "Without a bias b is None, and nothing is added."),
    ],
)  # fmt: skip


def mask_cases():
    """Without earlier keys, with them, with padding, in another dtype."""

    def run(c, T, S, pad=None, dtype=np.float32):
        return c.causal_mask(T, S, dtype, pad)

    return [
        Case("causal_mask(4, 4)", run, dict(T=4, S=4)),
        Case("causal_mask(2, 5): 2 tokens after 3 earlier ones", run, dict(T=2, S=5)),
        Case("causal_mask(1, 3)", run, dict(T=1, S=3), np.zeros((1, 3), np.float32)),
        Case("causal_mask(3, 3, pad=[0, 2])", run, dict(T=3, S=3, pad=np.array([0, 2]))),
        Case("causal_mask(2, 5, pad=[1, 3])", run, dict(T=2, S=5, pad=np.array([1, 3]))),
        Case("causal_mask(3, 3) in float64", run, dict(T=3, S=3, dtype=np.float64)),
    ]


MASK = Rung(
    "mask", ["ops.causal_mask"],
    "Query i of T is token S - T + i. Compare np.arange(S) with those numbers as a column: True where the"
    " key is later. np.where makes the numbers, .astype(dtype) the dtype. With pad: also True at the first"
    " pad[b] keys of row b.",
    mask_cases,
    [
        ("np.arange(S - T, S)[:, None]", "np.arange(T)[:, None]",
         "The offset S - T is forgotten: the triangle stands in the lower right corner."),
        (" > ", " >= ", "A token cannot see itself; it may."),
        (" > ", " < ", "The wrong triangle: the past is hidden and the future seen."),
        ("-1e10, 0", "0, -1e10", "Allowed and hidden are swapped."),
        ("-1e10, 0", "-np.inf, 0",
         "Hidden is -inf; -1e10 does the same, and a row of nothing else makes no nan."),
        ("-1e10, 0", "0, 1",
         "1 where a query may look and 0 where not; what is added to scores is 0 and -1e10."),
        ("-1e10, 0", "1e10, 0", "The sign: the hidden scores must become very small, -1e10."),
        (".astype(dtype)", "",
         "The mask is float64, and would turn the scores into it: give it the dtype asked for."),
        ("np.arange(S) < pad[:, None, None, None]", "np.arange(S) >= S - pad[:, None, None, None]",
         "The padding is hidden at the right; it stands at the left."),
        ("hidden | ", "hidden & ", "A key is hidden if it is later or padding, not only if it is both."),
        ("pad[:, None, None, None]", "pad[:, None, None]",
         "With pad the shape is [B, 1, T, S]: an axis for the heads."),
    ],
)  # fmt: skip


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
    "attention", ["ops.attention_weights", "ops.attention_probs", "ops.attention"],
    "scores = q @ k transposed (swapaxes(-1, -2)) / sqrt(D), D the last axis of q; plus the mask; softmax"
    " over the keys, the last axis; @ v. attention_weights stops before the division by the sum.",
    attention_cases,
    [
        ("(q * (1 / math.sqrt(q.shape[-1])))", "q", "The scores are not divided by sqrt(D)."),
        ("math.sqrt(q.shape[-1])", "q.shape[-1]", "The scores are divided by D; it should be sqrt(D)."),
        ("math.sqrt(q.shape[-1])", "math.sqrt(q.shape[1] * q.shape[-1])",
         "Divided by the root of H * D, all channels; D is the size of one head."),
        ("1 / math.sqrt(q.shape[-1])", "math.sqrt(q.shape[-1])",
         "The scores are multiplied by sqrt(D); they are divided by it."),
        ("k.swapaxes(-1, -2)", "k", "k is not transposed: q k^T, over the last two axes."),
        ("scores += mask", "pass", "The mask is ignored: a query sees keys that it may not."),
        ("scores += mask", "scores *= mask", "The mask multiplies the scores; it is added to them."),
        ("scores -= scores.max(axis=-1, keepdims=True)", "pass",
         "The largest score of a row is not subtracted first: e^x overflows."),
        ("weights /= weights.sum(axis=-1, keepdims=True)", "weights /= weights.sum(axis=-2, keepdims=True)",
         "Normalised over the queries; the probabilities of one query, over its keys, sum to 1: axis=-1."),
        ("weights /= weights.sum(axis=-1, keepdims=True)", "pass",
         "The weights are not divided by their sum over the keys."),
        (" / weights.sum(axis=-1, keepdims=True)", "",
         "The weights are not divided by their sum over the keys."),
        (" / weights.sum(axis=-1, keepdims=True)", " / weights.sum(axis=-2)[..., None]",
         "Normalised over the queries; the probabilities of one query, over its keys, sum to 1: axis=-1."),
        ("@ v /", "@ k /", "The keys are averaged; it should be the values, v."),
        ("attention_weights(q, k, mask)\n    factored", "attention_weights(q, k)\n    factored",
         "The mask is ignored: a query sees keys that it may not."),
        ("attention_weights(q, k, mask)\n    factored", "attention_weights(k, q, mask)\n    factored",
         "q and k are swapped: row i of the scores belongs to query i."),
    ],
)  # fmt: skip


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
    "loss", ["ops.cross_entropy"],
    "-ln softmax(logits)[target] = ln(sum of e^logits) - logits[target], with the largest logit"
    " subtracted from both. np.take_along_axis picks each row's target. The mean is over the targets that"
    " are not -1.",
    loss_cases,
    [
        (" / counted.sum(dtype=logits.dtype)", "",
         "That is the sum; the loss is the mean over the targets that count."),
        (" / counted.sum(dtype=logits.dtype)", " / targets.size",
         "Divided by all targets; those of -1 do not count, neither above nor below the line."),
        ("counted = targets != -1", "counted = targets != -2",
         "Targets of -1 count, as the last token; they must not."),
        ("log_sums - chosen", "chosen - log_sums",
         "The sign is wrong: the loss is minus the mean log-probability."),
        ("log_sums - chosen", "-chosen",
         "The logits are taken for log-probabilities: the log of the sum of e^logits is missing."),
        ("(log_sums - chosen)", "((log_sums - chosen) / np.log(np.array(2, logits.dtype)))",
         "That is in bits; the loss is in nats, with the natural logarithm."),
        ("(log_sums - chosen)", "-np.exp(chosen - log_sums)",
         "The logarithm is missing: that is minus the mean probability."),
        ("logits - logits.max(axis=-1, keepdims=True)", "logits",
         "The largest logit is not subtracted first: e^x overflows."),
        ("chosen = np.take", "chosen = shifted.max(axis=-1) if True else np.take",
         "The likeliest token's probability is taken; it should be the target's."),
        ("return ((",
         "return -np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True))[...,"
         " targets].mean()\n    return ((",
         "logits[..., targets] picks all targets in each row; each row has one: np.take_along_axis."),
    ],
)  # fmt: skip


RUNGS = [SOFTMAX, LAYER_NORM, GELU, LINEAR, MASK, ATTENTION, LOSS]
