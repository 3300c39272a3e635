"""Record what PyTorch says of the options of the model, for machines that have no PyTorch.

    pip install -e ".[reference]"
    python tests/record/options.py

Each kind of model has random parameters from a seed, and so are the directions along which the gradients are
recorded: one number for each array. tests/references/options.npz holds logits, loss and these slopes.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))
from record.gpt import gpt
from record.pytorch import gpt2_path

from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, tree_map

RECORD = Path(__file__).parents[1] / "references" / "options.npz"
TINY = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)
KINDS = [
    dict(positions="rotary"),
    dict(positions="alibi"),
    dict(positions="none"),
    dict(norm="post"),
    dict(positions="rotary", norm="post", bias=False, tied=False),
    dict(positions="alibi", norm="post", band=2, gelu="quick", time_mixing=True),
    dict(rms=True, gelu="quick", tied=False),
    dict(rezero=True),
    dict(rezero=True, norm="post", rms=True, time_mixed=4),
    dict(causal=False),
]


def model(kind, dtype=np.float64):
    """Return random parameters of a kind, and a batch of ids and targets."""
    rng = np.random.default_rng(0)
    params = tree_map(
        lambda shape: (0.5 * rng.standard_normal(shape)).astype(dtype), param_shapes(**TINY, **kind)
    )
    ids, targets = rng.integers(0, 17, (2, 2, 7))
    targets[0, :2] = -1
    return params, ids, targets


def pytorch_says(kind):
    """Return the logits, the loss and {path: gradient} of the model of a kind, by PyTorch."""
    import torch

    params, ids, targets = model(kind)
    arrays, theirs = flatten(params), gpt(**TINY, **kind).double()
    paths = {name: gpt2_path(name).replace("lm_head.w", "lm_head") for name, _ in theirs.named_parameters()}
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            w = arrays[paths[name]]
            parameter.copy_(torch.from_numpy(w.T.copy() if paths[name].endswith(".w") else w))
    logits = theirs(torch.from_numpy(ids))
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=-1
    )
    loss.backward()
    grads = {paths[name]: parameter.grad.numpy() for name, parameter in theirs.named_parameters()}
    grads = {path: dw.T if path.endswith(".w") else dw for path, dw in grads.items()}
    return logits.detach().numpy(), loss.item(), grads


def slopes(grads):
    """Return {path: the derivative along a direction drawn for it} of {path: gradient} with numbers in it."""
    rng, found = np.random.default_rng(1), {}
    for path in sorted(path for path in grads if grads[path].size):
        found[path] = float((grads[path] * rng.standard_normal(grads[path].shape)).sum())
    return found


def record():
    """Return what the record holds, as PyTorch sees it now."""
    arrays = {}
    for n, kind in enumerate(KINDS):
        logits, loss, grads = pytorch_says(kind)
        arrays |= {f"{n}.logits": logits, f"{n}.loss": np.array(loss)}
        arrays |= {f"{n}.slopes": np.array(list(slopes(grads).values()))}
    return arrays


if __name__ == "__main__":
    import torch

    versions = f"python {sys.version.split()[0]}, numpy {np.__version__}, torch {torch.__version__}"
    np.savez_compressed(RECORD, **record(), versions=versions)
