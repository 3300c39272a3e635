"""A model's folder: its weights, hyper-parameters and tokenizer; where to find it, how to read and save it.

Several kinds of folders hold a model. OpenAI's, as downloaded:

    hparams.json  vocab.bpe  encoder.json  checkpoint  model.ckpt.index  model.ckpt.data-00000-of-00001

picogpt's, where one safetensors file stands for the TensorFlow checkpoint, with the paths of the
parameter tree as names ("blocks.0.attn.c_attn.w"); a folder that has both is read from the latter. Hugging
Face's have a config.json and no hparams.json, see huggingface.py; PEFT's have updates to another model, see
peft.py. The tokenizer is vocab.bpe or Hugging Face's files (bytes), or chars.json (characters); a model of
other things than text has none.
"""

import json
import logging
import math
import re
from pathlib import Path

import numpy as np

from picogpt.checkpoints import bundle, config_keys, huggingface, in_place, names, peft, safetensors
from picogpt.checkpoints.released import DATA, fetch_gpt2
from picogpt.params import narrow
from picogpt.params.checks import check, check_finite, check_hparams, check_released, check_shapes
from picogpt.params.options import OPTIONS
from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES, n_params, n_tokens, param_shapes
from picogpt.params.tree import flatten, nest, walk
from picogpt.system.files import atomic_write, read_object
from picogpt.text import bpe, chars, gpt1_bpe, hf_bpe
from picogpt.text.hf_keys import ALL_IN_ONE, MERGES, VOCAB

log = logging.getLogger("picogpt")
WEIGHTS = "model.safetensors"
USUAL_PADDING = 128  # rows at most that are left out without a word
NOT_OF_THE_MODEL = r"global_step|beta[12]_power(_\d+)?|.*/Adam(_1)?"  # what TensorFlow trains a model with


def load(
    model, models_dir="models", source="openai", offline=False, special=False, dtype="float32", mapped=False
):
    """Return (params, hparams, encoder) of a model, given as a size ("124M", "gpt2") or as its folder.

    A size that `models_dir` lacks is downloaded to there, as `released.fetch_gpt2` says. `params` is the tree
    of `shapes.param_shapes` in float32, or with its matrices in the `dtype` bfloat16 or int8, which can be
    computed from but not trained, see params/narrow.py; `encoder` is None if the folder has no tokenizer.
    With `special`, it takes control tokens in a text, such as <|endoftext|>, for their ids. With `mapped`,
    the parameters stay in their file, read-only, if they can, see in_place.py. What does not fit together is
    a ValueError, a missing file a FileNotFoundError, each with one sentence.
    """
    if dtype not in narrow.DTYPES:
        raise ValueError(f"dtype must be {' or '.join(narrow.DTYPES)}, not {dtype}")
    folder = find(model, models_dir, source, offline)
    if peft.is_adapter(folder):
        params, hparams, encoder = load_adapter(folder, models_dir, source, offline, special)
        return narrow.narrowed(params, dtype), hparams, encoder
    names.check_ended(folder)
    hparams = read_hparams(folder)
    encoder = read_encoder(folder, hparams)
    if encoder is not None:
        encoder.special = special
    return *without_padding(*read_params(folder, hparams, dtype, mapped), encoder), encoder


def load_adapter(folder, *where):
    """Do as `load`, for a folder of PEFT's: its base model, with the updates added; see peft.py."""
    base = peft.read_config(folder)["base_model_name_or_path"]
    try:
        params, hparams, encoder = load(base.removeprefix("openai-community/"), *where)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{folder} is of the base model {base!r}, and {error}") from None
    params, hparams = peft.merge(params, hparams, folder)
    own = read_encoder(folder, hparams)
    if own is not None:
        own.special, encoder = where[-1], own
    params, hparams = without_padding(params, hparams, encoder)
    check(params, hparams, folder)
    return params, hparams, encoder


def load_with_encoder(
    model, models_dir="models", source="openai", offline=False, special=False, dtype="float32", mapped=False
):
    """Do as `load`, but what can continue no text is a ValueError too, as a model without a tokenizer."""
    params, hparams, encoder = load(model, models_dir, source, offline, special, dtype, mapped)
    if not hparams.get("causal", True):
        raise ValueError(f"{model} looks at later tokens too (causal is false): give one that reads a text")
    if encoder is None:
        raise ValueError(f"{model} has no tokenizer: put its vocab.bpe or chars.json into the folder")
    return params, hparams, encoder


def choose(model, models_dir):
    """Return the model that was asked for, else 124M if it is there, else the bundled one, saying so."""
    if model is not None:
        return model
    if find_released("124M", models_dir):
        return "124M"
    log.warning("using the small bundled model; --model 124M fetches OpenAI's GPT-2 (500 MB)")
    return shipped("tales")


def find(model, models_dir="models", source="openai", offline=False):
    """Return the folder of a model, given as a size ("124M", "gpt2") or as a folder; download a size.

    "tales" and "talk" are the bundled models, unless there are folders of these names.
    """
    name = str(model)
    size = HUGGING_FACE_NAMES.get(name, name)
    if size in SIZES:
        return find_released(size, models_dir) or fetch_gpt2(size, models_dir, source, offline)
    if name and Path(name).is_dir():
        return Path(name)
    if name in names.SHIPPED:
        return shipped(name)
    raise ValueError(names.unknown(name, models_dir))


def find_released(size, models_dir):
    """Return the folder of one of OpenAI's models, under either name, if it is complete, else None."""
    both = [size, *(theirs for theirs in HUGGING_FACE_NAMES if HUGGING_FACE_NAMES[theirs] == size)]
    return next(filter(is_complete, (Path(models_dir, name) for name in both)), None)


def is_complete(folder):
    """Return whether `folder` has all files of a model with GPT-2's tokenizer, in one of the three kinds."""

    def has(*names):
        return all((folder / name).is_file() for name in names)

    openai = has("hparams.json", "vocab.bpe", "model.ckpt.index", DATA)
    ours = has("hparams.json", "vocab.bpe", WEIGHTS)
    theirs = has(huggingface.CONFIG, WEIGHTS) or has(huggingface.CONFIG, huggingface.INDEX)
    return openai or ours or (theirs and (has(ALL_IN_ONE) or has(VOCAB, MERGES)))


def shipped(name):
    """Return a folder that comes with picogpt: "tales" or "talk", a model, or "gpt2-bpe", a tokenizer."""
    here = Path(__file__).parents[1]
    installed = here / "models" / name
    return installed if installed.is_dir() else here.parent / "models" / name


def is_hugging_faces(folder):
    """Return whether `folder` is of Hugging Face's kind."""
    return Path(folder, huggingface.CONFIG).is_file() and not Path(folder, "hparams.json").is_file()


def read_hparams(folder):
    """Return the hyper-parameters in hparams.json, or in Hugging Face's config.json, checked."""
    theirs = is_hugging_faces(folder)
    path = Path(folder, huggingface.CONFIG if theirs else "hparams.json")
    if not path.is_file():
        names.check_ended(folder)
        raise FileNotFoundError(f"{path} is missing: a model's folder has hparams.json beside its weights")
    try:
        hparams = read_object(path)
        hparams = config_keys.hparams_of(hparams) if theirs else hparams
        if type(positions := hparams.get("positions")) is bool:  # as picogpt once wrote it
            hparams["positions"] = "learned" if positions else "none"
        check_hparams(hparams)
        hparams = without_usual(hparams)
        if theirs or not Path(folder, WEIGHTS).is_file():  # ours tell with which n_head they were saved
            check_released(hparams | dict(n_vocab=n_tokens(hparams["n_vocab"])))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from None
    return hparams


def without_usual(hparams):
    """Return the five hyper-parameters of every model, and of the OPTIONS those that differ from GPT-2's."""
    differing = {key: hparams[key] for key in OPTIONS if hparams.get(key, OPTIONS[key]) != OPTIONS[key]}
    return {key: hparams[key] for key in SIZES["124M"]} | differing


def read_encoder(folder, hparams):
    """Return the tokenizer in `folder`, or None; its vocabulary must be the model's.

    Of Hugging Face's kind it may have fewer tokens, see `without_padding`, or more: a text that needs one of
    those is an error then.
    """
    if Path(folder, "chars.json").is_file():
        encoder = chars.CharEncoder.load(folder)
    elif Path(folder, "vocab.bpe").is_file() or Path(folder, "encoder.json").is_file():
        encoder = bpe.load_encoder(folder)
    elif gpt1_bpe.is_gpt1s(folder):
        encoder = gpt1_bpe.load_encoder(folder)
    elif Path(folder, VOCAB).is_file() or Path(folder, ALL_IN_ONE).is_file():
        return hf_bpe.load_encoder(folder, hparams["n_vocab"])
    else:
        return None
    if encoder.n_vocab not in (hparams["n_vocab"], n_tokens(hparams["n_vocab"])):
        raise ValueError(
            f"the tokenizer in {folder} has {encoder.n_vocab} tokens, but the model has"
            f" n_vocab {hparams['n_vocab']}: they are not of one model"
        )
    return encoder


def read_params(folder, hparams, dtype="float32", mapped=False):
    """Return (params, hparams): the tree of parameters, checked, and what it turned out to be.

    All arrays are views of one, see `safetensors.read`, or `mapped`; of a narrow dtype, all matrices are.
    """
    if is_hugging_faces(folder):
        arrays, hparams = huggingface.read(folder, hparams)
        return lay_out(arrays, hparams, folder, dtype, mapped), hparams
    if not Path(folder, WEIGHTS).is_file():
        arrays = from_checkpoint_names(bundle.read(folder))
        return lay_out(arrays, hparams, folder, dtype, mapped), hparams
    tensors, metadata = read_own(Path(folder, WEIGHTS), hparams, folder, dtype, mapped)
    if metadata.get("step") == "0":
        log.warning("the model in %s is of step 0 of its training: it has learned nothing yet", folder)
    saved = re.search(r'"n_head": (\d+)', metadata.get("hparams", ""))
    if saved and saved[1] != str(hparams["n_head"]):  # which no shape would tell
        raise ValueError(
            f"{folder} has weights of n_head {saved[1]}, but hparams.json has {hparams['n_head']}: correct it"
        )
    return nest({path: tensors[path] for path in flatten(param_shapes(**hparams))}), hparams


def read_own(path, hparams, folder, dtype, mapped):
    """Return ({path: array}, metadata) of picogpt's file, its matrices in `dtype`.

    If the file has them as they are needed, its bytes are the memory that is computed from.
    """
    tensors, metadata = safetensors.read_mapped(path)
    usable = {"float32": np.float32, "int8": np.int8}.get(dtype)  # bfloat16 lies transposed, for others
    needed = {name: usable if narrow.is_matrix(name) else np.float32 for name in tensors}
    as_needed = all(array.dtype == needed[name] for name, array in tensors.items())
    if as_needed and not (mapped and dtype == "float32"):
        tensors = narrow.joined(safetensors.read(path)[0], folder)
        check(tensors, hparams, folder)
        return tensors, metadata
    tensors = narrow.joined(tensors, folder)
    check_shapes(tensors, hparams, folder, (np.float32, safetensors.BF16))
    return flatten(lay_out(tensors, hparams, folder, dtype, mapped)), metadata


def without_padding(params, hparams, encoder=None):
    """Return (params, hparams) without the rows of the vocabulary for which there is no token.

    Many pad it to a multiple of 8 or 64. Without these rows, sampling cannot draw such ids, and they get no
    probability; the other logits do not change.
    """
    n_rows, n = hparams["n_vocab"], n_tokens(hparams["n_vocab"]) if encoder is None else encoder.n_vocab
    if n >= n_rows:
        return params, hparams
    if n_rows - n >= USUAL_PADDING:
        log.warning(
            "the model has %d rows for the %d tokens of its tokenizer: the last are left out", n_rows, n
        )
    tables = {name: params[name][:n] for name in ("wte", "lm_head") if name in params}
    return params | tables, hparams | dict(n_vocab=n)


def lay_out(arrays, hparams, source, dtype="float32", mapped=False):
    """Return {path: array} as the tree of parameters, views of one new array, in float32 or narrower.

    The arrays may be mapped from a file, and transposed: each number is read once, and nothing else is made.
    With `mapped`, they stay where they are if they can.
    """
    check_hparams(hparams)
    check_shapes(arrays, hparams, source, (np.float32, np.float16, safetensors.BF16, np.float64))
    if dtype != "float32":
        tensors = narrow.narrow({path: arrays.pop(path) for path in flatten(param_shapes(**hparams))}, dtype)
        check_finite(tensors, source)
        return nest(tensors)
    if mapped and in_place.can_stay(arrays):
        in_place.check_finite(arrays, source)
        return nest({path: arrays[path] for path, _ in walk(param_shapes(**hparams))})
    flat, end, tensors = np.empty(n_params(hparams), np.float32), 0, {}
    for path, shape in walk(param_shapes(**hparams)):
        begin, end = end, end + math.prod(shape)
        tensors[path] = flat[begin:end].reshape(shape)
        narrow.widen_into(arrays[path], tensors[path])
    check_finite(tensors, source)
    return nest(tensors)


def from_checkpoint_names(tensors):
    """Return OpenAI's variables as {path in the tree: array}.

    OpenAI computed the linear layers as convolutions of width 1; that axis, the first of three, is dropped.

    >>> conv = {"model/h0/mlp/c_fc/w": np.ones((1, 2, 8)), "model/wte": np.ones((5, 2))}
    >>> {path: array.shape for path, array in from_checkpoint_names(conv).items()}
    {'blocks.0.mlp.c_fc.w': (2, 8), 'wte': (5, 2)}
    """
    renamed = {}
    for name, array in tensors.items():
        if re.fullmatch(NOT_OF_THE_MODEL, name):
            continue
        path = re.sub(r"^h(\d+)\.", r"blocks.\1.", name.removeprefix("model/").replace("/", "."))
        renamed[path] = array[0] if array.ndim == 3 and len(array) == 1 else array
    return renamed


def to_checkpoint_names(tensors):
    """Return {path in the tree: array} as OpenAI's variables: the inverse of `from_checkpoint_names`."""
    renamed = {}
    for path, array in tensors.items():
        name = "model/" + re.sub(r"^blocks\.", "h", path).replace(".", "/")
        renamed[name] = array[None] if name.endswith("/w") else array
    return renamed


def save(folder, params, hparams, encoder=None, step=None):
    """Write a model's folder, as `load` reads it; each file is whole or not there at any moment.

    Matrices are stored in the dtype that they have in `params`. `step` is how many updates have made the
    model, where that may be none: then `load` says so.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_params(folder, params, hparams, step)
    save_hparams(folder, hparams, encoder)


def save_hparams(folder, hparams, encoder=None):
    """Write the tokenizer's files, and then hparams.json: with it a model is whole."""
    if encoder is not None:
        encoder.save(folder)
    with atomic_write(Path(folder, "hparams.json")) as file:
        file.write(json.dumps(hparams, indent=2).encode() + b"\n")


def save_params(folder, params, hparams, step=None):
    """Write model.safetensors, after a check that it could be read again; return its path."""
    check(params, hparams)
    metadata = {"format": "picogpt", "hparams": json.dumps(hparams)}
    metadata |= {} if step is None else {"step": str(step)}
    tensors = narrow.stored(flatten(params))
    metadata |= {"int8": narrow.LAYOUT} if tensors.keys() > flatten(params).keys() else {}
    safetensors.write(Path(folder, WEIGHTS), tensors, metadata)
    return Path(folder, WEIGHTS)
