"""Another right form of what the rung linear asks for."""


def linear(x, w, b=None):
    return x @ w + (0 if b is None else b)
