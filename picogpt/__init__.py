"""GPT-2 in plain NumPy: the model, its tokenizer, its checkpoints, its gradients and its training.

Read it in this order: pico, ops, gpt2, grad, generate, then train/trainer. Nothing is re-exported here, so that
an import names the file to open: `from picogpt.gpt2 import gpt2, KVCache`.
"""

import sys

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # `python -m picogpt...` begins: while it imports the rest, Ctrl-C is one line
    from picogpt.system import interrupt

    interrupt.handle(interrupt.at_once)
