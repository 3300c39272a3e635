"""A right schedule and clip, and the usual mistakes: below each line, what is written in its place."""

import math

from picogpt.params.tree import flatten


def learning_rate(step, lr, min_lr, warmup, steps, schedule="cosine"):
    if step < warmup:
        # wrong: if False:
        # There is no warmup: the rate rises to lr first.
        return lr * (step + 1) / (warmup + 1)
        # wrong: return lr * step / warmup
        # The first step has rate 0: it is lr * (step + 1) / (warmup + 1).
        # wrong: return lr * (step + 1) / warmup
        # Warmup divides by warmup; it is warmup + 1, as in nanoGPT.
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    # wrong: progress = min(1.0, step / steps)
    # The cosine begins at step 0; it begins after the warmup.
    # wrong: progress = (step - warmup) / max(1, steps - warmup)
    # After the last step the rate rises again: progress ends at 1.
    cosine = (1 + math.cos(math.pi * progress)) / 2
    # wrong: cosine = (1 + math.cos(2 * math.pi * progress)) / 2
    # That is a whole cosine, down and up; half of one is asked for.
    left = {"linear": 1 - progress, "constant": 1.0}.get(schedule, cosine)
    # wrong: left, schedule = cosine, "cosine"
    # `schedule` is ignored: the docstring names four of them.
    if schedule == "floor":
        return max(min_lr, left * lr)
        # wrong: return min_lr + left * (lr - min_lr)
        # "floor" is a cosine to 0, cut off at min_lr: max(min_lr, ...).
    return min_lr + left * (lr - min_lr)
    # wrong: return left * (lr - min_lr)
    # min_lr is forgotten: the curve ends there, min_lr + left * (lr - min_lr).
    # wrong: return left * lr
    # min_lr is forgotten: the curve ends there, min_lr + left * (lr - min_lr).
    # wrong: return min_lr + left * lr
    # The curve starts above lr: it is of the height lr - min_lr.


def clip(grads, max_norm):
    arrays = list(flatten(grads).values())
    norm = math.sqrt(sum(float((g * g).sum()) for g in arrays))
    # wrong: norm = sum(float((g * g).sum()) for g in arrays)
    # The root is forgotten: the length is the root of the sum of squares.
    # wrong: norm = sum(math.sqrt(float((g * g).sum())) for g in arrays)
    # The lengths of the arrays are added; all have one common length, the root of the sum of all squares.
    for g in arrays if max_norm and norm > max_norm else []:
        # wrong: for g in arrays if max_norm else []:
        # Short gradients are made longer; only those beyond max_norm are scaled.
        # wrong: for g in arrays if norm > max_norm else []:
        # max_norm 0 means never; here all gradients become 0.
        g *= max_norm / norm
        # wrong: np.clip(g, -max_norm, max_norm, out=g)
        # Each number is clipped by itself; all are scaled by one factor, so that the direction stays.
        # wrong: g *= max_norm / math.sqrt(float((g * g).sum()))
        # Each array is scaled by its own length; all have one common length, and one factor.
        # wrong: g = g * (max_norm / norm)
        # The gradients themselves are unchanged: scale them in place.
    return norm
    # wrong: return min(norm, max_norm) if max_norm else norm
    # The length before the scaling is to be returned.
    # wrong: return grads
    # The gradients are scaled in place; the length before the scaling is to be returned.
