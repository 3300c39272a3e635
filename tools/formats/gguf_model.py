"""llama.cpp's GGUF files of GPT-2, read and written through its own package `gguf`.

Matrices are [out, in] there, and may be float32, float16, bfloat16 or q8_0: blocks of 32 whole numbers with a
common factor. One file holds the tokenizer too. Names and layout are those of convert_hf_to_gguf.py and
llama-model.cpp in github.com/ggml-org/llama.cpp.
"""

import re
import secrets
from pathlib import Path

import numpy as np

from picogpt.checkpoints import huggingface
from picogpt.params.checks import check_hparams
from picogpt.params.tree import flatten
from picogpt.system.files import move_into_place, open_file
from picogpt.text import bpe, hf_bpe
from picogpt.text.added_tokens import AddedToken
from picogpt.text.hf_files import Rules, pairs_of

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}  # --dtype: gguf's name
NAMES = {
    "wte": "token_embd.weight",
    "wpe": "position_embd.weight",
    "lm_head": "output.weight",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
PATHS = {theirs: ours for ours, theirs in NAMES.items()}
HPARAMS = {  # ours: theirs
    "n_ctx": "context_length",
    "n_embd": "embedding_length",
    "n_head": "attention.head_count",
    "n_layer": "block_count",
}
WORDS = "gpt-2", "gpt2", None  # how a text is cut into words: tokenizer.ggml.pre; old files do not say
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # kinds of tokens


def package():
    """Return the module gguf, or raise one sentence."""
    try:
        import gguf
    except ImportError:
        raise ValueError('GGUF files need the package gguf: pip install -e ".[gguf]"') from None
    return gguf


def is_model(path):
    """Return whether a file begins as GGUF files do."""
    with open_file(path) as file:
        return file.read(4) == b"GGUF"


def their_name(path):
    """Return what llama.cpp calls the array at a path of the tree.

    >>> their_name("blocks.3.attn.c_attn.w"), their_name("ln_f.g"), their_name("wte")
    ('blk.3.attn_qkv.weight', 'output_norm.weight', 'token_embd.weight')
    """
    if path in NAMES:
        return NAMES[path]
    block, module, leaf = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.*)\.(\w)", path).groups()
    name = NAMES[module] + (".bias" if leaf == "b" else ".weight")
    return name if block is None else f"blk.{block}.{name}"


def our_path(name):
    """Return where the array that llama.cpp calls so stands in the tree: the inverse of `their_name`.

    >>> our_path("blk.3.attn_qkv.weight"), our_path("output_norm.bias"), our_path("output.weight")
    ('blocks.3.attn.c_attn.w', 'ln_f.b', 'lm_head')
    """
    if name in PATHS:
        return PATHS[name]
    block, module, kind = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name).groups()
    path = PATHS[module]
    weight = "g" if "ln_" in path else "w"
    leaf = "b" if kind == "bias" else weight
    return f"blocks.{block}.{path}.{leaf}" if block else f"{path}.{leaf}"


def read(path):
    """Return ({path in the tree: array}, hparams, tokenizer or None) of a GGUF file."""
    gguf = package()
    try:
        reader = gguf.GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
    except Exception as error:  # of whatever kind: a damaged file makes the package stumble anywhere
        raise ValueError(f"{path} cannot be read as a GGUF file ({error}): download it again") from None
    kind = fields.get("general.architecture")
    if kind != "gpt2":
        raise ValueError(f"{path} is of the architecture {kind}, and picogpt computes gpt2 alone")
    try:
        hparams = {ours: int(fields[f"gpt2.{theirs}"]) for ours, theirs in HPARAMS.items()}
        arrays = {our_path(tensor.name): to_float(tensor, gguf) for tensor in reader.tensors}
        hparams["n_vocab"], n_inner = len(arrays["wte"]), int(fields.get("gpt2.feed_forward_length", 0))
        check_hparams(hparams)
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a GPT-2 as llama.cpp has it ({error}): convert it anew") from None
    eps = fields.get("gpt2.attention.layer_norm_epsilon", 1e-5)
    if not (isinstance(eps, float) and np.isclose(eps, 1e-5, rtol=1e-3)):
        raise ValueError(f"{path} has layer_norm_epsilon {eps!r:.40}, but picogpt computes with 1e-05")
    if n_inner != 4 * hparams["n_embd"]:
        hparams["n_inner"] = n_inner
    arrays, hparams = huggingface.adapt(arrays, hparams, path)
    try:
        return arrays, hparams, read_tokenizer(path, fields, hparams["n_vocab"])
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        why = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} has a tokenizer that cannot be used ({why}): convert it anew") from None


def to_float(tensor, gguf):
    """Return a tensor as an array of the tree: float32 or float16, a linear layer as [in, out]."""
    if tensor.tensor_type.name not in DTYPES.values():
        raise ValueError(
            f"{tensor.name} is {tensor.tensor_type.name}: picogpt reads {', '.join(DTYPES)}; llama.cpp's"
            " llama-quantize --allow-requantize makes one of these"
        )
    array = tensor.data
    if tensor.tensor_type.name in ("BF16", "Q8_0"):
        array = gguf.quants.dequantize(array, tensor.tensor_type)
    return array.T if our_path(tensor.name).endswith(".w") else array


def read_tokenizer(path, fields, n_rows):
    """Return the tokenizer in a file's fields; tokens that only fill up the vocabulary are none."""
    if fields.get("tokenizer.ggml.model", "none") == "none":
        return None
    for key, own in (("model", ("gpt2",)), ("pre", WORDS)):
        if (kind := fields.get(f"tokenizer.ggml.{key}")) not in own:
            raise ValueError(f"tokenizer.ggml.{key} is {kind!r:.40}, and only {own[0]} can be read")
    tokens = list(fields["tokenizer.ggml.tokens"])
    kinds = list(fields.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens)))
    while kinds and kinds[-1] == UNUSED:
        tokens, kinds = tokens[:-1], kinds[:-1]
    added = {
        i: AddedToken(tokens[i], special=kind == CONTROL)
        for i, kind in enumerate(kinds)
        if kind in (CONTROL, USER_DEFINED)
    }
    bos, eos = (fields.get(f"tokenizer.ggml.{side}_token_id") for side in ("bos", "eos"))
    rules = Rules(
        merges=pairs_of(fields.get("tokenizer.ggml.merges", []), "tokenizer.ggml.merges"),
        numbers={token: i for i, token in enumerate(tokens)},
        added=added,
        prefix_space=bool(fields.get("tokenizer.ggml.add_space_prefix", False)),
        before=(bos,) if fields.get("tokenizer.ggml.add_bos_token") and bos is not None else (),
        after=(eos,) if fields.get("tokenizer.ggml.add_eos_token") and eos is not None else (),
        bos=bos,
        eos=eos,
    )
    return hf_bpe.from_rules(rules, n_rows)


def write(folder, params, hparams, encoder=None, dtype="f32"):
    """Write model.gguf, matrices in `dtype`, all else in float32; return its path."""
    gguf = package()
    path = Path(folder, "model.gguf")
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")  # as files.atomic_write names it
    writer = gguf.GGUFWriter(temporary, "gpt2")
    try:
        for name, theirs in HPARAMS.items():
            writer.add_uint32(f"gpt2.{theirs}", hparams[name])
        writer.add_feed_forward_length(hparams.get("n_inner") or 4 * hparams["n_embd"])
        writer.add_layer_norm_eps(1e-5)
        writer.add_file_type(
            getattr(gguf.LlamaFileType, f"{'ALL' if dtype == 'f32' else 'MOSTLY'}_{DTYPES[dtype]}")
        )
        write_tokenizer(writer, encoder)
        for name, array in flatten(params).items():
            array = array.T if name.endswith(".w") else array
            kind = kind_of(name, array, dtype, gguf)
            data = np.ascontiguousarray(array, np.float32)
            quantised = kind not in (gguf.GGMLQuantizationType.F32,)
            writer.add_tensor(
                their_name(name), gguf.quants.quantize(data, kind) if quantised else data, raw_dtype=kind
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def kind_of(name, array, dtype, gguf):
    """Return the type of a tensor: norms, biases and positions stay float32, as in llama.cpp's own files."""
    kinds = gguf.GGMLQuantizationType
    if array.ndim == 1 or name == "wpe":
        return kinds.F32
    if dtype == "q8_0" and array.shape[-1] % 32:
        return kinds.F16  # rows that do not divide into blocks
    return kinds[DTYPES[dtype]]


def write_tokenizer(writer, encoder):
    """Write the tokens, their kinds and the merges; llama.cpp cannot read one of characters."""
    if not isinstance(encoder, bpe.Encoder):
        writer.add_tokenizer_model("none")
        return
    rules = hf_bpe.rules_of(encoder)
    kinds = [NORMAL] * len(rules.numbers)
    for i, token in rules.added.items():
        kinds[i] = CONTROL if token.special else USER_DEFINED
    tokens = sorted(rules.numbers, key=rules.numbers.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{a} {b}" for a, b in rules.merges])
    for side, i in (("bos", rules.bos), ("eos", rules.eos)):
        if i is not None:
            writer.add_uint32(f"tokenizer.ggml.{side}_token_id", i)
    writer.add_add_bos_token(bool(rules.before))
    writer.add_add_eos_token(bool(rules.after))
    writer.add_add_space_prefix(rules.prefix_space)
