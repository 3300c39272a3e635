"""Record what JAX makes of the gradients of the tiny model in tests/references/pytorch.npz.

    pip install -e ".[reference]"
    python tests/record/jax_gradients.py

The forward is picogpt's own, with `np` standing for jax.numpy; the backward is JAX's. So the record is
the true derivative of the code in ops.py and gpt2.py, whatever grad.py says.
"""

import sys
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from picogpt import gpt2, ops
from picogpt.descendants import activations, erf, positions, tricks
from picogpt.params.tree import flatten, nest, tree_map

REFERENCES = Path(__file__).parents[1] / "references"


def differentiate(f, tree):
    """Return f(tree) and its gradients by jax.grad, in float64; f is made of picogpt's own forward."""
    import jax

    jax.config.update("jax_enable_x64", True)
    ops.np = gpt2.np = activations.np = erf.np = positions.np = tricks.np = types.SimpleNamespace(
        **vars(jax.numpy)
    )
    ops.np.asarray = lambda a, like: jax.numpy.asarray(a)
    try:
        value, grads = jax.value_and_grad(f)(tree_map(jax.numpy.asarray, tree))
    finally:
        ops.np = gpt2.np = activations.np = erf.np = positions.np = tricks.np = np
    return float(value), tree_map(lambda _, g: np.asarray(g), tree, grads)  # JAX sorts the keys


def loss_and_gradients(params, ids, targets, n_head):
    """Return the loss of a model and its gradients."""
    return differentiate(lambda params: ops.cross_entropy(gpt2.gpt2(ids, params, n_head), targets), params)


def record():
    """Return what the record holds, as JAX sees it now."""
    with np.load(REFERENCES / "pytorch.npz") as arrays:
        tiny = nest(dict(arrays))["tiny"]
    params = tree_map(lambda w: w.astype(np.float64), tiny["params"])
    loss, grads = loss_and_gradients(params, tiny["ids"], tiny["targets"], int(tiny["n_head"]))
    return dict(loss=np.array(loss), **flatten(dict(grads=grads)))


if __name__ == "__main__":
    import jax

    versions = f"python {sys.version.split()[0]}, numpy {np.__version__}, jax {jax.__version__}"
    np.savez_compressed(REFERENCES / "jax.npz", **record(), versions=versions)
