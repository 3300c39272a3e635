"""Record what TensorFlow writes and reads back: the small checkpoints in tests/references.

    pip install -e ".[tf]"
    python tests/record/tensorflow_checkpoint.py

tf_checkpoint: a tiny GPT-2 under OpenAI's names and in their shapes, by the Saver that OpenAI used.
tf_bundle: two data files, several types, a scalar and an empty array.
Beside each: expected.npz, the arrays as TensorFlow reads them back, and versions.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from picogpt.params.shapes import param_shapes
from picogpt.params.tree import walk

HPARAMS = {"n_vocab": 17, "n_ctx": 11, "n_embd": 12, "n_head": 3, "n_layer": 2}
REFERENCES = Path(__file__).parents[1] / "references"


def openai_variables(hparams, rng):
    """Return {name: array} under the names and in the shapes of OpenAI's checkpoints, random throughout."""
    variables = {}
    for path, shape in walk(param_shapes(**hparams)):
        name = "model/" + path.replace("blocks.", "h").replace(".", "/")
        is_conv = path.startswith("blocks") and len(shape) == 2
        variables[name] = rng.normal(size=(1, *shape) if is_conv else shape).astype(np.float32)
    return variables


def write_checkpoint(folder, variables):
    """Write a checkpoint to `folder` the way OpenAI's training code did."""
    tf1 = tf.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        for name, array in variables.items():
            tf1.get_variable(name, initializer=array, use_resource=False)
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(save_relative_paths=True)
        saver.save(session, str(folder / "model.ckpt"), write_meta_graph=False)


def write_bundle(prefix, *shards):
    """Write each dict of arrays to a data file of its own, under one index."""
    parts = [f"{prefix}.part{i}" for i in range(len(shards))]
    for part, arrays in zip(parts, shards, strict=True):
        names, values = list(arrays), [tf.constant(array) for array in arrays.values()]
        tf.raw_ops.SaveV2(prefix=part, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(prefix))


def read_back(prefix):
    """Return {name: array} as TensorFlow reads it."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}


def main():
    rng = np.random.default_rng(0)
    folder = REFERENCES / "tf_checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, openai_variables(HPARAMS, rng))
    (folder / "hparams.json").write_text(json.dumps(HPARAMS) + "\n")
    numbers = {
        "double/a": rng.normal(size=(3, 5)),
        "half": rng.normal(size=7).astype(np.float16),
        "empty": np.zeros((0, 3), np.float32),
    }
    counts = {"step": np.int64(1234567890123), "double/b": rng.normal(size=(2, 1, 4)), "i": np.arange(-3, 9)}
    (REFERENCES / "tf_bundle").mkdir(exist_ok=True)
    write_bundle(REFERENCES / "tf_bundle" / "model.ckpt", numbers, counts)
    for name in ("tf_checkpoint", "tf_bundle"):
        np.savez(REFERENCES / name / "expected.npz", **read_back(REFERENCES / name / "model.ckpt"))
        versions = {"python": sys.version.split()[0], "numpy": np.__version__, "tensorflow": tf.__version__}
        (REFERENCES / name / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
