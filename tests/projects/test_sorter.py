"""The sorter: its rows, what its loss counts, how it is scored; and that it learns."""

import functools
import json
import os

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.projects import sorter

TINY = dict(length=3, n_digits=2, n_layer=1, n_head=2, n_embd=16, steps=101, batch_size=16, dropout=0.0)


def test_there_are_729_rows_and_a_quarter_of_them_is_held_out():
    seen, held_out = sorter.split(sorter.all_rows(6, 3), seed=1)
    assert (len(seen), len(held_out)) == (547, 182)
    assert len({tuple(row) for row in [*seen.tolist(), *held_out.tolist()]}) == 729
    assert set(np.unique(seen)) == {0, 1, 2}


def test_what_is_held_out_follows_from_the_seed():
    rows = sorter.all_rows(6, 3)
    assert (sorter.split(rows, seed=1)[1] == sorter.split(rows, seed=1)[1]).all()
    assert (sorter.split(rows, seed=1)[1] != sorter.split(rows, seed=2)[1]).any()


def test_the_loss_counts_the_sorted_digits_alone():
    ids, targets = sorter.random_batch(sorter.all_rows(6, 3), 64, np.random.default_rng(0))
    assert ids.shape == targets.shape == (64, 11)
    assert (targets[:, :5] == -1).all()
    for row, answer in zip(ids.tolist(), targets[:, 5:].tolist(), strict=True):
        assert answer == sorted(row[:6])
        assert row[6:] == answer[:-1]


def test_who_can_sort_makes_no_mistakes():
    rows = sorter.all_rows(6, 3)
    assert sorter.mistakes(lambda rows: np.array([sorted(row) for row in rows.tolist()]), rows) == []


def test_every_mistake_is_shown():
    rows = sorter.all_rows(3, 2)
    assert sorter.mistakes(lambda rows: rows, rows, batch_size=3) == [
        "010 -> 010",
        "100 -> 100",
        "101 -> 101",
        "110 -> 110",
    ]


def test_a_model_is_trained_scored_and_saved(tmp_path, capsys):
    sorter.sorter(out=str(tmp_path / "run"), **TINY)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    record = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert len(lines) == 101 and lines[-1]["loss"] < lines[0]["loss"]
    losses = {str(i): round(lines[i]["loss"], 5) for i in (0, 100)}
    assert record["results"]["loss after so many updates"] == losses
    assert record["published"] == {}  # minGPT's losses are of other rows
    params, hparams, encoder = weights.load(tmp_path / "run")
    sort = functools.partial(sorter.model_sort, params, hparams["n_head"])
    printed = capsys.readouterr().out
    for part, rows in zip(("trained on", "held out"), sorter.split(sorter.all_rows(3, 2), 1337), strict=True):
        right = len(rows) - len(sorter.mistakes(sort, rows))
        assert record["results"][part] == f"{right}/{len(rows)}"
        assert f"{part}: {right}/{len(rows)}\n" in printed
    assert encoder.chars == "01"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(n_digits=1), "--n_digits must be at least 2 and less than 11, not 1"),
        (dict(n_digits=11), "--n_digits must be at least 2 and less than 11, not 11"),
        (dict(length=20), "--length must be at least 1 and less than 20, not 20"),
        (dict(length=13, n_digits=3), "--n_digits 3 makes more than a million rows of --length 13"),
        (dict(length=19, n_digits=3), "--n_digits 3 makes more than a million rows of --length 19"),
        (dict(dropout=1), "--dropout must be at least 0 and less than 1, not 1.0"),
    ],
)
def test_settings_that_cannot_work_are_one_line_and_leave_nothing(tmp_path, wrong, said, call_command):
    flags = [f"--{name}={value}" for name, value in (TINY | wrong).items()]
    done = call_command(sorter.sorter, f"--out={tmp_path / 'run'}", *flags)
    assert done == (2, "", f"picogpt: {said} (--help shows all flags)\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not os.environ.get("PICOGPT_SLOW"), reason="trains for a minute; PICOGPT_SLOW=1 runs it")
def test_all_729_rows_are_sorted(tmp_path):
    sorter.sorter(out=str(tmp_path / "run"))
    results = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))["results"]
    assert (results["trained on"], results["held out"]) == ("547/547", "182/182")


def test_a_million_rows_are_allowed(tmp_path, monkeypatch, call_command):
    def reached(length, n_digits):
        raise ValueError(f"{n_digits**length} rows")

    monkeypatch.setattr(sorter, "all_rows", reached)
    flags = [f"--{name}={value}" for name, value in (TINY | dict(length=6, n_digits=10)).items()]
    assert call_command(sorter.sorter, f"--out={tmp_path / 'run'}", *flags).err == "picogpt: 1000000 rows\n"
