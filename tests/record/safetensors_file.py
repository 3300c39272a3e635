"""Record a file written by the safetensors library, of the arrays in tests/checkpoints/test_safetensors.py.

pip install safetensors
python tests/record/safetensors_file.py
"""

import json
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_safetensors import RECORDED, other_types, tensors


def main():
    RECORDED.mkdir(parents=True, exist_ok=True)
    path = RECORDED / "library.safetensors"
    safetensors.numpy.save_file(tensors() | other_types(), path, metadata={"format": "np"})
    path.chmod(0o644)
    versions = {"numpy": np.__version__, "safetensors": safetensors.__version__}
    (RECORDED / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
