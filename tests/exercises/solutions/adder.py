"""Another right form of what the rung adder asks for."""

import numpy as np

from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, nest


def init_params(hparams, rng, dtype=np.float32):
    flat = {}
    for path, shape in sorted(flatten(param_shapes(**hparams)).items()):
        kind = path.rpartition(".")[2]
        small = (2 * hparams["n_layer"]) ** -0.5 if "c_proj" in path else 1
        constant = dict(g=1.0, b=0.0).get(kind)
        flat[path] = rng.normal(0, 0.02 * small, shape) if constant is None else np.full(shape, constant)
        flat[path] = flat[path].astype(dtype)
    return nest(flat)
