"""Write a GPT-2 of 124M with random weights, as OpenAI wrote theirs, for the tests at full size.

    pip install -e ".[reference]"
    python tests/record/random_124M.py FOLDER

TensorFlow runs here in a process of its own, away from PyTorch's threads.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from picogpt.params.shapes import SIZES, param_shapes
from picogpt.params.tree import walk

VOCAB_BPE = Path(__file__).parents[2] / "models" / "gpt2-bpe" / "vocab.bpe"


def weights():
    """Return {path: array} of seeded random float32 weights.

    Embeddings have a standard deviation of 0.04, matrices 0.08, gains 0.1 around 1, biases 0.1. With the
    smaller ones of an untrained GPT-2, greedy text says one token over and over, and would agree with
    another model's whatever positions and attention do.
    """
    rng = np.random.default_rng(0)
    drawn = {}
    for path, shape in walk(param_shapes(**SIZES["124M"])):
        scale = 0.04  # of the embeddings
        if path.endswith((".g", ".b")):
            scale = 0.1
        elif path.endswith(".w"):
            scale = 0.08
        drawn[path] = rng.standard_normal(shape, np.float32)
        drawn[path] *= scale
        drawn[path] += path.endswith(".g")
    return drawn


def variables():
    """Return {name: array} of the same under OpenAI's names, matrices with the first axis of convolutions."""
    named = {}
    for path, array in weights().items():
        name = "model/" + path.replace("blocks.", "h").replace(".", "/")
        named[name] = array[None] if path.endswith(".w") else array
    return named


def main():
    from tensorflow_checkpoint import write_checkpoint

    folder = Path(sys.argv[1])
    write_checkpoint(folder, variables())
    (folder / "hparams.json").write_text(json.dumps(SIZES["124M"]))
    shutil.copy(VOCAB_BPE, folder)


if __name__ == "__main__":
    main()
