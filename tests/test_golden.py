"""OpenAI's own weights against what others have published about them.

The weights are large and not in the repository: `python -m picogpt "" --n 0 --model 124M` fetches them into
models/124M, where these tests find them; the environment variable PICOGPT_MODELS names another folder.
"""

import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from picogpt import weights
from picogpt.generate import generate
from picogpt.grad import loss_and_grads
from picogpt.optim import adamw_init, adamw_step, clip
from picogpt.scoring import block_windows, cut, rolling_log_probs, score
from picogpt.shapes import SIZES
from picogpt.tree import tree_map

REPOSITORY = Path(__file__).parents[1]
PUBLISHED = REPOSITORY / "tests" / "references" / "published"
MODELS = Path(os.environ.get("PICOGPT_MODELS", REPOSITORY / "models"))


def published(name):
    return json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))


NUMBERS = published("golden_numbers")
GREEDY = [
    entry
    for entry in published("golden_greedy")
    if entry["mode"] == "greedy" and entry["model"] in SIZES and entry["confidence"] != "low"
]


@functools.lru_cache(maxsize=1)
def load(size):
    """Return (params, n_head, encoder) of a released model, or skip the test."""
    if not weights.is_complete(MODELS / size):
        pytest.skip(
            f"OpenAI's {size} is not in {MODELS}: python -m picogpt '' --n 0 --model {size} fetches it"
        )
    params, hparams, encoder = weights.load(MODELS / size)
    return params, hparams["n_head"], encoder


def test_most_published_texts_are_greedy_and_usable():
    assert len(GREEDY) == 36
    assert {entry["model"] for entry in GREEDY} == {"124M", "355M", "774M", "1558M"}


@pytest.mark.parametrize("entry", GREEDY, ids=lambda entry: f"{entry['model']}-{entry['id']}")
def test_greedy_text_is_the_published_one(entry):
    params, n_head, encoder = load(entry["model"])
    if not entry["prompt_ids_verbatim"] and entry["prompt"]:
        assert encoder.encode(entry["prompt"]) == entry["prompt_ids"]
    [new] = generate(params, n_head, [entry["prompt_ids"]], entry["n_new"] or len(entry["ids"]))
    assert encoder.decode(new).startswith(entry["text"])
    if entry["ids_verbatim"]:
        assert new[: len(entry["ids"])] == entry["ids"]


def test_a_ragged_batch_gives_the_published_texts():
    params, n_head, encoder = load("124M")
    batch = [entry for entry in GREEDY if entry["model"] == "124M" and entry["confidence"] == "high"]
    rows = generate(params, n_head, [entry["prompt_ids"] for entry in batch], 20)
    for entry, row in zip(batch, rows, strict=True):
        n = min(20, entry["n_new"] or len(entry["ids"]), len(entry["ids"]))
        assert encoder.decode(row[:n]) == encoder.decode(entry["ids"][:n]), entry["id"]


@pytest.mark.parametrize(("window", "numbers"), [(None, "token_logprobs"), (5, "max_length5")])
def test_a_sentence_in_windows_has_the_log_probabilities_of_the_evaluation_harness(window, numbers):
    params, n_head, _ = load("124M")
    golden = NUMBERS["lmeval_rolling"]
    ours = rolling_log_probs(params, n_head, golden["prefix"] + golden["ids"], window)
    np.testing.assert_allclose(ours, golden[numbers], atol=1e-3)
    np.testing.assert_allclose(ours.sum(), sum(golden[numbers]), rtol=golden["rel"])


def test_continuations_have_the_log_likelihoods_of_the_evaluation_harness():
    params, n_head, _ = load("124M")
    golden = NUMBERS["lmeval_loglikelihood"]
    rows = [(c["context_ids"] + c["continuation_ids"], len(c["continuation_ids"])) for c in golden["cases"]]
    ours = [log_probs.sum() for log_probs, _ in score(params, n_head, rows)]
    np.testing.assert_allclose(ours, [c["target"] for c in golden["cases"]], rtol=golden["rel"])


def test_blocks_of_64_tokens_have_the_first_loss_of_llm_c():
    params, n_head, _ = load("124M")
    ids = np.array(published("llmc_batch"))
    scored = score(params, n_head, cut(ids, block_windows(len(ids), 64)))
    loss = -np.concatenate([log_probs for log_probs, _ in scored]).mean()
    assert abs(loss - NUMBERS["llmc_test_gpt2_c"]["losses"][0]) < 1e-3


@pytest.mark.parametrize("name", ["llmc_test_gpt2_c", "llmc_test_gpt2_cu"])
def test_ten_training_steps_give_the_losses_of_llm_c(name):
    params, n_head, _ = load("124M")
    params = tree_map(np.copy, params)  # the others need the model as it was
    golden, ids = NUMBERS[name], np.array(published("llmc_batch"))
    x, y = ids[:-1].reshape(4, 64), ids[1:].reshape(4, 64)
    c, moments, losses = golden["adamw"], adamw_init(params), []
    for step in range(1, 11):
        loss, grads = loss_and_grads(params, x, y, n_head)
        losses.append(float(loss))
        clip(grads, golden["clip"] or 0)
        settings = dict(betas=(c["b1"], c["b2"]), eps=c["eps"], weight_decay=c["wd"])
        adamw_step(params, grads, moments, step, c["lr"], **settings)
    np.testing.assert_allclose(losses, golden["losses"], atol=golden.get("tol", 1e-2))
