"""A right linear layer, and the usual mistakes: below each line, what is written in its place."""


def linear(x, w, b=None):
    y = x @ w
    # wrong: y = x @ w.T
    # The weight is transposed: w is [in, out], as it stands in x @ w.
    # wrong: y = x * w
    # * multiplies element by element; the matrix product is @.
    # wrong: y = (x + (0 if b is None else b)) @ w; b = None
    # The bias is added before the product; it comes after.
    # wrong: y = x.reshape(-1, x.shape[-1]) @ w
    # The leading axes are lost: x [2, 3, 4] gives [2, 3, 5], not [6, 5].
    # wrong: y = (x.reshape(x.shape[-1], -1).T @ w).reshape(*x.shape[:-1], -1)
    # The rows are mixed up: reshape to (-1, the last axis), without transposing.
    return y if b is None else y + b
    # wrong: return y
    # The bias is forgotten.
    # wrong: return y if b is None else y * b
    # The bias multiplies; it is added.
    # wrong: return y if b is None else y - b
    # The bias is subtracted; it is added.
    # wrong: return y + b
    # Without a bias b is None, and nothing is added.
    # wrong: return y + b if b else y
    # `if b` asks whether an array is true, which has no answer; ask `if b is not None`.
