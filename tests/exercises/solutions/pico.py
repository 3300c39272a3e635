"""Another right form of what the rung pico asks for."""

import numpy as np

from picogpt.gpt2 import gpt2


def forward(ids, params, n_head):
    return gpt2(np.array([ids]), params, n_head)[0]
