"""A word to OpenBLAS, on which NumPy's matrix products rely, about a processor that it may not recognise."""

import os
from pathlib import Path


def choose_kernels(cpuinfo="/proc/cpuinfo"):
    """Have OpenBLAS use its AVX-512 code on AMD's Zen 5, unless the user has chosen something else.

    OpenBLAS 0.3.31, in NumPy 2.4, does not know AMD's processor family 26. What it then finds out by itself
    differs from one start to the next: now AVX-512, now AVX2, with which products take twice as long
    (OpenBLAS, issue 6029). It looks at this variable when NumPy loads it, so this has to come first.
    """
    try:
        first = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:  # not Linux
        return
    pairs = (line.partition(":") for line in first.splitlines())
    told = {key.strip(): value.split() for key, _, value in pairs}
    if told.get("cpu family") == ["26"] and "avx512f" in told.get("flags", []):
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
