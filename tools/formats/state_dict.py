"""Models that PyTorch has saved: nanoGPT's and minGPT's, and Hugging Face's pytorch_model.bin.

All name their parameters alike, and as Hugging Face does today. The linear layers of the two GPTs are
torch.nn.Linear, [out, in]; Hugging Face's are [in, out]. Such a file is a pickle, of which PyTorch reads
plain data and nothing that could run (weights_only).
"""

import pickle
import re
import warnings
import zipfile

from picogpt.checkpoints import huggingface
from picogpt.checkpoints.safetensors import BF16

NESTED = "model_state_dict", "state_dict", "module", "model"  # under which programs keep a state dict


def read(path, n_head=None, gelu=None):
    """Return ({path in the tree: array}, hparams) of nanoGPT's checkpoint or minGPT's state dict.

    nanoGPT's checkpoint has n_head, a state dict does not: it must be given. None tells which gelu it is;
    nanoGPT trains with erf since May 2023, minGPT with tanh.
    """
    saved = load(path)
    nano = isinstance(saved, dict) and "model" in saved and isinstance(saved.get("model_args"), dict)
    arrays = read_state(path, saved)
    its = saved["model_args"].get("n_head") if nano else None
    if n_head is None and its is None:
        raise ValueError(f"{path} does not tell how many heads the model has: give --n_head")
    if None not in (n_head, its) and n_head != its:
        raise ValueError(f"{path} is of n_head {its!r:.40}, and not --n_head {n_head}: leave out the flag")
    n_head = its if n_head is None else n_head
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
    names, arrays = huggingface.file_names(folder, huggingface.PYTORCH), {}
    if names == [huggingface.PYTORCH]:
        return read_state(folder, load_file(folder / huggingface.PYTORCH))
    for name in names:
        arrays |= tensors_of(folder / name, load_file(folder / name))
    return read_state(folder, arrays)


def load_file(path):
    """Do as `load`; a missing file is an error that says so."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: download it again")
    return load(path)


def load(path):
    """Return what PyTorch has saved in `path`, with tensors mapped from the file where that can be."""
    try:
        import torch
    except ImportError:
        raise ValueError(f"{path} needs PyTorch to be read: pip install torch") from None
    try:
        if is_zip := zipfile.is_zipfile(path):
            check_not_packed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of files and of tensors
            return torch.load(path, "cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:  # what PyTorch says then is how to run such a file
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(
            f"{path} is no file of weights that PyTorch can read safely"
            + (f": it holds more than tensors, {found[1]} for one" if found else "")
            + ". Whoever made it can save the weights alone: torch.save(model.state_dict(), FILE)"
        ) from None
    except Exception as error:  # of whatever kind: a damaged file makes PyTorch stumble anywhere
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is no file of weights that PyTorch can read safely ({reason})") from None


def check_not_packed(path):
    """Raise ValueError for an archive with a part that grows when it is read: PyTorch packs none."""
    with zipfile.ZipFile(path) as archive:
        packed = [part.filename for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{packed[0]!r:.80} in it is packed, as PyTorch packs nothing")


def tensors_of(path, saved):
    """Return {name: tensor} of what PyTorch has saved: the state dict itself, or under one of a few names."""
    for name in NESTED:
        if isinstance(saved, dict) and isinstance(saved.get(name), dict):
            saved = saved[name]
    if not isinstance(saved, dict):
        raise ValueError(f"{path} is not the state dict of a GPT-2 (it holds a {type(saved).__name__})")
    if wrong := [n for n, t in saved.items() if not (isinstance(n, str) and hasattr(t, "dtype"))]:
        raise ValueError(f"{path} is not the state dict of a GPT-2 ({wrong[0]!r:.80} in it is no tensor)")
    return saved


def read_state(path, saved):
    """Return {path in the tree: array} of a state dict, its linear layers as [in, out]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors that PyTorch gives up
            named = {name: to_numpy(tensor) for name, tensor in tensors_of(path, saved).items()}
    except (TypeError, RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path} has a tensor that NumPy cannot have ({reason}): save it as float32"
        ) from None
    arrays = huggingface.rename(named, path)
    shapes = [getattr(arrays.get(name), "shape", ()) for name in ("blocks.0.attn.c_attn.w", "wte", "wpe")]
    if [*map(len, shapes)] != [2, 2, 2]:
        raise ValueError(f"{path} is not the state dict of a GPT-2 (it lacks wte, wpe or h.0.attn.c_attn)")
    transposed = shapes[0][0] == 3 * shapes[0][1]
    return {name: array.T if transposed and name.endswith(".w") else array for name, array in arrays.items()}


def to_numpy(tensor):
    """Return a tensor as an array of the same memory; NumPy has no bfloat16, see `safetensors.BF16`."""
    import torch

    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint16).numpy().view(BF16)
    return tensor.detach().numpy()
