"""A right softmax_backward, and the usual mistakes: below each line, what is written in its place."""


def softmax_backward(dy, y):
    total = (y * dy).sum(axis=-1, keepdims=True)
    # wrong: total = 0
    # Each x is taken to move only its own y; raising one lowers all others: - sum(y * dy).
    # wrong: total = dy.sum(axis=-1, keepdims=True)
    # The sum is of y * dy, not of dy.
    # wrong: total = (y * dy).sum(axis=0, keepdims=True)
    # The sum runs over axis 0; softmax's rows lie along axis=-1.
    # wrong: total = (y * dy).sum(axis=1, keepdims=True)
    # axis=1 is the last axis of a table alone; axis=-1 is the last of every array.
    # wrong: total = (y * dy).sum()
    # The sum is of the whole array; each row, axis=-1, has its own.
    # wrong: total = (y * dy).sum(axis=-1)
    # The sum has lost the axis that it ran over: keepdims=True keeps it, as [3, 1] beside [3, 5].
    # wrong: total = (y * dy).mean(axis=-1, keepdims=True)
    # The mean is taken for the sum: y are the weights already.
    return y * (dy - total)
    # wrong: return dy - total
    # The factor y before the bracket is forgotten.
    # wrong: return y * (1 - y) * (dy - total)
    # That is the sigmoid's y * (1 - y); softmax has y before the bracket.
    # wrong: return dy * y * (1 - y)
    # Each x is taken to move only its own y, as the sigmoid does; raising one lowers all others.
    # wrong: y = softmax(y); return y * (dy - (y * dy).sum(axis=-1, keepdims=True))
    # softmax is taken of y again; y is what softmax made.
