"""A model's folder: its weights, hyper-parameters and tokenizer; where to find it, how to read and save it.

Two kinds of folders hold a model. OpenAI's, as downloaded:

    hparams.json  vocab.bpe  encoder.json  checkpoint  model.ckpt.index  model.ckpt.data-00000-of-00001

and picogpt's, where one safetensors file stands for the TensorFlow checkpoint, with the paths of the
parameter tree as names ("blocks.0.attn.c_attn.w"). A folder that has both is read from the latter. The
tokenizer is vocab.bpe (bytes), or chars.json (characters); a model of neither kind of text has none.
"""

import json
import math
import re
from pathlib import Path

import numpy as np

from picogpt import bpe, bundle, chars, safetensors
from picogpt.files import atomic_write
from picogpt.released import DATA, fetch_gpt2
from picogpt.shapes import SIZES, n_params, param_shapes
from picogpt.tree import flatten, nest

WEIGHTS = "model.safetensors"
MAX_LAYERS = 10_000  # what a damaged hparams.json says beyond would take hours to build
OLD_NAMES = {"117M": "124M", "345M": "355M"}  # OpenAI's first count left out the embeddings


def load(model, models_dir="models"):
    """Return (params, hparams, encoder) of a model, given as a size ("124M") or as its folder.

    A size that `models_dir` lacks is downloaded to there. `params` is the tree of `shapes.param_shapes` in
    float32; `encoder` is None if the folder has no tokenizer. What does not fit together is a ValueError, a
    missing file a FileNotFoundError, each with one sentence.
    """
    folder = find(model, models_dir)
    hparams = read_hparams(folder)
    encoder = read_encoder(folder, hparams)
    return read_params(folder, hparams), hparams, encoder


def load_with_encoder(model, models_dir="models"):
    """Do as `load`, but a model without a tokenizer is a ValueError too: for those who need its text."""
    params, hparams, encoder = load(model, models_dir)
    if encoder is None:
        raise ValueError(f"{model} has no tokenizer: put its vocab.bpe or chars.json into the folder")
    return params, hparams, encoder


def find(model, models_dir="models"):
    """Return the folder of a model, given as a size ("124M") or as a folder; fetch what a size lacks."""
    if str(model) in SIZES:
        folder = Path(models_dir, str(model))
        return folder if is_complete(folder) else fetch_gpt2(str(model), models_dir)
    if str(model) and Path(model).is_dir():
        return Path(model)
    if str(model) in OLD_NAMES:
        raise ValueError(f"OpenAI's {model} is now called {OLD_NAMES[model]}: ask for that")
    given = str(model) or repr(model)
    raise ValueError(f"{given} is neither a folder nor a size of GPT-2; the sizes are {', '.join(SIZES)}")


def is_complete(folder):
    """Return whether `folder` has all files of a model with GPT-2's tokenizer, in either of the two kinds."""
    checkpoint = (folder / "model.ckpt.index").exists() and (folder / DATA).exists()
    others = (folder / "hparams.json").exists() and (folder / "vocab.bpe").exists()
    return others and (checkpoint or (folder / WEIGHTS).exists())


def shipped(name):
    """Return a folder that comes with picogpt: "tales", the bundled model, or "gpt2-bpe", its tokenizer."""
    here = Path(__file__).parent
    installed = here / "models" / name
    return installed if installed.is_dir() else here.parent / "models" / name


def read_hparams(folder):
    """Return the five hyper-parameters in hparams.json, each a positive int."""
    path = Path(folder, "hparams.json")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a model's folder has hparams.json beside its weights")
    try:
        hparams = dict(json.loads(path.read_text(encoding="utf-8")))
        check_hparams(hparams)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from None
    return {key: hparams[key] for key in SIZES["124M"]}


def read_encoder(folder, hparams):
    """Return the tokenizer in `folder`, or None; its vocabulary must be the model's."""
    if Path(folder, "chars.json").exists():
        encoder = chars.CharEncoder.load(folder)
    elif Path(folder, "vocab.bpe").exists() or Path(folder, "encoder.json").exists():
        encoder = bpe.load_encoder(folder)
    else:
        return None
    if encoder.n_vocab != hparams["n_vocab"]:
        raise ValueError(
            f"the tokenizer in {folder} has {encoder.n_vocab} tokens, but the model has"
            f" n_vocab {hparams['n_vocab']}: they are not of one model"
        )
    return encoder


def read_params(folder, hparams):
    """Return the tree of parameters, checked; all are views of one array, see `safetensors.read`."""
    shapes = flatten(param_shapes(**hparams))
    if Path(folder, WEIGHTS).exists():
        tensors, _ = safetensors.read(Path(folder, WEIGHTS))
        check(tensors, hparams, folder)
    else:
        mapped = from_checkpoint_names(bundle.read(folder))
        check(mapped, hparams, folder)
        flat, end, tensors = np.empty(n_params(hparams), np.float32), 0, {}
        for path, shape in shapes.items():
            begin, end = end, end + math.prod(shape)
            tensors[path] = flat[begin:end].reshape(shape)
            tensors[path][...] = mapped[path]
    return nest({path: tensors[path] for path in shapes})


def from_checkpoint_names(tensors):
    """Return OpenAI's variables as {path in the tree: array}.

    OpenAI computed the linear layers as convolutions of width 1; that axis, the first of three, is dropped.

    >>> conv = {"model/h0/mlp/c_fc/w": np.ones((1, 2, 8)), "model/wte": np.ones((5, 2))}
    >>> {path: array.shape for path, array in from_checkpoint_names(conv).items()}
    {'blocks.0.mlp.c_fc.w': (2, 8), 'wte': (5, 2)}
    """
    renamed = {}
    for name, array in tensors.items():
        path = re.sub(r"^h(\d+)\.", r"blocks.\1.", name.removeprefix("model/").replace("/", "."))
        renamed[path] = array[0] if array.ndim == 3 and len(array) == 1 else array
    return renamed


def save(folder, params, hparams, encoder=None):
    """Write a model's folder, as `load` reads it; each file is whole or not there at any moment."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_params(folder, params, hparams)
    with atomic_write(folder / "hparams.json") as file:
        file.write(json.dumps(hparams, indent=2).encode() + b"\n")
    if encoder is not None:
        encoder.save(folder)


def save_params(folder, params, hparams):
    """Write model.safetensors, after a check that it could be read again; return its path."""
    check(params, hparams)
    metadata = {"format": "picogpt", "hparams": json.dumps(hparams)}
    safetensors.write(Path(folder, WEIGHTS), flatten(params), metadata)
    return Path(folder, WEIGHTS)


def check_hparams(hparams):
    """Raise ValueError unless the hyper-parameters are whole numbers of which a model can be built."""
    for key in SIZES["124M"]:
        if type(hparams.get(key)) is not int or hparams[key] < 1:
            raise ValueError(f"{key} is {hparams.get(key, 'missing')}, but must be a whole number from 1 on")
    if hparams["n_layer"] > MAX_LAYERS:
        raise ValueError(f"n_layer is {hparams['n_layer']}, which is more than any GPT-2 has")
    if hparams["n_embd"] % hparams["n_head"]:
        raise ValueError(
            f"n_embd {hparams['n_embd']} does not split into n_head {hparams['n_head']} equal heads"
        )


def check(params, hparams, source="the model"):
    """Raise ValueError unless `params`, a tree or laid flat, is a whole float32 GPT-2 without a NaN.

    `source`, say the folder they are from, begins the sentence.
    """
    check_hparams(hparams)
    arrays, shapes = flatten(params), flatten(param_shapes(**hparams))
    if lacking := shapes.keys() - arrays.keys():
        raise ValueError(
            f"{source} lacks {named(lacking)}: hparams.json asks for it, convert or download it again"
        )
    if extra := arrays.keys() - shapes.keys():
        raise ValueError(f"{source} has {named(extra)} that a GPT-2 of its hparams.json does not have")
    for path, shape in shapes.items():
        array = arrays[path]
        if array.shape != shape:
            raise ValueError(f"{source} has {path} of shape {array.shape}, but hparams.json asks for {shape}")
        if array.dtype != np.float32:
            raise ValueError(f"{source} has {path} in {array.dtype}: picogpt reads float32, convert it")
        if not is_finite(array):
            raise ValueError(f"{source} has NaN or infinity in {path}: download, convert or train it again")


def named(paths):
    """Return one of `paths`, and how many more there are.

    >>> named({"wte"}), named({"b", "a", "c"})
    ('wte', 'a (and 2 more tensors)')
    """
    return min(paths) + (f" (and {len(paths) - 1} more tensors)" if len(paths) > 1 else "")


def is_finite(array):
    """Return whether all numbers are finite: their sum tells, much faster, unless it alone overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())
