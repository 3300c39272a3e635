"""Turn a checkpoint of GPT-2 of one kind into another.

usage: python tools/convert.py SOURCE [--to KIND] [--out FOLDER] [flags]

{flags}

What another kind cannot say is an error, but for biases of 0 instead of none. A vocabulary that is padded,
as nanoGPT and llm.c pad GPT-2's to 50304, becomes that of the tokenizer; the logits stay the same.
GGUF files need the package gguf: pip install -e ".[gguf]".

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from formats import gguf_model, llmc, state_dict, tf_bundle

from picogpt.checkpoints import bundle, generation_config, huggingface, peft, safetensors, weights
from picogpt.params import narrow
from picogpt.params.options import OPTIONS
from picogpt.params.shapes import SIZES, n_tokens, param_shapes
from picogpt.params.tree import flatten, walk
from picogpt.system import command, flags, folders
from picogpt.system.files import SMALL, atomic_write, read_bytes
from picogpt.system.signature import OneOf
from picogpt.text import bpe, data, hf_bpe
from picogpt.text.chars import CharEncoder
from picogpt.text.gpt1_bpe import Gpt1Encoder

WHOLE = [
    "hparams.json",
    huggingface.CONFIG,
    "model.gguf",
    "model.bin",
    *(f"gpt2_{size}.bin" for size in SIZES),
]
MADE = [  # what a killed conversion may leave
    *("model.safetensors", "model.ckpt.index", "model.ckpt.data-00000-of-00001", "checkpoint", "model.gguf"),
    *("encoder.json", "vocab.bpe", "chars.json", "vocab.json", "merges.txt", "tokenizer.json"),
    *("tokenizer_config.json", "added_tokens.json", "special_tokens_map.json", "gpt2_tokenizer.bin"),
    "generation_config.json",
]
KINDS = dict(  # --to: what its matrices may be in
    picogpt=narrow.DTYPES, hf=("float32", "bfloat16"), tf=("float32",), llmc=("float32",),
    gguf=tuple(gguf_model.DTYPES),
)  # fmt: skip
GGUF_NAMES = {"float32": "f32", "bfloat16": "bf16"}


def convert(
    source: Annotated[
        str,
        "a folder that picogpt opens: OpenAI's, Hugging Face's, PEFT's or its own, say models/124M; a file of"
        " nanoGPT, minGPT or another PyTorch program with their names (.pt), of llm.c (.bin), or of llama.cpp"
        " (.gguf); a folder with a config.json and a pytorch_model.bin, or several. What PyTorch has written"
        " needs PyTorch",
    ],
    *,
    to: Annotated[
        str,
        OneOf("picogpt", "hf", "tf", "llmc", "gguf"),
        "KIND",
        "picogpt: model.safetensors and hparams.json; hf: a folder for Hugging Face's from_pretrained; tf:"
        " OpenAI's files, for TensorFlow; llmc: .bin files for llm.c; gguf: model.gguf for llama.cpp",
    ] = "picogpt",
    out: Annotated[
        str,
        "FOLDER",
        "where it goes, with the tokenizer (--to picogpt of OpenAI's folder: there, beside the checkpoint,"
        " which picogpt then no longer reads and which may be deleted)",
    ] = "",
    tokenizer: Annotated[
        str,
        "PATH",
        "of a file, which has none: a folder with a tokenizer, or the text from whose characters a model of"
        " characters was trained (GPT-2's, for a vocabulary of its size)",
    ] = "",
    n_head: Annotated[flags.Heads | None, "of a PyTorch file that does not tell it, as minGPT's"] = None,
    gelu: Annotated[
        str | None,
        OneOf("tanh", "erf"),
        "of a PyTorch file: tanh or erf (nanoGPT's: erf, as since May 2023; others: tanh)",
    ] = None,
    dtype: Annotated[
        str,
        OneOf("float32", "bfloat16", "int8", *gguf_model.DTYPES),
        "of the matrices: float32; bfloat16, half the space, with --to picogpt, hf or gguf; int8, a quarter,"
        " with --to picogpt; f16 or q8_0, with --to gguf",
    ] = "float32",
    reader: Annotated[
        str,
        OneOf("bundle", "tf"),
        "of OpenAI's checkpoint: bundle, picogpt's own, or tf, TensorFlow, with the same result",
    ] = "bundle",
):
    """Convert as the docstring of this module says; these are the command's flags."""
    command.check(convert, locals())
    dtype = GGUF_NAMES.get(dtype, dtype) if to == "gguf" else dtype
    if dtype not in KINDS[to]:
        command.usage_error(f"--dtype must be {' or '.join(KINDS[to])} with --to {to}, not {dtype}")
    if tokenizer and not Path(tokenizer).exists():
        raise FileNotFoundError(f"{tokenizer} is missing: --tokenizer names a tokenizer's folder, or a text")
    source = Path(source) if Path(source).is_file() else weights.find(source)
    folder = destination(source, out, to)
    own = dtype if to in ("picogpt", "hf") else "float32"
    params, hparams, encoder = read(source, tokenizer, n_head, gelu, reader, own)
    check_kind(hparams, to)
    with folders.release_at_end(folder):
        if out:
            folders.acquire(folder, WHOLE)
            destination(source, out, to)  # nobody else has come first
            folders.clear(folder, MADE)
        said = source / generation_config.FILE
        if to in ("picogpt", "hf") and said.is_file() and folder != source:
            with atomic_write(folder / generation_config.FILE) as file:
                file.write(read_bytes(said, SMALL))
        more = dict(dtype=dtype) if to == "gguf" else {}
        path = WRITERS[to](folder, params, weights.without_usual(hparams), encoder, **more)
    print(f"{path}: {len(flatten(params))} tensors", file=sys.stderr)


def read(source, tokenizer, n_head, gelu, reader, dtype):
    """Return (params, hparams, tokenizer or None) of a model in a file or a folder."""
    if peft.is_adapter(source):
        params, hparams, encoder = weights.load(source, dtype=dtype)
        return params, hparams, read_encoder(source, tokenizer, hparams) if tokenizer else encoder
    if source.is_file():
        arrays, hparams, encoder = read_file(source, n_head, gelu)
    else:
        (arrays, hparams), encoder = read_folder(source, reader), None
    if encoder is None or tokenizer:
        encoder = read_encoder(source, tokenizer, hparams)
    params = weights.lay_out(arrays, hparams, source, dtype)
    return *weights.without_padding(params, hparams, encoder), encoder


def destination(source, out, to):
    """Return the folder that is written to: the source's own only if that makes OpenAI's folder ours."""
    if not out:
        if to != "picogpt" or source.is_file() or not Path(f"{bundle.find_prefix(source)}.index").is_file():
            command.usage_error("--out is missing: the folder that the new files go to")
        return source
    folder = Path(out)
    if folder.is_file():
        raise ValueError(f"{folder} is a file: --out names the folder that the new files go to")
    if folder.is_dir():
        folders.unmark(folder, WHOLE)
    for name in WHOLE:
        if (folder / name).exists():
            raise ValueError(f"{folder} has a model already ({name}): --out names another folder")
    folders.check_free(folder, WHOLE)
    return folder


def read_file(path, n_head, gelu):
    """Return ({path in the tree: array}, hparams, tokenizer or None) of a model in one file."""
    if gguf_model.is_model(path):
        return gguf_model.read(path)
    return *(llmc.read(path) if llmc.is_model(path) else state_dict.read(path, n_head, gelu)), None


def read_folder(folder, reader):
    """Return ({path in the tree: array}, hparams) of a model's folder; TensorFlow's checkpoint goes first."""
    hparams = weights.read_hparams(folder)
    if weights.is_hugging_faces(folder):
        if any(folder.glob(f"{huggingface.WEIGHTS}*")):
            return huggingface.read(folder, hparams)
        return huggingface.adapt(state_dict.read_folder(folder), hparams, folder)
    if reader == "tf":
        return weights.from_checkpoint_names(read_by_tensorflow(folder)), hparams
    checkpoint = Path(f"{bundle.find_prefix(folder)}.index")
    if not checkpoint.exists() and (folder / weights.WEIGHTS).exists():
        tensors, _ = safetensors.read_mapped(folder / weights.WEIGHTS)
        return narrow.joined(tensors, folder), hparams
    return weights.from_checkpoint_names(bundle.read(folder)), hparams


def read_by_tensorflow(folder):
    """Return what `bundle.read` returns, through TensorFlow's own reader."""
    try:
        import tensorflow as tf
    except ImportError:
        raise ValueError('--reader tf needs TensorFlow: pip install -e ".[tf]"') from None
    try:
        checkpoint = tf.train.load_checkpoint(str(bundle.find_prefix(folder)))
        return {name: checkpoint.get_tensor(name) for name in sorted(checkpoint.get_variable_to_shape_map())}
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"TensorFlow cannot read {folder}: {str(error).splitlines()[0]}") from None


def read_encoder(source, tokenizer, hparams):
    """Return the tokenizer that --tokenizer names, else the one in the folder, else GPT-2's if it fits."""
    if tokenizer and Path(tokenizer).is_file():
        encoder = CharEncoder.from_text(data.read_text(tokenizer))
        if encoder.n_vocab != hparams["n_vocab"]:
            raise ValueError(
                f"{tokenizer} has {encoder.n_vocab} characters, but the model n_vocab {hparams['n_vocab']}:"
                " give the text that it was trained on"
            )
        return encoder
    if tokenizer or source.is_dir():
        encoder = weights.read_encoder(tokenizer or source, hparams)
        if tokenizer and encoder is None:
            raise FileNotFoundError(f"{tokenizer} has no tokenizer: give --tokenizer a folder that has one")
        return encoder
    gpt2 = bpe.load_encoder(weights.shipped("gpt2-bpe"))
    return gpt2 if gpt2.n_vocab == n_tokens(hparams["n_vocab"]) else None


def write_picogpt(folder, params, hparams, encoder):
    """Write picogpt's folder, or into OpenAI's the weights alone; return the path of these."""
    if (folder / "hparams.json").exists():
        return weights.save_params(folder, params, hparams)
    weights.save(folder, params, hparams, encoder)
    return folder / weights.WEIGHTS


def write_hf(folder, params, hparams, encoder):
    """Write Hugging Face's folder; return the path of its weights."""
    params, hparams = with_biases(params, hparams)
    if isinstance(encoder, bpe.Encoder) and not isinstance(encoder, Gpt1Encoder):
        hf_bpe.save(folder, encoder)
    elif encoder:
        encoder.save(folder)  # characters, which only picogpt reads
    return huggingface.write(folder, params, hparams, encoder)


def write_tf(folder, params, hparams, encoder):
    """Write OpenAI's folder, hparams.json last, which marks a model; return the path of its data."""
    params, hparams = with_biases(params, hparams)
    path = tf_bundle.write(folder, weights.to_checkpoint_names(params))
    if encoder:
        encoder.save(folder)
    files = {"encoder.json": encoder.encoder} if type(encoder) is bpe.Encoder else {}
    files |= {"hparams.json": hparams}
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(json.dumps(content).encode())
    return path


def write_llmc(folder, params, hparams, encoder):
    """Write llm.c's files; return the path of the model."""
    return llmc.write(folder, *with_biases(params, hparams), encoder)


def write_gguf(folder, params, hparams, encoder, dtype):
    """Write llama.cpp's file; return its path."""
    return gguf_model.write(folder, *with_biases(params, hparams), encoder, dtype)


def check_kind(hparams, to):
    """Raise ValueError for a model that is not GPT-2, with or without biases, if others cannot compute it."""
    by_hf = ("bias", "tied", "gelu", "norm", "activation", "n_inner", "scale_by_layer", "scale_by_width")
    can = dict(picogpt=OPTIONS, hf=by_hf, gguf=("bias", "tied", "n_inner")).get(to, ("bias",))
    for key in OPTIONS:
        if key not in can and hparams.get(key, OPTIONS[key]) != OPTIONS[key]:
            said = f"the model has {key} {hparams[key]!r}, which --to {to} cannot say"
            raise ValueError(f"{said}: use --to {'hf' if key in by_hf else 'picogpt'}")


def with_biases(params, hparams):
    """Return ({path: array}, hparams) of the same model with biases: those that it lacks are 0."""
    flat, hparams = flatten(params), {key: value for key, value in hparams.items() if key != "bias"}
    return {
        path: flat[path] if path in flat else np.zeros(shape, np.float32)
        for path, shape in walk(param_shapes(**hparams))
    }, hparams


WRITERS = {"picogpt": write_picogpt, "hf": write_hf, "tf": write_tf, "llmc": write_llmc, "gguf": write_gguf}


if __name__ == "__main__":
    command.run(convert, name="convert")
