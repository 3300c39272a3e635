"""llm.c's checkpoints, read and written: a header of 256 numbers, then all parameters.

What is one array for each layer in picogpt's tree is one for all layers here, and linear layers are
[out, in]. The vocabulary is padded to a multiple of 128.

Source: write_model, write_tensors and write_tokenizer of train_gpt2.py in github.com/karpathy/llm.c.
"""

import math
from pathlib import Path

import numpy as np

from picogpt.params.checks import check_hparams
from picogpt.params.shapes import SIZES, param_shapes
from picogpt.params.tree import flatten, walk
from picogpt.system.files import atomic_write, map_file, open_file

MODEL, TOKENIZER, VERSION = 20240326, 20240328, 3  # version 3 is float32
HEADER = ["n_ctx", "n_vocab", "n_layer", "n_head", "n_embd"]  # the third number and on; then n_vocab padded
N_HEADER = 256


def is_model(path):
    """Return whether a file begins as llm.c's models do."""
    with open_file(path) as file:
        return file.read(4) == MODEL.to_bytes(4, "little")


def layout(hparams, n_padded):
    """Yield (path in the tree, shape in the file) of each array, in the order of the file."""
    shapes = param_shapes(**hparams)
    yield "wte", (n_padded, hparams["n_embd"])
    yield "wpe", shapes["wpe"]
    for path, shape in walk(shapes["blocks"][0]):
        yield from ((f"blocks.{i}.{path}", shape[::-1]) for i in range(hparams["n_layer"]))
    yield from walk(shapes["ln_f"], "ln_f")


def read(path):
    """Return ({path in the tree: array}, hparams) of a model's file; the arrays are mapped, read-only."""
    data = map_file(path)
    header = data[: 4 * N_HEADER].view("<i4").tolist() if len(data) >= 4 * N_HEADER else [MODEL, 0]
    if header[1] != VERSION:
        raise ValueError(f"{path} is of llm.c's version {header[1]}: only {VERSION}, float32, can be read")
    hparams, n_padded = dict(zip(HEADER, header[2:7], strict=True)), header[7]
    try:
        check_hparams(hparams)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from None
    places = list(layout(hparams, n_padded))
    wanted = 4 * (N_HEADER + sum(math.prod(shape) for _, shape in places))
    if len(data) != wanted or n_padded < hparams["n_vocab"]:
        raise ValueError(f"{path} has {len(data):,} bytes, not {wanted:,} as its header says: copy it again")
    arrays, end = {}, 4 * N_HEADER
    for name, shape in places:
        begin, end = end, end + 4 * math.prod(shape)
        array = data[begin:end].view("<f4").reshape(shape)
        arrays[name] = array.T if name.endswith(".w") else array
    return arrays | dict(wte=arrays["wte"][: hparams["n_vocab"]]), hparams


def write(folder, params, hparams, encoder=None):
    """Write gpt2_124M.bin, or model.bin of no released size, and its tokenizer; return the former's path."""
    tokens = checked_tokens(encoder) if hasattr(encoder, "token_bytes") else None
    flat, n_vocab = flatten(params), hparams["n_vocab"]
    n_padded = -(-n_vocab // 128) * 128
    size = next((f"gpt2_{size}" for size in SIZES if SIZES[size] == hparams), "model")
    if tokens is not None:
        write_tokenizer(Path(folder, "gpt2_tokenizer.bin"), tokens, encoder.eot or 0)
    with atomic_write(Path(folder, f"{size}.bin")) as file:  # last: it makes the folder whole
        write_header(file, MODEL, VERSION, *(hparams[name] for name in HEADER), n_padded)
        for name, _ in layout(hparams, n_padded):
            array = flat[name].T if name.endswith(".w") else flat[name]
            file.write(np.ascontiguousarray(array, "<f4").data)
            if name == "wte":
                file.write(bytes(4 * (n_padded - n_vocab) * hparams["n_embd"]))
    return Path(folder, f"{size}.bin")


def checked_tokens(encoder):
    """Return the tokens' bytes in the order of their ids; their lengths must fit into a byte."""
    tokens = [encoder.token_bytes(i) for i in range(encoder.n_vocab)]
    for i, token in enumerate(tokens):
        if not 0 < len(token) < 256:
            raise ValueError(
                f"token {i}, {token.decode(errors='replace')[:20]!r}..., has {len(token)} bytes, and llm.c's"
                " tokenizer has room for 1 to 255: --to hf or picogpt has it for any"
            )
    return tokens


def write_tokenizer(path, tokens, eot):
    """Write the tokens' bytes, each after its length, a byte."""
    with atomic_write(path) as file:
        write_header(file, TOKENIZER, 2, len(tokens), eot)
        file.write(b"".join(bytes([len(token)]) + token for token in tokens))


def write_header(file, *numbers):
    """Write the numbers, and zeros up to N_HEADER of them."""
    file.write(np.array(numbers, "<i4").tobytes().ljust(4 * N_HEADER, b"\0"))
