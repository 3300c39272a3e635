"""The names of models, and the error sentences for a name that is none, or a folder without a model."""

import contextlib
import difflib
import re
import shlex
from pathlib import Path

from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES
from picogpt.system.files import read_json

SHIPPED = ["tales", "talk"]  # in models/, which comes with picogpt
NAMES = [*SHIPPED, *SIZES, *HUGGING_FACE_NAMES]
OLD_NAMES = {"117M": "124M", "345M": "355M"}  # OpenAI's first count left out the embeddings
MARKS = "hparams.json", "config.json"  # of which a model's folder has one
STATE, SETTINGS = "state.safetensors", "settings.json"  # of a training, see train/


def unknown(name, models_dir):
    """Return the sentence on a name that is no model's: what was perhaps meant, and which names there are."""
    if name in OLD_NAMES:
        return f"OpenAI's {name} is now called {OLD_NAMES[name]}: ask for that"
    if name and Path(name).is_file():
        return f"{name} is a file, and a model is a folder: tools/convert.py makes one of it"
    here = [str(folder) for folder in local(models_dir)]
    short = {Path(path).name.lower(): path for path in here}
    known = {path.lower(): path for path in here} | short | {own.lower(): own for own in NAMES}
    near = difflib.get_close_matches(name.lower().rstrip("/"), known, n=1)
    said = f"{name or repr(name)} is neither a folder nor a size of GPT-2; the sizes are {', '.join(SIZES)}"
    said += f", or {', '.join(HUGGING_FACE_NAMES)}; and the bundled models are {' and '.join(SHIPPED)}"
    said += f"; in folders here are {', '.join(here)}" if here else ""
    return said + (f": did you mean {known[near[0]]}?" if near else "")


def local(models_dir, most=20):
    """Yield the folders of models in `models_dir` and in runs, at most so many."""
    for parent in dict.fromkeys([Path(models_dir), Path("runs")]):
        with contextlib.suppress(OSError):
            there = sorted(parent.iterdir())
            yield from [path for path in there if any((path / mark).is_file() for mark in MARKS)][:most]


def check_ended(folder):
    """Raise FileNotFoundError if a folder holds a training that has saved a state, but no model yet."""
    folder = Path(folder)
    if (folder / "model.safetensors").is_file() or not (folder / STATE).is_file():
        return
    command = ""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        command = str(read_json(folder / SETTINGS).get("command", ""))
    goes_on = shlex.join(["python", "-m", command, "--resume", "--out", str(folder)])
    if not re.fullmatch(r"picogpt(\.\w+)+", command):  # a folder may be anyone's
        goes_on = "the command that began it, and --resume"
    raise FileNotFoundError(f"{folder} holds a training that has no model yet; go on with: {goes_on}")
