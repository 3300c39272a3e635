"""Whether hyper-parameters and parameters are those of a GPT-2: if not, one sentence that says why."""

import json

import numpy as np

from picogpt.params.narrow import Matrix
from picogpt.params.options import ALLOWED, OPTIONS
from picogpt.params.shapes import SIZES, param_shapes
from picogpt.params.tree import flatten

MOST = 2**31
MAX_LAYERS = 10_000  # a damaged hparams.json may say more, which would take hours to build


def check_hparams(hparams):
    """Raise ValueError unless the hyper-parameters are whole numbers of which a model can be built."""
    for key in SIZES["124M"]:
        value = hparams.get(key)
        if type(value) is not int or not 1 <= value < MOST:
            # a file, or a flag, may give a number of any length
            said = f"{value!r:.99}" if key in hparams else "missing"
            raise ValueError(f"{key} is {said}, but must be a whole number from 1 on, and less than 2**31")
    if hparams["n_layer"] > MAX_LAYERS:
        raise ValueError(f"n_layer is {hparams['n_layer']}, which is more than any GPT-2 has")
    if hparams["n_embd"] % hparams["n_head"]:
        raise ValueError(
            f"n_embd {hparams['n_embd']} does not split into n_head {hparams['n_head']} equal heads"
        )
    for key, allowed in ALLOWED.items():
        value = hparams.get(key, OPTIONS[key])
        if type(value) is not type(OPTIONS[key]) or (value not in allowed):
            raise ValueError(f"{key} is {value!r}, but must be {json.dumps(allowed)[1:-1]}")
    if hparams.get("gelu", "tanh") != "tanh" and hparams.get("activation", "gelu") != "gelu":
        raise ValueError(
            f"gelu is {hparams['gelu']!r}, but activation {hparams['activation']!r}: leave out gelu"
        )
    if hparams.get("positions") == "rotary" and hparams["n_embd"] // hparams["n_head"] % 2:
        raise ValueError(
            f"positions rotary turn pairs of channels, but n_embd {hparams['n_embd']} gives each of"
            f" n_head {hparams['n_head']} heads an odd number of them"
        )
    for key in OPTIONS.keys() - ALLOWED.keys():
        value = hparams.get(key, 0)
        if type(value) is not int or not 0 <= value < MOST:
            said = f"{value!r:.99}"
            raise ValueError(f"{key} is {said}, but must be a whole number from 0 on, and less than 2**31")
    if hparams.get("time_mixed", 0) > hparams["n_embd"]:
        raise ValueError(
            f"time_mixed is {hparams['time_mixed']}, but n_embd {hparams['n_embd']} are all the channels"
        )
    if not hparams.get("causal", True):
        usual = dict(band=(0,), time_weighting=("none",), positions=("learned", "none", "rotary"))
        for key, values in usual.items():
            if hparams.get(key, values[0]) not in values:
                raise ValueError(
                    f"{key} is {hparams[key]!r}, which is for looking back, but causal is false: leave it out"
                )


def check_released(hparams):
    """Raise ValueError for a released model's sizes with another n_head: it would compute, but nonsense."""
    for size, released in SIZES.items():
        n_head, right = hparams["n_head"], released["n_head"]
        if n_head != right and hparams | {"n_head": right} == released:
            raise ValueError(f"n_head is {n_head}, but {size}, of these sizes, has {right}: correct it")


def check(params, hparams, source="the model"):
    """Raise ValueError unless `params`, a tree or laid flat, is a whole float32 or narrow GPT-2, with no NaN.

    `source`, say the folder they are from, begins the sentence.
    """
    check_hparams(hparams)
    check_shapes(flatten(params), hparams, source, (np.float32,))
    check_finite(flatten(params), source)


def check_shapes(arrays, hparams, source, dtypes):
    """Raise ValueError unless {path: array} are the arrays of a GPT-2, each of one of the `dtypes`."""
    shapes = flatten(param_shapes(**hparams))
    if lacking := shapes.keys() - arrays.keys():
        raise ValueError(
            f"{source} lacks {named(lacking)}, which its hyper-parameters ask for: convert it again"
        )
    if extra := arrays.keys() - shapes.keys():
        raise ValueError(f"{source} has {named(extra)} that a GPT-2 of its hyper-parameters does not have")
    for path, shape in shapes.items():
        array = arrays[path]
        if array.shape != shape:
            raise ValueError(
                f"{source} has {path} of shape {array.shape}, but its hyper-parameters ask for {shape}"
            )
        if array.dtype not in dtypes:
            readable = " or ".join(np.dtype(dtype).name for dtype in dtypes if np.dtype(dtype).names is None)
            raise ValueError(f"{source} has {path} in {array.dtype}: picogpt reads {readable}, convert it")


def check_finite(arrays, source):
    """Raise ValueError if {path: array} has a NaN or an infinity."""
    for path, array in arrays.items():
        if not is_finite(array):
            raise ValueError(f"{source} has NaN or infinity in {path}: download, convert or train it again")


def named(paths):
    """Return one of `paths`, and how many more there are.

    >>> named({"wte"}), named({"b", "a", "c"})
    ('wte', 'a (and 2 more tensors)')
    """
    return min(paths) + (f" (and {len(paths) - 1} more tensors)" if len(paths) > 1 else "")


def is_finite(array):
    """Return whether all numbers are finite. If their sum is, they are, which is much faster to find out."""
    if isinstance(array, Matrix):
        return array.is_finite()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())
