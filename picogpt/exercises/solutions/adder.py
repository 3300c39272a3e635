"""A right init_params, and the usual mistakes: below each line, what is written in its place."""

import numpy as np

from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, nest


def init_params(hparams, rng, dtype=np.float32):
    flat = {}
    small = (2 * hparams["n_layer"]) ** -0.5
    # wrong: small = 1
    # The c_proj are not smaller: divide them by sqrt(2 * n_layer).
    # wrong: small = hparams["n_layer"] ** -0.5
    # Each block has two c_proj: divide by sqrt(2 * n_layer), not sqrt(n_layer).
    # wrong: small = 1 / (2 * hparams["n_layer"])
    # Divided by 2 * n_layer; it should be the square root of that.
    for path, shape in flatten(param_shapes(**hparams)).items():
        w = 0.02 * rng.standard_normal(shape)
        # wrong: w = rng.standard_normal(shape)
        # The weights are N(0, 1); their standard deviation is 0.02.
        # wrong: w = 0.02**2 * rng.standard_normal(shape)
        # 0.02 is the standard deviation, not its root: here it is 0.02^2.
        # wrong: w = 0.02 * 12**0.5 * (rng.random(shape) - 0.5)
        # The numbers are uniform; they should be normal: rng.standard_normal.
        # wrong: w = 0.02 * rng.random(shape)
        # The numbers are uniform from 0 to 1; they should be normal: rng.standard_normal.
        # wrong: w = 0.02 * np.random.default_rng(0).standard_normal(shape)
        # Every array gets the same numbers: draw all from the generator that is given.
        if path.endswith("c_proj.w"):
            # wrong: if "proj" in path or "c_fc" in path:
            # Only what is added to the stream is smaller, c_proj.w; c_fc is not.
            w = small * w
        elif path.endswith((".g", ".b")):
            w = np.full(shape, 1.0 if path.endswith(".g") else 0.0)
            # wrong: w = np.zeros(shape)
            # The gains are 0; they start at 1.
            # wrong: w = np.ones(shape)
            # The biases are 1; they start at 0.
        flat[path] = w.astype(dtype)
        # wrong: flat[path] = w
        # The weights are float64, whatever dtype says: .astype(dtype).
    return nest(flat)
    # wrong: return flat
    # Those are paths and arrays side by side; nest makes the tree of them.
