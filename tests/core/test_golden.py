"""OpenAI's own weights against what others have published about them, by the rungs of tools/verify.

The weights are large and not in the repository: `python -m picogpt "" --n 0 --model 124M` fetches them into
models/, where these tests find them, OpenAI's or Hugging Face's; PICOGPT_MODELS names another folder.
"""

import functools
import os
from pathlib import Path

import pytest
from verify import weights as verify_weights
from verify.report import FAILED, PASSED, line

from picogpt.params.shapes import SIZES

REPOSITORY = Path(__file__).parents[2]

MODELS = os.environ.get("PICOGPT_MODELS", str(REPOSITORY / "models"))
RUNGS = [verify_weights.checkpoint_bytes, verify_weights.greedy_text, verify_weights.published_numbers]


@functools.lru_cache(maxsize=1)
def load(size):
    """Return a released model, or skip the test."""
    subject = verify_weights.find_subject(size, MODELS)
    if subject.folder is None:
        pytest.skip(subject.absent)
    return subject


def test_most_published_texts_are_greedy_and_usable():
    entries = verify_weights.read_goldens("124M")["golden_greedy"]
    gating = [e for e in entries if e["mode"] in verify_weights.GREEDY and e["confidence"] != "low"]
    assert len([e for e in gating if e["model"] in SIZES]) == 37
    assert {e["model"] for e in gating} == {"124M", "355M", "774M", "1558M", "distilgpt2"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.__name__)
def test_a_released_model_is_what_was_published(size, rung):
    rows = list(rung(load(size)))
    assert [line(row) for row in rows if row.verdict == FAILED] == []
    if rung is not verify_weights.published_numbers or size == "124M":
        assert any(row.verdict == PASSED for row in rows)
