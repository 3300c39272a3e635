"""A right linear_backward, and the usual mistakes: below each line, what is written in its place."""


def linear_backward(dy, x, w, b=None):
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    # wrong: rows, drows = x, dy
    # x [2, 3, 4] has two axes of rows; make one of them first: reshape(-1, x.shape[-1]), and dy too.
    dx = dy @ w.T
    # wrong: dx = dy @ w
    # dx is dy @ w: the weight must be transposed, dx = dy w^T.
    # wrong: dx = drows @ w.T
    # dx has lost its leading axes: it has x's shape.
    # wrong: dx = w @ dy
    # The factors are swapped: dx = dy w^T.
    grads = dict(w=rows.T @ drows)
    # wrong: grads = dict(w=drows.T @ rows)
    # dw is transposed: w is [in, out], so its gradient is x^T dy.
    # wrong: grads = dict(w=rows @ drows)
    # x must be transposed: dw = x^T dy.
    # wrong: grads = dict(w=rows.T @ drows / len(rows))
    # dw is a sum over the rows, not a mean.
    if b is not None:
        # wrong: if True:
        # Without a bias b is None, and has no gradient.
        # wrong: if b:
        # `if b` asks whether an array is true, which has no answer; ask `if b is not None`.
        grads["b"] = drows.sum(axis=0)
        # wrong: grads["b"] = drows.sum(axis=-1)
        # The gradient of b is summed over the outputs; it is the sum over the rows, axis 0.
        # wrong: grads["b"] = drows.mean(axis=0)
        # The gradient of b is the sum over the rows, not the mean.
        # wrong: grads["b"] = drows.sum()
        # The gradient of b is one number; b has one for each output: sum over the rows, axis 0.
        # wrong: grads["b"] = dy.sum(axis=0)
        # The gradient of b is summed over axis 0 alone; dy [2, 3, 5] has more rows: all axes but the last.
    return dx, grads
