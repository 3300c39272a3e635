"""The models that OpenAI has released: their files, where these are, and what has been published of them.

OpenAI serves the TensorFlow checkpoints, Hugging Face the same weights as safetensors. The environment
variable PICOGPT_URL names a mirror: it replaces the address at which the paths below begin.
"""

import functools
import os
from pathlib import Path
from typing import Annotated

from picogpt.checkpoints import bundle
from picogpt.checkpoints.bundle import masked_crc32c
from picogpt.params.shapes import SIZES
from picogpt.system.files import SMALL, is_there, open_file, read_json, read_text
from picogpt.system.signature import OneOf

URLS = {
    "openai": "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "hf": "https://huggingface.co",
}
CHECKPOINT = 'model_checkpoint_path: "model.ckpt"\n'
Source = Annotated[str, OneOf(*URLS), "who serves a model that is not there: openai, or hf, Hugging Face"]
INDEX, DATA = "model.ckpt.index", "model.ckpt.data-00000-of-00001"
ENCODER = (1042301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783")  # (bytes, sha256)
MERGES = (456318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5")  # one for all sizes
FILES = {  # OpenAI's files of 124M; the graph in model.ckpt.meta is left out, because nothing reads it
    "checkpoint": (77, "dd1b025d2e155283f5e300ce95bf6d5b6bc0f7fe010db73daa6975eb896ab9cb"),
    "hparams.json": (90, "d9d56e4121c427164e0c55c6f03c08e1daf9002b9b672825112d19097b680318"),
    "encoder.json": ENCODER,
    "vocab.bpe": MERGES,
    INDEX: (5215, "71916f763f9746f9b2a06b12d91996cf1084ae008d0424543d39391c5f2dc687"),
    DATA: (497759232, "2060c885360cc0cf41d7a6dbc4d24b5127aae20260c8b5ae521b5a6578407118"),
}
DATA_BYTES = {"355M": 1419292672, "774M": 3096120320, "1558M": 6230444800}  # of these no sha256 is published
HF_MODELS = {  # Hugging Face's name, the commit, (bytes, sha256) of config.json and of model.safetensors
    "124M": (
        "gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        (665, "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4"),
        (548105171, "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"),
    ),
    "355M": (
        "gpt2-medium",
        "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        (718, "ef1a44d889ad1a0acc7731c78134f1b87d2d222f110e97dd10fd4117331caf22"),
        (1519984962, "fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd"),
    ),
    "774M": (
        "gpt2-large",
        "32b71b12589c2f8d625668d2335a01cac3249519",
        (None, "7fccdcfd6622055342a734c663ee0b61ff4fd697f42467595df0bf4448c8c170"),
        (None, "5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce"),
    ),
    "1558M": (
        "gpt2-xl",
        "15ea56dee5df4983c59b2538573817e1667135e2",
        (None, "be48115d52314bc27327e160bf10197760db02ea689d10adb24db4102edf7a8a"),
        (None, "0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a"),
    ),
}


def fetch_gpt2(size, models_dir="models", source="openai", offline=False):
    """Fetch what `models_dir` lacks of a model, from "openai" or "hf", Hugging Face; return its folder.

    The folder is 124M as OpenAI calls it, or gpt2 as Hugging Face does; if either is complete nothing is
    fetched. With `offline`, or the environment variable PICOGPT_OFFLINE, what is missing is a
    FileNotFoundError; for the other errors see `download.download`.
    """
    if size not in SIZES:
        raise ValueError(f"OpenAI has no GPT-2 of size {size}, but {', '.join(SIZES)}")
    if source not in URLS:
        raise ValueError(f"{source} is no source of models; these are {', '.join(URLS)}")
    for name in (*URLS, source):
        folder, path, files = published(size, name)
        folder = Path(models_dir, folder)
        lacking = {name: known for name, known in files.items() if not is_there(folder / name, known[0])}
        if not lacking:
            return folder
    url = f"{os.environ.get('PICOGPT_URL', '').rstrip('/') or URLS[source]}/{path}"
    if offline or os.environ.get("PICOGPT_OFFLINE", "0") not in ("", "0"):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(lacking)}, and offline nothing is fetched: run this once without"
            f" --offline and PICOGPT_OFFLINE, or copy what is missing from {url}"
        )
    # Only here, because importing requests takes longer than generating
    from picogpt.checkpoints.download import download

    for name, (n_bytes, sha256) in lacking.items():
        check = None if sha256 else functools.partial(check_openai, size, name)
        download(f"{url}/{name}", folder / name, n_bytes, sha256, check)
    return folder


def published(size, source):
    """Return (folder, path on the server, {file: (bytes, sha256)}) of a model; None is unpublished."""
    if source == "hf":
        name, commit, config, weights = HF_MODELS[size]
        tokenizer = {"vocab.json": ENCODER, "merges.txt": MERGES}
        files = {"config.json": config} | tokenizer | {"model.safetensors": weights}
        return name, f"openai-community/{name}/resolve/{commit}", files
    if size == "124M":
        return size, size, FILES
    known = {"encoder.json": ENCODER, "vocab.bpe": MERGES, DATA: (DATA_BYTES[size], None)}
    return size, size, dict.fromkeys(FILES, (None, None)) | known


def check_openai(size, name, path):
    """Raise ValueError if the file `path` is not `name` of a checkpoint of which no sha256 is published."""
    if name == "hparams.json" and read_json(path) != SIZES[size]:
        raise ValueError(f"it does not tell the hyper-parameters of {size}")
    if name == "checkpoint" and not read_text(path, SMALL).startswith(CHECKPOINT):
        raise ValueError("it does not name model.ckpt")
    if name in (INDEX, DATA):
        try:
            entries = read_index(size, path if name == INDEX else path.with_name(INDEX))
        except ValueError as error:
            if name == INDEX:
                raise ValueError(f"it is not the index of {size}") from None
            raise OSError(error) from None  # the data may be right
    if name == DATA:
        with open_file(path) as file:
            for tensor, (*_, offset, n_bytes, crc) in entries.items():
                file.seek(offset)
                if masked_crc32c(file.read(n_bytes)) != crc:
                    raise ValueError(f"the crc32c of {tensor} is not the one in {INDEX}")


def read_index(size, path):
    """Return {tensor: its entry} of an index, which must be that of a model of this size."""
    _, entries = bundle.read_index(path)
    if sum(n_bytes for *_, n_bytes, _ in entries.values()) != DATA_BYTES[size]:
        raise ValueError(f"{path} is the index of another model: delete it, run this again")
    return entries
