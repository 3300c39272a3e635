"""The state of a training: all that its next step depends on, in one file, to resume it bit for bit.

A state is a dict: params and moments (trees of arrays), step (how many are done), tokens (how many these
took), rng (the generator that draws batches and dropout), best (the lowest held-out loss so far) and, with
products in float16, loss_scale (see train/half.py). The file also holds the settings of the training,
except those that are FREE: with other settings the result would differ.
"""

import hashlib
import json
import logging

import numpy as np

from picogpt.checkpoints import safetensors
from picogpt.params.tree import flatten, nest, walk
from picogpt.system.files import parse_json

log = logging.getLogger("picogpt")
STATE = "state.safetensors"  # its name in the folder of the training
COUNTS, HALF = ("step", "tokens", "best"), ("loss_scale",)
# Settings that are the hash of a content, and what a message says if it differs:
CONTENTS = dict(sha256="another text", model_sha256="another model", pictures_sha256="other pictures")


def save_state(path, state, settings):
    """Write all that the next step depends on into one file, in one piece, and the settings with it."""
    tensors = flatten(dict(params=state["params"], **state["moments"]))
    rest = {name: state[name] for name in (*COUNTS, *HALF) if name in state}
    rest |= dict(rng=state["rng"].bit_generator.state, settings=settings)
    rest = json.dumps(rest)
    safetensors.write(path, tensors, {"state": rest, "sha256": checksum(tensors, rest)})


def checksum(tensors, rest):
    """Return the sha256, in hex, of a whole state: the arrays with their names and shapes, and the rest."""
    digest = hashlib.sha256(rest.encode())
    for name, array in tensors.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def load_state(path, settings, usual=None, mapped=False):
    """Read what `save_state` wrote; refuse to go on with other settings or another text.

    `usual` are the values of settings that did not exist yet when the state was saved. The arrays are
    `mapped`, read-only, for whoever needs only a part of them.
    """
    try:
        tensors, metadata = (safetensors.read_mapped if mapped else safetensors.read)(path)
        if "sha256" not in metadata:
            log.warning("%s is of an earlier version, and has no checksum: trusting it", path)
        elif metadata["sha256"] != checksum(tensors, metadata["state"]):
            raise ValueError
        rest, trees, rng = parse_json(metadata["state"]), nest(tensors), np.random.default_rng()
        rng.bit_generator.state = rest["rng"]
        moments = dict(m=trees["m"], v=trees["v"])
        state = dict(params=trees["params"], moments=moments, rng=rng)
        state |= {name: rest[name] for name in (*COUNTS, *HALF) if name in rest}
        before = (usual or {}) | dict(rest["settings"])
        if (before.get("precision") == "float16") != all(name in rest for name in HALF):
            raise ValueError
        if not layout(trees["params"]) == layout(trees["m"]) == layout(trees["v"]):
            raise ValueError
        if [type(rest[name]) for name in COUNTS] != [int, int, float]:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ValueError(f"{path} is damaged, or no state of a training: delete it and begin again") from None
    for name, value in settings.items():
        if value != (old := before.get(name)):
            what = CONTENTS.get(name, f"no --{name}" if old is None else f"--{name} {old}")
            other = "another --out"
            if name == "steps" and "init" in settings:
                other += f", where --init {path.parent} goes on from its model"
            raise ValueError(f"{path.parent} was trained with {what}: resume with that, or use {other}")
    return state


def layout(tree):
    """Return {path: (shape, type of number)} of a tree of arrays."""
    return {path: (array.shape, array.dtype) for path, array in walk(tree)}
