"""Models that PyTorch has saved: nanoGPT's and minGPT's, and Hugging Face's pytorch_model.bin.

All name their parameters alike, and as Hugging Face does today. The linear layers of the two GPTs are
torch.nn.Linear, [out, in]; Hugging Face's are [in, out]. Such a file is a pickle, of which PyTorch reads
plain data and nothing that could run (weights_only).
"""

import pickle
import re
import zipfile

from picogpt.checkpoints import huggingface
from picogpt.checkpoints.safetensors import BF16


def read(path, n_head=None, gelu=None):
    """Return ({path in the tree: array}, hparams) of nanoGPT's checkpoint or minGPT's state dict.

    nanoGPT's checkpoint has n_head, a state dict does not: it must be given. None tells which gelu it is;
    nanoGPT trains with erf since May 2023, minGPT with tanh.
    """
    saved = load(path)
    nano = isinstance(saved, dict) and "model" in saved and isinstance(saved.get("model_args"), dict)
    arrays = read_state(path, saved["model"] if nano else saved)
    n_head = n_head or (saved["model_args"].get("n_head") if nano else None)
    if n_head is None:
        raise ValueError(f"{path} does not tell how many heads the model has: give --n_head")
    n_vocab, n_embd = arrays["wte"].shape
    hparams = dict(
        n_vocab=n_vocab,
        n_ctx=len(arrays["wpe"]),
        n_embd=n_embd,
        n_head=n_head,
        n_layer=len({name.split(".")[1] for name in arrays if name.startswith("blocks.")}),
        bias="ln_f.b" in arrays,
        tied="lm_head" not in arrays or huggingface.same(arrays["lm_head"], arrays["wte"]),
        gelu=gelu or ("erf" if nano else "tanh"),
    )
    return huggingface.adapt(arrays, hparams, path)


def read_folder(folder):
    """Return {path in the tree: array} of Hugging Face's pytorch_model.bin, which may be several files."""
    index, state = folder / f"{huggingface.PYTORCH}.index.json", {}
    names = huggingface.read_index(index, ".bin") if index.is_file() else {huggingface.PYTORCH}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: download it again")
        state |= load(folder / name)
    return read_state(folder, state)


def load(path):
    """Return what PyTorch has saved in `path`, with tensors mapped from the file where that can be."""
    try:
        import torch
    except ImportError:
        raise ValueError(f"{path} needs PyTorch to be read: pip install torch") from None
    try:
        return torch.load(path, "cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:  # what PyTorch says then is how to run such a file
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(
            f"{path} is no file of weights that PyTorch can read safely: it holds more than tensors"
            + (f", {found[1]} for one" if found else "")
            + ". Whoever made it can save the weights alone: torch.save(model.state_dict(), FILE)"
        ) from None
    except Exception as error:  # of whatever kind: a damaged file makes PyTorch stumble anywhere
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path} is no file of weights that PyTorch can read safely ({reason})") from None


def read_state(path, state):
    """Return {path in the tree: array} of a state dict, its linear layers as [in, out]."""
    try:
        arrays = huggingface.rename({name: to_numpy(tensor) for name, tensor in state.items()})
        (n_in, n_out), _, _ = (arrays[name].shape for name in ("blocks.0.attn.c_attn.w", "wte", "wpe"))
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the state dict of a GPT-2 ({error})") from None
    transposed = n_in == 3 * n_out
    return {name: array.T if transposed and name.endswith(".w") else array for name, array in arrays.items()}


def to_numpy(tensor):
    """Return a tensor as an array of the same memory; NumPy has no bfloat16, see `safetensors.BF16`."""
    import torch

    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint16).numpy().view(BF16)
    return tensor.detach().numpy()
