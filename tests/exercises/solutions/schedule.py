"""Another right form of what the rung schedule asks for."""

import math

import numpy as np

from picogpt.params.tree import flatten


def learning_rate(step, lr, min_lr, warmup, steps, schedule="cosine"):
    if step < warmup:
        return lr / (warmup + 1) * (step + 1)
    if schedule == "constant":
        return lr
    done = 1 if step >= steps else (step - warmup) / (steps - warmup)
    if schedule == "linear":
        return lr + done * (min_lr - lr)
    wave = (math.cos(math.pi * done) + 1) / 2
    return max(min_lr, wave * lr) if schedule == "floor" else wave * lr + (1 - wave) * min_lr


def clip(grads, max_norm):
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in flatten(grads).values()]))
    for g in flatten(grads).values():
        g *= min(1.0, max_norm / norm) if max_norm else 1
    return norm
