"""The tests in small, to be read and run first: one forward, one gradient, one text, in a few seconds.

    python -m pytest tests/test_tiny.py

All other tests are made like these: what a function of picogpt returns is compared with what somebody else
says, here Hugging Face and PyTorch. They need not be installed: tests/record has asked them, and written
their answers down in tests/references.
"""

import json
from pathlib import Path

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.tree import flatten, nest

REFERENCES = Path(__file__).parent / "references"


def tiny_model():
    """Return a GPT-2 of 2 layers with random weights, a batch, and what PyTorch made of both."""
    with np.load(REFERENCES / "pytorch.npz") as arrays:
        return nest(dict(arrays))["tiny"]  # the array "tiny.params.wte" is at ["params"]["wte"]


def test_forward():
    """17 logits after each of 7 tokens in 2 rows are those of Hugging Face's GPT2LMHeadModel."""
    tiny = tiny_model()
    logits = gpt2(tiny["ids"], tiny["params"], n_head=3)
    assert logits.shape == (2, 7, 17)
    np.testing.assert_allclose(logits, tiny["logits"], rtol=0, atol=1e-5)  # the weights are in float32


def test_gradient():
    """The loss, and its derivative by every number of the model, are those of PyTorch's autograd."""
    tiny = tiny_model()
    loss, grads = loss_and_grads(tiny["params"], tiny["ids"], tiny["targets"], n_head=3)
    np.testing.assert_allclose(loss, tiny["loss"], rtol=1e-5)
    for path, theirs in flatten(tiny["grads"]).items():
        np.testing.assert_allclose(flatten(grads)[path], theirs, rtol=0, atol=1e-5, err_msg=path)


def test_text():
    """The bundled model goes on with a prompt as Hugging Face does with the same weights, token for token."""
    theirs = json.loads((REFERENCES / "tales" / "golden_greedy.json").read_text(encoding="utf-8"))[0]
    params, hparams, encoder = weights.load("tales")
    ids = encoder.encode(theirs["prompt"])
    [new] = generate(params, hparams["n_head"], [ids], n_new=theirs["n_new"])
    assert encoder.decode(new) == theirs["text"]
