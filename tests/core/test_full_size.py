"""At full size, the official way: a 124M checkpoint that TensorFlow wrote, in OpenAI's exact layout.

Its weights are random, see tests/record/random_124M.py. Our tools convert and load it; Hugging Face's model
with the same weights says what logits and greedy text must be. This takes some minutes and, so long, 1.5 GB.
"""

import filecmp
import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from compare import relative_error
from processes import run_python
from record import pytorch, random_124M

from picogpt.checkpoints import bundle, weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.tree import flatten, walk

REPOSITORY = Path(__file__).parents[2]
OPENAI = REPOSITORY / "tests" / "data" / "gpt2-124M"
LAYOUT = OPENAI / "layout_124M.json"
CONFIG = dict(vocab_size=50257, n_positions=1024, n_embd=768, n_head=12, n_layer=12)
N_NEW = 100
LENGTHS = [5, 1, 24, 2, 11, 40, 3, 17]  # of the prompts in the ragged batch

if not all(importlib.util.find_spec(package) for package in ("torch", "transformers", "tensorflow")):
    pytest.skip("the full size needs PyTorch, transformers and TensorFlow", allow_module_level=True)

# weights mapped from a file are not writable, of which PyTorch warns
pytestmark = pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")


def run(program, *arguments):
    """Run one of our programs as a user would."""
    done = run_python(REPOSITORY / program, *arguments, folder=REPOSITORY, timeout=None)
    assert done.code == 0, done.err


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of the checkpoint that TensorFlow wrote."""
    folder = tmp_path_factory.mktemp("checkpoint")
    run("tests/record/random_124M.py", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def converted(checkpoint, tmp_path_factory):
    """The folder of the model that tools/convert.py made of it."""
    folder = tmp_path_factory.mktemp("converted")
    run("tools/convert.py", checkpoint, "--out", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def params(converted):
    return weights.load(converted)[0]


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 50257, length).tolist() for length in LENGTHS]


@pytest.fixture(scope="module")
def texts(params, prompts):
    """Each prompt with its hundred greedy tokens, all generated side by side, with cache."""
    new = generate(params, 12, prompts, N_NEW)
    return [prompt + ids for prompt, ids in zip(prompts, new, strict=True)]


@pytest.fixture(scope="module")
def hugging_face(params):
    """Hugging Face's model on the same arrays in memory."""
    return pytorch.hugging_face(flatten(params), **CONFIG)


def their_logits(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids)).logits.numpy()


def test_tensorflow_lays_the_checkpoint_out_as_openais_is(checkpoint):
    layout = json.loads(LAYOUT.read_text())["variables"]
    n_files, entries = bundle.read_index(checkpoint / "model.ckpt.index")
    assert n_files == 1
    found = [[name, list(shape), offset, size] for name, (_, _, shape, offset, size, _) in entries.items()]
    assert found == [variable[:4] for variable in layout]


def test_both_readers_convert_the_checkpoint_to_the_same_file(checkpoint, converted, tmp_path):
    run("tools/convert.py", checkpoint, "--out", tmp_path, "--reader", "tf")
    same = filecmp.cmp(tmp_path / weights.WEIGHTS, converted / weights.WEIGHTS, shallow=False)
    (tmp_path / weights.WEIGHTS).unlink()
    assert same


def test_what_is_loaded_is_what_was_written(checkpoint, converted):
    written = random_124M.weights()
    for folder in (checkpoint, converted):
        params, hparams, encoder = weights.load(folder)
        assert hparams == json.loads((checkpoint / "hparams.json").read_text())
        assert encoder.n_vocab == 50257
        assert list(flatten(params)) == list(written)
        for path, w in walk(params):
            assert np.array_equal(w, written[path]), path


def test_logits_of_1023_tokens_are_hugging_faces_within_2e_4(params, hugging_face):
    ids = np.random.default_rng(1).integers(0, 50257, (1, 1023))
    ours, theirs = gpt2(ids, params, 12), their_logits(hugging_face, ids)
    assert ours.dtype == np.float32
    assert theirs.std() > 1
    assert np.abs(ours - theirs).max() < 2e-4


@pytest.mark.skipif("PICOGPT_SLOW" not in os.environ, reason="takes minutes; PICOGPT_SLOW=1 runs it")
def test_logits_of_1024_tokens_are_those_of_openais_own_graph(checkpoint, params):
    """OpenAI saved the graph beside its weights; here TensorFlow runs it on the weights of `checkpoint`."""
    import tensorflow as tf

    ids = np.random.default_rng(0).integers(0, 50257, (1, 1024))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        saver = tf.compat.v1.train.import_meta_graph(str(OPENAI / "model.ckpt.meta"), clear_devices=True)
        saver.restore(session, str(checkpoint / "model.ckpt"))
        theirs = session.run("model/MatMul_2:0", {"Placeholder:0": ids})
    ours = gpt2(ids, params, 12)[0]
    assert np.abs(ours - theirs).max() < 2e-4
    assert (ours.argmax(axis=-1) == theirs.argmax(axis=-1)).all()


def test_greedy_text_is_varied_enough_to_prove_something(texts, prompts):
    for text, prompt in zip(texts, prompts, strict=True):
        assert len(set(text[len(prompt) :])) > 30


def test_a_hundred_greedy_tokens_are_hugging_faces_with_and_without_cache(params, hugging_face, prompts):
    import torch

    prompt = torch.tensor(prompts[:1])
    whole = hugging_face.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=N_NEW, do_sample=False, pad_token_id=0
    )
    theirs = whole[0, len(prompts[0]) :].tolist()
    assert len(theirs) == N_NEW
    assert generate(params, 12, prompts[:1], N_NEW) == [theirs]
    assert generate(params, 12, prompts[:1], N_NEW, use_cache=False) == [theirs]


def test_every_row_of_a_ragged_batch_is_the_row_alone_and_hugging_faces(params, hugging_face, prompts, texts):
    """A text is the greedy one if a model that reads it alone finds each token likeliest after the last."""
    for prompt, text in zip(prompts, texts, strict=True):
        for logits in (gpt2([text[:-1]], params, 12), their_logits(hugging_face, [text[:-1]])):
            assert logits[0, len(prompt) - 1 :].argmax(axis=-1).tolist() == text[len(prompt) :]
    short = prompts.index(min(prompts, key=len))  # the row with the most padding
    assert generate(params, 12, [prompts[short]], N_NEW) == [texts[short][len(prompts[short]) :]]


def test_gradients_at_full_width_are_pytorchs(params):
    """Two of the twelve layers, whole vocabulary; PyTorch in float64, so that the error is ours alone."""
    two_layers = params | dict(blocks=params["blocks"][:2])
    ids, targets = np.random.default_rng(2).integers(0, 50257, (2, 2, 64))
    targets[0, :5] = -1
    exact = {path: w.astype(np.float64) for path, w in walk(two_layers)}
    model = pytorch.hugging_face(exact, **CONFIG | dict(n_layer=2))
    their_loss, theirs = pytorch.loss_and_gradients(model, ids, targets)
    loss, grads = loss_and_grads(two_layers, ids, targets, 12)
    assert abs(loss - their_loss) < 1e-5
    errors = {path: relative_error(dx, theirs[path]) for path, dx in walk(grads)}
    assert len(errors) == len(theirs)
    assert max(errors.values()) < 1e-5, errors
