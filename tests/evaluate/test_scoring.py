"""Log-probabilities in windows, against Hugging Face's and lm-evaluation-harness's."""

import json
from pathlib import Path

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.evaluate import scoring
from picogpt.evaluate.scoring import (
    block_windows,
    rolling_log_probs,
    rolling_windows,
    rows_of,
    score,
    strided_windows,
)
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy

REFERENCES = Path(__file__).parents[1] / "references"
RECORD = json.loads((REFERENCES / "evaluation.json").read_text(encoding="utf-8"))
PREFIX = 16


@pytest.fixture(scope="module")
def model():
    params, hparams, _ = weights.load(REFERENCES / "hf_gpt2")
    return params, hparams["n_head"]


# Windows


def test_rolling_windows_are_those_of_the_evaluation_harness():
    for n, max_seq_len, context_len, theirs in RECORD["windows"]:
        ours = [
            [list(range(begin, end - 1)), list(range(first, end))]  # ids that are read, and scored
            for begin, first, end in rolling_windows(n + 1, max_seq_len, max_seq_len - context_len + 1)
        ]
        assert ours == theirs


def test_the_published_sentence_falls_into_the_windows_that_its_numbers_show():
    # 17 ids after <|endoftext|>, 5 at a time: the last two have four ids before the first of them
    assert rolling_windows(18, 5) == [(0, 1, 6), (5, 6, 11), (10, 11, 16), (12, 16, 18)]


@pytest.mark.parametrize("window", [1, 2, 5, 11])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 11, 12, 40])
def test_every_id_is_scored_at_most_once_and_only_what_has_no_context_never(n, window):
    for stride in range(1, window + 1):
        rolling = [i for _, first, end in rolling_windows(n, window, stride) for i in range(first, end)]
        assert rolling == list(range(1, n))
        strided = [i for _, first, end in strided_windows(n, window, stride) for i in range(first, end)]
        begins_text_or_window = {0} if stride < window else set(range(0, n, window))
        assert strided == [i for i in range(n) if i not in begins_text_or_window]
    for windows, most in (
        (rolling_windows(n, window), window),
        (block_windows(n, window), window),
        (strided_windows(n, window), window - 1),
    ):
        assert all(end - 1 - begin <= most for begin, _, end in windows)


@pytest.mark.parametrize(
    "n, blocks",
    [(1, []), (5, []), (6, [(0, 1, 6)]), (10, [(0, 1, 6)]), (11, [(0, 1, 6), (5, 6, 11)])],
)
def test_a_block_is_there_only_with_what_follows_its_last_id(n, blocks):
    assert block_windows(n, 5) == blocks


def test_windows_one_token_apart_give_each_token_a_full_context():
    assert [end - 1 - begin for begin, _, end in rolling_windows(30, 8, 1)] == [8] * 22


# Log-probabilities


def test_rolling_log_probabilities_are_those_of_hugging_face_in_the_harness_s_windows(model):
    for max_seq_len, context_len, theirs in RECORD["rolling"]:
        ids = [PREFIX, *RECORD["ids"]]
        ours = rolling_log_probs(*model, ids, max_seq_len, max_seq_len - context_len + 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_without_a_window_the_context_is_the_window(model):
    ids = RECORD["ids"]
    np.testing.assert_array_equal(rolling_log_probs(*model, ids), rolling_log_probs(*model, ids, 11, 11))


def test_strided_losses_are_those_of_hugging_face_s_procedure(model):
    ids = RECORD["ids"]
    for max_length, stride, theirs in RECORD["strided"]:
        scored = score(*model, rows_of(ids, strided_windows(len(ids), max_length, stride)))
        losses = [[-log_probs.mean(), len(log_probs)] for log_probs, _ in scored]
        np.testing.assert_allclose(losses, theirs, atol=1e-4)


def test_blocks_give_the_mean_loss_over_batches_of_windows(model):
    params, n_head = model
    ids = np.array(RECORD["ids"])  # 41 of them: four windows of 9, and what follows each id
    x, y = ids[:36].reshape(4, 9), ids[1:37].reshape(4, 9)
    scored = score(params, n_head, rows_of(ids, block_windows(len(ids), 9)))
    loss = -np.concatenate([log_probs for log_probs, _ in scored]).mean()
    assert abs(loss - cross_entropy(gpt2(x, params, n_head), y)) < 1e-5


@pytest.mark.parametrize("piece", [1, 4, 13, 256])
def test_rows_of_unequal_length_give_what_hugging_face_gives_for_each(model, piece, threads, monkeypatch):
    monkeypatch.setattr(scoring, "PIECE", piece)
    scored = score(*model, [(ids, n) for ids, n, _, _ in RECORD["rows"]])
    for (log_probs, likeliest), (_, _, theirs, greedy) in zip(scored, RECORD["rows"], strict=True):
        np.testing.assert_allclose(log_probs, theirs, atol=1e-4)
        assert likeliest.tolist() == greedy


@pytest.mark.parametrize("piece", [4, 256])
def test_a_row_is_scored_from_where_its_own_ending_begins(model, piece, monkeypatch):
    monkeypatch.setattr(scoring, "PIECE", piece)
    params, n_head = model
    rows = [(RECORD["ids"][:11], 1), (RECORD["ids"][20:28], 7), (RECORD["ids"][30:40], 3)]
    for (ids, n), (log_probs, _) in zip(rows, score(params, n_head, rows), strict=True):
        logits = gpt2([ids[:-1]], params, n_head)[0, -n:].astype(np.float64)
        all_of_them = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        np.testing.assert_allclose(log_probs, all_of_them[np.arange(n), ids[-n:]], atol=1e-5)


def test_only_a_piece_s_logits_are_there_at_once_and_none_that_nobody_asked_for(model, monkeypatch):
    sizes = []

    def watched(ids, *given, **named):
        logits = gpt2(ids, *given, **named)
        sizes.append((ids.size, logits.size // logits.shape[-1]))
        return logits

    monkeypatch.setattr(scoring, "PIECE", 4)
    monkeypatch.setattr(scoring, "gpt2", watched)
    ids = RECORD["ids"][:12]
    score(*model, [(ids, 3)])
    assert sizes == [(3, 0), (4, 0), (4, 3)]


def test_all_arithmetic_keeps_the_models_dtype(model):
    logits = np.random.default_rng(0).standard_normal((2, 3, 17)).astype(np.float32)
    log_probs, _ = scoring.score_targets(logits, np.zeros((2, 3), int))
    assert log_probs.dtype == np.float32


def test_progress_is_told(model):
    seen = []
    score(*model, rows_of(RECORD["ids"], strided_windows(41, 5)), seen.append)
    assert sum(seen) == 40  # the last window has one id, which has nothing before it: no row


def test_no_rows_have_no_scores(model):
    assert score(*model, []) == []
    assert rolling_log_probs(*model, [PREFIX]).shape == (0,)


@pytest.mark.parametrize("n", [0, 3, 4])
def test_an_id_with_nothing_before_it_is_refused(model, n):
    with pytest.raises(ValueError, match=f"{n} of 3 ids cannot be scored"):
        score(*model, [([1, 2, 3], n)])


def test_a_window_that_does_not_fit_the_model_is_refused(model):
    with pytest.raises(ValueError, match="12 tokens do not fit into the 11 positions"):
        rolling_log_probs(*model, RECORD["ids"], 12)


def test_the_record_is_what_hugging_face_says_today(model):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(REFERENCES / "hf_gpt2").eval()
    for ids, n, log_probs, _ in RECORD["rows"]:
        with torch.no_grad():
            logits = theirs(torch.tensor([ids[:-1]])).logits[0, -n:]
        chosen = logits.log_softmax(-1)[torch.arange(n), torch.tensor(ids[-n:])]
        np.testing.assert_allclose(chosen.numpy(), log_probs, atol=1e-5)
