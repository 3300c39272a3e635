"""Hugging Face's folders of a GPT-2, read and written without its libraries.

    config.json  model.safetensors  tokenizer.json, or vocab.json and merges.txt

Its names are those of the modules in PyTorch, with or without the outermost one, "transformer"; its arrays
are OpenAI's: linear layers are [in, out] here too. A large model may be cut into several files, and
model.safetensors.index.json tells which tensor is in which.
"""

import json
import logging
import re
from pathlib import Path

import numpy as np

from picogpt.checkpoints import config_keys, safetensors
from picogpt.params.narrow import stored, widened
from picogpt.params.options import OPTIONS
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, walk
from picogpt.system.files import atomic_write, read_json

log = logging.getLogger("picogpt")
CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX, PYTORCH = f"{WEIGHTS}.index.json", "pytorch_model.bin"
# The parts of a language model; other names are heads of other tasks
PARTS = ("wte", "wpe", "blocks", "ln_f", "lm_head")
MASKS = (".attn.bias", ".attn.masked_bias")  # which tokens a query may look at: not learned, yet once stored
WRAPPERS = r"(_orig_mod\.|module\.)*"  # of torch.compile, and of training in parallel
EMBEDDING = r"(^|(?<=\.))(transformer\.)?(w[tp]e|tokens_embed|positions_embed)\.weight$"
ROWS = 4096  # that are compared at once


def config_of(hparams, encoder=None):
    """Return what a config.json says of a model: the inverse of `config_keys.hparams_of`."""
    eot = getattr(encoder, "eot", None)
    return config_keys.config_of(hparams) | {
        "bos_token_id": None if eot is None else encoder.start,
        "eos_token_id": eot,
    }


def read(folder, hparams):
    """Return ({path in the tree: array}, hparams) of the safetensors files in `folder`.

    The arrays are mapped and read-only. Of hparams, `tied` is what the files say.
    """
    tensors = {}
    for name in file_names(folder, WEIGHTS):
        if not Path(folder, name).is_file():  # nor a pipe, which nobody may ever write to
            raise FileNotFoundError(missing(folder, name))
        part = safetensors.read_mapped(Path(folder, name))[0]
        if twice := [tensor for tensor in part.keys() & tensors if not same(part[tensor], tensors[tensor])]:
            raise ValueError(
                f"{Path(folder, name)} has another {min(twice)} than a file before it: delete one"
            )
        tensors |= part
    return adapt(rename(tensors, folder), hparams, folder)


def missing(folder, name):
    """Return the sentence on a missing file of weights, which may be there in the way PyTorch saves it."""
    if any(Path(folder).glob(f"{PYTORCH}*")):
        return (
            f"{folder} has its weights as {PYTORCH}: python tools/convert.py {folder} --out FOLDER reads them"
        )
    return f"{Path(folder, name)} is missing: download it again"


def file_names(folder, whole):
    """Return which files have the weights: `whole`, or, where it is not there, those that its index names."""
    index = Path(folder, f"{whole}.index.json")
    if Path(folder, whole).is_file() or not index.is_file():
        return [whole]
    return sorted(read_index(index, Path(whole).suffix))


def read_index(path, kind):
    """Return the names of the files, of a kind, into which a model is cut; all must lie beside the index."""
    try:
        names = set(read_json(path)["weight_map"].values())
        if wrong := [name for name in names if Path(name).name != name or not name.endswith(kind)]:
            raise ValueError(f"it names {min(wrong)!r}, which is no {kind} file beside it")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used ({error}): download it again") from None
    return names


def rename(tensors, source="the model"):
    """Return {path in the tree: array} of {name in a PyTorch module: array}, without the masks.

    Heads of other tasks (classification, a value, several choices) are left out, which is said once. Two
    arrays for one path are a ValueError.

    >>> list(rename({"transformer.h.0.ln_1.weight": 1, "_orig_mod.wte.weight": 2, "h.0.attn.bias": 3}))
    ['blocks.0.ln_1.g', 'wte']
    """
    renamed, heads, outer = {}, set(), outer_module(tensors, source)
    for name, array in tensors.items():
        inner = re.sub(rf"^{WRAPPERS}", "", name.removeprefix(outer))
        path = inner.removeprefix("transformer.")
        path = re.sub(r"^h\.", "blocks.", path)
        path = re.sub(r"^(t)okens_embed\.|^(p)ositions_embed\.", r"w\1\2e.", path)  # in GPT-1
        part = path.split(".")[0]
        path = re.sub(r"^(wte|wpe|lm_head)\.weight$", r"\1", path)
        path = re.sub(r"(ln_\w)\.weight$", r"\1.g", path)
        path = re.sub(r"\.weight$", ".w", path).replace(".bias", ".b")
        if part not in PARTS and "transformer." not in inner:
            heads.add(part)
            continue
        if name.endswith(MASKS):
            continue
        if path in renamed and not same(renamed[path], array):
            raise ValueError(f"{source} has two arrays for {path}, {name} for one: delete the wrong one")
        renamed[path] = array
    if heads and "wpe" in renamed:
        log.warning("%s: %s left out, which is for another task", source, ", ".join(sorted(heads)))
    return renamed


def outer_module(names, source):
    """Return what a program has put before the names of a GPT-2, as "model." or "" for nothing.

    >>> outer_module(["model.transformer.wpe.weight", "model.lm_head.weight"], "the model")
    'model.'
    """
    found = {re.sub(EMBEDDING, "", name) for name in names if re.search(EMBEDDING, name)}
    found = {"" if re.fullmatch(WRAPPERS, outer) else outer for outer in found}
    if len(found) > 1:
        raise ValueError(
            f"{source} has several models in it, under {' and '.join(sorted(found))}: save one alone"
        )
    return found.pop() if found else ""


def their_name(path, hparams=None):
    """Return what Hugging Face calls the array at a path of the tree, in a GPT-2 or, by hparams, a GPT-1.

    >>> their_name("blocks.0.ln_1.g"), their_name("wte"), their_name("lm_head")
    ('transformer.h.0.ln_1.weight', 'transformer.wte.weight', 'lm_head.weight')
    """
    hparams = {} if hparams is None else hparams
    if hparams.get("norm") == "post":
        path = path.replace("ln_f", last_norm(hparams))
    name = re.sub(r"\.[gw]$", ".weight", path.replace("blocks.", "h.", 1)).replace(".b", ".bias")
    name += ".weight" if "." not in path else ""
    if hparams.get("norm") == "post":
        name = name.replace("wte", "tokens_embed").replace("wpe", "positions_embed")
    return name if path == "lm_head" else f"transformer.{name}"


def last_norm(hparams):
    """Return what GPT-1 has for ln_f: the second norm of its last block, see descendants/post_norm.py."""
    return f"blocks.{hparams['n_layer'] - 1}.ln_2"


def adapt(arrays, hparams, source="the model"):
    """Return (arrays, hparams) as the tree has them: without a head that is the token embedding, too.

    A head that differs from it is the model's, whatever hparams say: merged adapters leave that.
    """
    arrays, hparams = dict(arrays), hparams | {k: OPTIONS[k] for k in OPTIONS.keys() - hparams.keys()}
    if hparams["norm"] == "post":
        arrays = {path.replace(last_norm(hparams), "ln_f"): array for path, array in arrays.items()}
    if hparams["tied"] and "lm_head" in arrays:
        if same(arrays.setdefault("wte", arrays["lm_head"]), arrays["lm_head"]):  # some programs keep either
            del arrays["lm_head"]
        else:
            log.warning("%s: its output head differs from its token embedding, and is used", source)
            hparams["tied"] = False
    if hparams["rms"] and np.shape(arrays.get("lm_head"))[:1] == (hparams["n_vocab"] - 1,):
        arrays["lm_head"] = with_start(arrays["lm_head"])
    hparams = {key: value for key, value in hparams.items() if OPTIONS.get(key) != value}
    markers = {path: shape for path, shape in walk(param_shapes(**hparams)) if 0 in shape}
    return arrays | {path: np.empty(shape, np.float32) for path, shape in markers.items()}, hparams


def with_start(head):
    """Return image GPT's head, which has rows for colours alone, with one more for what starts a picture.

    That is their mean, and so is its logit: never the largest, and its probability is 1 / n_vocab at most. A
    row of zeros could be the likeliest. The colours' logits are theirs. head [V - 1, C] -> [V, C]
    """
    with np.errstate(over="ignore", invalid="ignore"):  # an infinity or NaN is noticed later
        head = widened(head)
        return np.concatenate([head, head.mean(axis=0, keepdims=True)])


def same(a, b):
    """Return whether two arrays are equal; a part at a time, so that little memory is needed."""
    parts = (slice(n, n + ROWS) for n in range(0, len(a), ROWS))
    return a.shape == b.shape and all(np.array_equal(a[part], b[part]) for part in parts)


def write(folder, params, hparams, encoder=None):
    """Write config.json and model.safetensors of a model that has all biases; return the latter's path."""
    tensors = stored({path: array for path, array in flatten(params).items() if array.size})
    tensors = {their_name(path, hparams): array for path, array in tensors.items()}
    safetensors.write(Path(folder, WEIGHTS), tensors, {"format": "pt"})
    with atomic_write(Path(folder, CONFIG)) as file:
        file.write(json.dumps(config_of(hparams, encoder), indent=2).encode() + b"\n")
    return Path(folder, WEIGHTS)
