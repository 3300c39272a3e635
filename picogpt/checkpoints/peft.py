"""LoRA as Hugging Face's PEFT keeps it: a folder of low-rank updates to a model that lies elsewhere.

    adapter_config.json  adapter_model.safetensors

A matrix w of the base model becomes w + s (B A)^T, with A [r, in], B [out, r] and s = alpha / r (Hu et al.
2021, section 4.1). Here such a folder opens as the model with all of that added. What finetune/lora.py
learns, w + a b, is the same with A = a^T, B = b^T and s = 1.
"""

import json
import re
from pathlib import Path

import regex

from picogpt.checkpoints import huggingface, safetensors
from picogpt.params.narrow import widened
from picogpt.params.shapes import HUGGING_FACE_NAMES
from picogpt.params.tree import flatten, nest
from picogpt.system.files import atomic_write, read_object

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST = 2**31
PREFIX = "base_model.model."
LEARNED = r"(?P<module>.*)\.(lora|lora_embedding)_(?P<letter>[AB])(\.default)?(\.(?P<kind>weight|bias))?"
WHOLE = r"\.(base_layer|modules_to_save|original_module)(\.default)?(?=\.)"  # in names of arrays saved whole
REFUSED = {  # what changes the result besides r, alpha and the arrays: the values that do not
    "peft_type": ("LORA",),
    "use_dora": (None, False),
    "use_qalora": (None, False),
    "use_bdlora": (None, False),
    "alora_invocation_tokens": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "layer_replication": (None,),
    "loftq_config": (None, {}),  # this and the next change the base model before they begin
    "init_lora_weights": (None, True, False, "gaussian", "eva", "orthogonal"),
    "arrow_config": (None,),
    "corda_config": (None,),
    "kasa_config": (None,),
    "lora_ga_config": (None,),
    "monteclora_config": (None,),
}


def is_adapter(folder):
    """Return whether a folder holds updates alone, and no model."""
    models = ("hparams.json", huggingface.CONFIG)
    return Path(folder, CONFIG).is_file() and not any(Path(folder, name).is_file() for name in models)


def read_config(folder):
    """Return what is in adapter_config.json; what cannot be merged is a ValueError."""
    path = Path(folder, CONFIG)
    try:
        config = read_object(path)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used ({error}): download it again") from None
    for key, allowed in REFUSED.items():
        if config.get(key, allowed[0]) not in allowed:
            raise ValueError(
                f"{path} has {key} {config[key]!r:.80}, which picogpt cannot merge: merge it in PEFT, with"
                " merge_and_unload() and save_pretrained(), and open what that saves"
            )
    for key in ("alpha_pattern", "rank_pattern"):
        if not isinstance(config.get(key) or {}, dict):
            raise ValueError(f"{path} has {key} {config[key]!r:.80}, which must be an object: correct it")
    alphas = config.get("lora_alpha", 8), *(config.get("alpha_pattern") or {}).values()
    if wrong := [a for a in alphas if type(a) not in (int, float) or not -MOST < a < MOST]:
        raise ValueError(f"{path} has {wrong[0]!r:.80} as an alpha, which must be a number: correct it")
    if not isinstance(config.get("base_model_name_or_path"), str):
        raise ValueError(
            f'{path} names no base model: write "base_model_name_or_path": "gpt2" there, or a folder'
        )
    return config


def merge(params, hparams, folder):
    """Return (params, hparams) of a base model with a folder's updates; the arrays are changed in place."""
    folder, config, flat = Path(folder), read_config(folder), flatten(params)
    if not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{folder / WEIGHTS} is missing: save it from PEFT with safe_serialization=True"
        )
    tensors, _ = safetensors.read(folder / WEIGHTS)
    pairs, whole = sort_out({name.removeprefix(PREFIX): widened(w) for name, w in tensors.items()}, folder)
    touched = pairs.keys() | whole.keys()
    if touched & {"wte", "lm_head"} and config.get("ensure_weight_tying"):
        raise ValueError(
            f"{folder / CONFIG} has ensure_weight_tying true for an update of the embedding, of which PEFT"
            " makes one model when it loads, and another when it merges: merge it there"
        )
    if "lm_head" not in flat and touched & {"wte", "lm_head"}:
        flat["lm_head"] = flat["wte"].copy()  # PEFT changes the one and leaves the other
    for path, array in whole.items():
        if path not in flat:
            raise ValueError(f"{folder / WEIGHTS} has {path}, which the base model does not have")
        flat[path] = array
    for path, parts in pairs.items():
        add(flat, path, parts, config, folder)
    if "lm_head" in flat and huggingface.same(flat["wte"], flat["lm_head"]) and hparams.get("tied", True):
        del flat["lm_head"]
    hparams = {key: value for key, value in hparams.items() if key != "tied"}
    hparams |= dict(n_vocab=len(flat["wte"])) | (dict(tied=False) if "lm_head" in flat else {})
    return nest(flat), hparams


def sort_out(tensors, folder):
    """Return ({path: {"A", "B"}}, {path: array}): the updates, and the arrays that are saved whole."""
    pairs, whole = {}, {}
    for name, array in tensors.items():
        found = re.fullmatch(LEARNED, name)
        if "lora_magnitude" in name or "token_adapter" in name or ("lora" in name and not found):
            raise ValueError(f"{folder / WEIGHTS} has {name}, which picogpt cannot merge: merge it in PEFT")
        if found:
            path = next(iter(huggingface.rename({f"{found['module']}.weight": None})), found["module"])
            key = found["letter"] + ("_bias" if found["kind"] == "bias" else "")
            pairs.setdefault(path, {})[key] = array
        else:
            whole |= huggingface.rename({re.sub(WHOLE, "", name): array})
    return pairs, whole


def add(flat, path, parts, config, folder):
    """Add s (B A)^T to the matrix at a path; PEFT has a head as [out, in], and adds B A to it."""
    if path not in flat or not {"A", "B"} <= parts.keys():
        raise ValueError(f"{folder / WEIGHTS} has an update of {path} that is not whole, or of another model")
    A, B = parts["A"], parts["B"]
    rank = of_pattern(path, config, "rank_pattern", config.get("r", 8))
    if A.ndim != 2 or B.ndim != 2 or not len(A) == B.shape[1] == rank:
        raise ValueError(
            f"{folder / WEIGHTS} has an update of {path} of shapes {A.shape} and {B.shape}, which is not of"
            f" rank {rank!r:.40}, as {CONFIG} says: save it again from PEFT"
        )
    update = B @ A if path == "lm_head" else A.T @ B.T
    if update.shape != flat[path].shape:
        raise ValueError(
            f"{folder / WEIGHTS} has an update of {path} of shape {update.shape}, but the base model has"
            f" {flat[path].shape}: base_model_name_or_path names another model"
        )
    scale = scale_of(path, len(A), config)
    flat[path] += scale * update
    if "B_bias" in parts:
        flat[path.removesuffix(".w") + ".b"] += scale * parts["B_bias"]


def scale_of(path, r, config):
    """Return alpha / r, or alpha / sqrt(r) if the config says so; alpha_pattern has exceptions by name."""
    alpha = of_pattern(path, config, "alpha_pattern", config.get("lora_alpha", 8))
    return alpha / (r**0.5 if config.get("use_rslora") else r)


def of_pattern(path, config, key, usual):
    """Return what the config has under a key, {pattern: value}, for the module at a path, else `usual`."""
    module = huggingface.their_name(path).removesuffix(".weight")
    exceptions = (config.get(key) or {}).items()
    try:  # patterns may be anyone's, and take for ever
        fits = [
            value for name, value in exceptions if regex.fullmatch(rf"(.*\.)?({name})", module, timeout=1)
        ]
    except (regex.error, TimeoutError) as error:
        raise ValueError(f"{key} in {CONFIG} has a name that cannot be used: {error}") from None
    return next(iter(fits), usual)


def write(folder, low_rank, base):
    """Write {path: {"a", "b"}} as a folder for PEFT; `base` is the name or folder of the model."""
    tensors, modules = {}, []
    for path, ab in low_rank.items():
        module = huggingface.their_name(path).removesuffix(".weight")
        embedding = path in ("wte", "wpe")
        A, B = ab["a"].T, ab["b"].T
        if path == "lm_head":
            A, B = ab["b"], ab["a"]
        modules.append(module)
        for letter, array in (("A", A), ("B", B)):
            part = f"lora_embedding_{letter}" if embedding else f"lora_{letter}.weight"
            tensors[f"{PREFIX}{module}.{part}"] = array
    rank = len(next(iter(low_rank.values()))["b"])
    names = {size: name for name, size in HUGGING_FACE_NAMES.items()}
    config = dict(
        peft_type="LORA",
        task_type="CAUSAL_LM",
        base_model_name_or_path=names.get(str(base), str(base)),
        r=rank,
        lora_alpha=rank,  # so that s is 1
        lora_dropout=0.0,
        target_modules=modules,
        fan_in_fan_out=True,  # as linear layers are [in, out] there too
        bias="none",
        inference_mode=True,
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    safetensors.write(Path(folder, WEIGHTS), tensors, {"format": "pt"})
    with atomic_write(Path(folder, CONFIG)) as file:
        file.write(json.dumps(config, indent=2).encode() + b"\n")
