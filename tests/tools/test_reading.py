"""The reading of samples: the reader sees no model's name, and the table counts what the reader marked."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints import weights
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.text.bpe import load_encoder

REPOSITORY = Path(__file__).parents[2]
TOOL = REPOSITORY / "tools" / "docs" / "reading.py"
HPARAMS = dict(n_vocab=300, n_ctx=64, n_embd=12, n_head=3, n_layer=2)


@pytest.fixture
def folder(tmp_path):
    """Write the samples of two models, after two prompts."""
    for seed, name in enumerate(("first", "second")):
        params = tree_map(lambda w: w * 20, init_params(HPARAMS, np.random.default_rng(seed)))
        weights.save(tmp_path / name, params, HPARAMS, load_encoder(REPOSITORY / "models" / "gpt2-bpe", 300))
    (tmp_path / "prompts.txt").write_text("Once\nOne day\n", encoding="utf-8")
    done = run_python(
        TOOL, "samples", "prompts.txt", "first", "second", "--out", "out", "--n", "12", folder=tmp_path
    )
    assert (done.code, done.out, done.err) == (0, "", "")
    return tmp_path


def test_each_text_is_there_under_a_number_that_tells_nothing(folder):
    key = json.loads((folder / "out" / "key.json").read_text())
    assert len(key) == 8
    made = sorted((text["model"], text["mode"], text["prompt"]) for text in key.values())
    assert made == [
        (model, mode, prompt)
        for model in ("first", "second")
        for mode in ("greedy", "sampled")
        for prompt in ("Once", "One day")
    ]
    assert [text["model"] for text in key.values()] != sorted(text["model"] for text in key.values())
    page = (folder / "out" / "samples.md").read_text()
    assert re.findall(r"^## (\d+)$", page, re.MULTILINE) == list(key)
    assert "first" not in page and "second" not in page
    greedy = run_python("-m", "picogpt", "Once", "--model", "first", "--n", "12", folder=folder).out
    number = next(n for n, text in key.items() if list(text.values()) == ["first", "greedy", "Once"])
    assert f"## {number}\n\n**Once**{greedy.rstrip()}" in page


def test_the_table_counts_the_marks(folder):
    key = json.loads((folder / "out" / "key.json").read_text())
    lines = ["number,grammatical,follows,same,ends"]
    for number, text in key.items():
        lines.append(f"{number},1,{int(text['model'] == 'first')},{int(text['mode'] == 'greedy')},0")
    (folder / "out" / "marks.csv").write_text("\n".join(lines) + "\n")
    assert run_python(TOOL, "table", "--out", "out", folder=folder).out == (
        "| model | choice | texts | grammatical | follows | same | ends |\n"
        "|---|---|---|---|---|---|---|\n"
        "| first | greedy | 2 | 2 | 2 | 2 | 0 |\n"
        "| first | sampled | 2 | 2 | 2 | 0 | 0 |\n"
        "| second | greedy | 2 | 2 | 0 | 2 | 0 |\n"
        "| second | sampled | 2 | 2 | 0 | 0 | 0 |\n"
    )


def test_what_is_not_marked_is_said(folder):
    done = run_python(TOOL, "table", "--out", "out", folder=folder)
    assert (done.code, done.out) == (1, "")
    assert done.err == ("reading: out/marks.csv has no 0 or 1 for one of the marks of number 1: add it\n")
    assert run_python(TOOL, "sample", folder=folder).code == 2
