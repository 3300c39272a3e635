"""Turn OpenAI's TensorFlow checkpoint of a GPT-2 into one safetensors file.

usage: python tools/convert.py FOLDER [--out FOLDER] [--reader NAME]

  FOLDER          holds hparams.json and the checkpoint, model.ckpt.*; say models/124M
  --out FOLDER    where model.safetensors goes, with hparams.json and the tokenizer (beside the
                  checkpoint, which picogpt then no longer reads and which may be deleted)
  --reader NAME   bundle: picogpt's own reader; tf: TensorFlow, with the same result to the last bit
                  (bundle)

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

import sys
from pathlib import Path

from picogpt import bundle, command, weights


def convert(folder: str, *, out: str = "", reader: str = "bundle"):
    """Convert the checkpoint in `folder`; `reader` is "bundle" or "tf"."""
    readers = {"bundle": bundle.read, "tf": read_by_tensorflow}
    if reader not in readers:
        command.usage_error(f"--reader must be bundle or tf, not {reader}")
    folder, out = Path(folder), Path(out or folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the one that holds the checkpoint")
    hparams = weights.read_hparams(folder)
    tensors = weights.from_checkpoint_names(readers[reader](folder))
    weights.check(tensors, hparams, folder)
    if out == folder:
        weights.save_params(folder, tensors, hparams)
    else:
        weights.save(out, tensors, hparams, weights.read_encoder(folder, hparams))
    print(f"{out / weights.WEIGHTS}: {len(tensors)} tensors", file=sys.stderr)


def read_by_tensorflow(folder):
    """Return what `bundle.read` returns, through TensorFlow's own reader."""
    try:
        import tensorflow as tf
    except ImportError:
        raise ValueError('--reader tf needs TensorFlow: pip install -e ".[convert]"') from None
    try:
        checkpoint = tf.train.load_checkpoint(str(bundle.find_prefix(folder)))
        return {name: checkpoint.get_tensor(name) for name in sorted(checkpoint.get_variable_to_shape_map())}
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"TensorFlow cannot read {folder}: {str(error).splitlines()[0]}") from None


if __name__ == "__main__":
    command.run(convert, name="convert")
