"""GPT-2 in plain NumPy: the model, its tokenizer, its checkpoints, its gradients and its training.

Read it in this order: pico, ops, gpt2, grad, generate, trainer. Nothing is re-exported here, so that an
import names the file to open: `from picogpt.gpt2 import gpt2, KVCache`. Only `picogpt.load` is here, for
three lines of Python; see chat/model.py, which is read when it is first asked for.
"""

import importlib
import os
import sys

__version__ = "0.1.0"

if os.path.basename("".join(sys.argv[:1])) in ("-m", "picogpt", "picogpt.exe"):
    # `python -m picogpt...` begins, or the installed command: while it imports the rest, Ctrl-C is one line
    from picogpt.system import interrupt

    interrupt.handle(interrupt.at_once)


def __getattr__(name):
    """Return `load`; it is imported when it is needed, and `import picogpt` takes no time."""
    if name == "load":
        return importlib.import_module("picogpt.chat.model").load
    raise AttributeError(f"module 'picogpt' has no attribute {name!r}")
