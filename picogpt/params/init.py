"""The parameters of an untrained model."""

import math

import numpy as np

from picogpt.descendants.initial import DEVIATIONS, orthogonal
from picogpt.params.shapes import param_shapes, side_by_side
from picogpt.params.tree import flatten, nest


def init_params(hparams, rng, dtype=np.float32, initial="gpt2"):
    """Draw the parameters of an untrained model.

    Weights are N(0, 0.02), gains 1, biases 0 (Radford et al. 2018, section 4.1). The projections that
    add to the residual stream, two in each block, are smaller by sqrt(2 n_layer), so that the sum of
    all they add has the same variance at any depth (Radford et al. 2019, section 2.3). `initial` names
    other deviations than these, or other matrices, see descendants/initial.py; ValueError if they do not suit
    the model.
    """

    if initial == "igpt" and hparams.get("tied", True):
        raise ValueError(
            "initial igpt is a head of zeros, which cannot be the token embedding: give --tied false"
        )

    def deviation(path):
        if initial in DEVIATIONS:
            return DEVIATIONS[initial](path, hparams["n_embd"], hparams["n_layer"])
        return 0.02 / (math.sqrt(2 * hparams["n_layer"]) if path.endswith("c_proj.w") else 1.0)

    def draw(path, shape):
        if path.endswith((".b", ".g")):
            return np.full(shape, float(path.endswith(".g")), dtype)
        if ".time_weighting." in path:
            return np.ones(shape, dtype)
        if path.endswith(".rezero"):
            return np.zeros(shape, dtype)
        if initial == "orthogonal" and path != "wpe" and len(shape) == 2:
            return orthogonal(shape, rng, side_by_side(path)).astype(dtype)
        return (deviation(path) * rng.standard_normal(shape)).astype(dtype)

    return nest({path: draw(path, shape) for path, shape in flatten(param_shapes(**hparams)).items()})
