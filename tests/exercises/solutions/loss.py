"""Another right form of what the rung loss asks for."""

import numpy as np


def cross_entropy(logits, targets):
    total, n = 0, 0
    for row, target in zip(logits.reshape(-1, logits.shape[-1]), targets.ravel(), strict=True):
        if target >= 0:
            total, n = total + np.log(np.exp(row - row.max()).sum()) + row.max() - row[target], n + 1
    return total / n
