"""Hugging Face's folders of a GPT-2, read and written without its libraries.

    config.json  model.safetensors  tokenizer.json, or vocab.json and merges.txt

Its names are those of the modules in PyTorch, with or without the outermost one, "transformer"; its arrays
are OpenAI's: linear layers are [in, out] here too. A large model may be cut into several files, and
model.safetensors.index.json tells which tensor is in which.
"""

import json
import re
from pathlib import Path

import numpy as np

from picogpt.checkpoints import safetensors
from picogpt.params.options import OPTIONS
from picogpt.params.shapes import without_padding
from picogpt.params.tree import flatten
from picogpt.system.files import atomic_write, read_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
HPARAMS = dict(n_vocab="vocab_size", n_ctx="n_positions", n_embd="n_embd", n_head="n_head", n_layer="n_layer")
GELUS = {
    "gelu_new": "tanh",
    "gelu": "erf",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
    "quick_gelu": "quick",
}
FIXED = {  # what a config may also choose: GPT-2's choice, which is the only one here
    "model_type": "gpt2",
    "n_inner": None,
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
MASKS = (".attn.bias", ".attn.masked_bias")  # which tokens a query may look at: not learned, yet once stored


def hparams_of(config):
    """Return the hyper-parameters of a config.json; what picogpt cannot compute is a ValueError."""
    if config.get("n_inner") == 4 * config.get("n_embd", 0):
        config = config | dict(n_inner=None)  # which means the same
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} is {config[key]!r}, but picogpt computes with {value!r}, as GPT-2 does")
    gelu = config.get("activation_function", "gelu_new")
    if gelu not in GELUS:
        raise ValueError(f"activation_function is {gelu!r}, but picogpt knows only {', '.join(GELUS)}")
    hparams = {name: config[theirs] for name, theirs in HPARAMS.items() if theirs in config}
    options = dict(tied=config.get("tie_word_embeddings", True), gelu=GELUS[gelu])
    return hparams | dict(n_vocab=without_padding(hparams.get("n_vocab"))) | options


def config_of(hparams, encoder=None):
    """Return what a config.json says of a model: the inverse of `hparams_of`."""
    eot = getattr(encoder, "eot", None)
    return {
        "architectures": ["GPT2LMHeadModel"],
        **FIXED,
        **{theirs: hparams[name] for name, theirs in HPARAMS.items()},
        "activation_function": dict(erf="gelu", quick="quick_gelu").get(hparams.get("gelu"), "gelu_new"),
        "tie_word_embeddings": hparams.get("tied", True),
        "bos_token_id": eot,
        "eos_token_id": eot,
    }


def read(folder, hparams):
    """Return {path in the tree: array} of the safetensors files in `folder`, mapped and read-only."""
    index, tensors = Path(folder, WEIGHTS + ".index.json"), {}
    names = {WEIGHTS} if not index.is_file() else read_index(index)
    for name in sorted(names):
        if not Path(folder, name).is_file():  # nor a pipe, which nobody may ever write to
            raise FileNotFoundError(f"{Path(folder, name)} is missing: download it again")
        tensors |= safetensors.read_mapped(Path(folder, name))[0]
    return adapt(rename(tensors), hparams)


def read_index(path):
    """Return the names of the files into which a model is cut; all must lie beside the index."""
    try:
        names = set(read_json(path)["weight_map"].values())
        if wrong := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
            raise ValueError(f"it names {min(wrong)!r}, which is no safetensors file beside it")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used ({error}): download it again") from None
    return names


def rename(tensors):
    """Return {path in the tree: array} of {name in a PyTorch module: array}, without the masks.

    >>> list(rename({"transformer.h.0.ln_1.weight": 1, "_orig_mod.wte.weight": 2, "h.0.attn.bias": 3}))
    ['blocks.0.ln_1.g', 'wte']
    """
    renamed = {}
    for name, array in tensors.items():
        path = re.sub(r"^(_orig_mod\.|module\.)*(transformer\.)?", "", name)
        path = re.sub(r"^h\.", "blocks.", path)
        path = re.sub(r"^(wte|wpe|lm_head)\.weight$", r"\1", path)
        path = re.sub(r"(ln_\w)\.weight$", r"\1.g", path)
        if not name.endswith(MASKS):
            renamed[re.sub(r"\.weight$", ".w", path).replace(".bias", ".b")] = array
    return renamed


def their_name(path):
    """Return what Hugging Face calls the array at a path of the tree.

    >>> their_name("blocks.0.ln_1.g"), their_name("wte"), their_name("lm_head")
    ('transformer.h.0.ln_1.weight', 'transformer.wte.weight', 'lm_head.weight')
    """
    name = re.sub(r"\.[gw]$", ".weight", path.replace("blocks.", "h.", 1)).replace(".b", ".bias")
    name += ".weight" if "." not in path else ""
    return name if path == "lm_head" else f"transformer.{name}"


def adapt(arrays, hparams):
    """Return renamed arrays as the tree of `hparams` has them: without a head that is tied, and padding."""
    arrays, hparams = dict(arrays), OPTIONS | hparams
    if hparams["tied"] and "lm_head" in arrays:
        arrays.setdefault("wte", arrays["lm_head"])  # of arrays that are one, some programs keep either
        del arrays["lm_head"]
    for path in {"wte", "lm_head"} & arrays.keys():
        if without_padding(len(arrays[path])) == hparams["n_vocab"]:
            arrays[path] = arrays[path][: hparams["n_vocab"]]
    if (form := hparams["gelu"]) != "tanh":
        arrays |= {f"blocks.{i}.mlp.{form}": np.empty(0, np.float32) for i in range(hparams["n_layer"])}
    return arrays


def write(folder, params, hparams, encoder=None):
    """Write config.json and model.safetensors of a model that has all biases; return the latter's path."""
    tensors = {their_name(path): array for path, array in flatten(params).items() if array.size}
    safetensors.write(Path(folder, WEIGHTS), tensors, {"format": "pt"})
    with atomic_write(Path(folder, CONFIG)) as file:
        file.write(json.dumps(config_of(hparams, encoder), indent=2).encode() + b"\n")
    return Path(folder, WEIGHTS)
