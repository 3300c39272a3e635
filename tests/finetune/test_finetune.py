"""The command: a text, or examples, in; a model that opens, a log and a result out."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints import weights
from picogpt.finetune import cli, lora, tuning
from picogpt.finetune.cli import finetune
from picogpt.gpt2 import gpt2
from picogpt.params.tree import walk
from picogpt.text.chars import CharEncoder

SETTINGS = dict(steps=4, batch_size=3, eval_every=2, warmup=1, threads=1)


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text("abc def\nghi jab\n" * 60, encoding="utf-8")
    return str(tmp_path / "text.txt")


def read(out):
    return json.loads(Path(out, "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["finetune", "classify"])
def test_the_old_name_of_a_command_says_the_new_one_in_one_line(name, tmp_path):
    done = run_python("-m", f"picogpt.projects.{name}", "--steps=1", folder=tmp_path)
    assert done.code == 1 and done.out == ""
    new = re.fullmatch(r"picogpt: the command is now called: python -m (\S+)\n", done.err)[1]
    assert run_python("-m", new, "--help").code == 0


@pytest.mark.parametrize("way", [{}, dict(train="blocks.1.*"), dict(lora=2), dict(adapters=4)], ids=str)
def test_it_leaves_a_better_model_that_opens(way, base, text, tmp_path):
    out = tmp_path / "out"
    finetune(text, model=base, out=str(out), prompt="abc", **SETTINGS | dict(steps=30, eval_every=20), **way)
    result = read(out)
    assert result["results"]["held-out loss after"] < result["results"]["held-out loss before"]
    assert result["project"] == "finetune"
    assert result["settings"]["lora"] == way.get("lora", 0)
    assert result["settings"]["lr"] == tuning.RATES["lora" in way, "adapters" in way]
    log = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log] == list(range(1, 31))
    assert "val_loss" in log[19]
    done = run_python("-m", "picogpt", "abc", "--model", out, "--n", "5")
    assert (done.code, len(done.out)) == (0, 5 + 1)


def test_the_same_seed_gives_the_same_model(base, text, tmp_path):
    files = []
    for name in "ab":
        finetune(text, model=base, out=str(tmp_path / name), lora=2, dropout=0.1, **SETTINGS)
        files.append((tmp_path / name / "model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_the_log_has_the_held_out_loss_on_the_way_and_the_result_that_of_the_end(base, text, tmp_path):
    finetune(text, model=str(base), out=str(tmp_path / "out"), **SETTINGS)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    assert [line["step"] for line in log if "val_loss" in line] == [2]
    results = read(tmp_path / "out")["results"]
    assert results["held-out loss before"] > log[1]["val_loss"] > results["held-out loss after"]


def test_the_saved_updates_make_the_saved_model_of_the_base(base, text, tmp_path):
    finetune(text, model=base, out=str(tmp_path / "out"), lora=2, **SETTINGS)
    params, _, _ = weights.load(base)
    lora.merge(params, lora.load(tmp_path / "out" / "lora.safetensors"))
    tuned, _, _ = weights.load(tmp_path / "out")
    assert [w.tobytes() for _, w in walk(params)] == [w.tobytes() for _, w in walk(tuned)]
    assert not np.array_equal(gpt2([[1]], weights.load(base)[0], 3), gpt2([[1]], tuned, 3))


def test_it_learns_from_examples_to_answer_and_to_stop(base, tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [json.dumps(dict(prompt=a + b, completion=b + a)) for a in "abcdef" for b in "abcdef"] * 2
    path.write_text("\n".join(lines), encoding="utf-8")
    settings = SETTINGS | dict(steps=150, batch_size=24, eval_every=150)
    finetune(str(path), model=base, out=str(tmp_path / "out"), lr=0.02, template="{prompt}-", **settings)
    results = read(tmp_path / "out")["results"]
    assert results["held-out loss after"] < 0.5 * results["held-out loss before"]
    assert re.fullmatch(
        "ef-[a-f][a-f]", results["sample"]
    )  # the first one held out, two letters, and the end


def test_the_held_out_loss_is_that_of_each_learned_token(base):
    """Rows of unequal length in batches of unequal numbers of tokens: a mean of means would be another."""
    params, hparams, _ = weights.load(base)
    rows = [([1, 2, 3, 4, 5, 6], 1), ([7, 8], 1), ([3, 1, 4, 1], 3), ([5, 9], 1)]
    losses = []
    for ids, n_prompt in rows:
        logits = gpt2([ids[:-1]], params, 3)[0].astype(np.float64)
        log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        losses += [-log_probs[i - 1, ids[i]] for i in range(n_prompt, len(ids))]
    assert len(losses) == 8
    for batch_size in (1, 2, 3, 4, 9):
        found = cli.mean_loss(params, rows, hparams["n_head"], batch_size)
        assert found == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("n", "share", "n_held_out"), [(2, 0.1, 1), (10, 0.1, 1), (11, 0.1, 1), (20, 0.1, 2), (10, 0.9, 9)]
)
def test_the_share_held_out_of_examples_is_at_least_one(n, share, n_held_out, base, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        "\n".join(json.dumps(dict(prompt="abcdefghij"[i % 10], completion="a")) for i in range(n))
    )
    rows, held_out, first = cli.read(str(path), "plain", weights.load(base)[2], 24, share)
    assert (len(rows), len(held_out)) == (n - n_held_out, n_held_out)
    assert first == "abcdefghij"[(n - n_held_out) % 10]  # what the sample continues was not learned


def test_one_example_cannot_be_learned_and_held_out(base, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(dict(prompt="a", completion="b")))
    with pytest.raises(ValueError, match="has one example: give at least one to learn and one to hold out"):
        cli.read(str(path), "plain", weights.load(base)[2], 24, 0.1)


@pytest.mark.parametrize("flag", ["--steps=0", "--lora=-1", "--val_share=1", "--lr=inf", "--batch_size=0"])
def test_a_number_out_of_range_is_a_usage_error(flag, tmp_path, call_command):
    done = call_command(finetune, "--out", tmp_path / "out", flag)
    assert done.code == 2
    assert flag.split("=")[0] in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--template=label", "--template has no effect on a text: FILE must be a .jsonl of examples"),
        ("--val_share=0", "--val_share must be more than 0: the result is that of what is held out"),
    ],
)
def test_a_flag_that_leaves_nothing_to_do_or_to_test_is_a_usage_error(
    flag, said, text, tmp_path, call_command
):
    done = call_command(finetune, text, flag, "--out", tmp_path / "out")
    assert done == (2, "", f"picogpt: {said} (--help shows all flags)\n")
    assert not (tmp_path / "out").exists()


def test_a_sample_goes_on_from_the_newest_tokens_and_leaves_out_its_end(monkeypatch):
    asked, encoder = [], CharEncoder("\nabc")

    def generate(params, n_head, prompts, n_new, choice, finished):
        asked.append((prompts, n_new, choice.seed))
        assert finished([1, 0]) and not finished([0, 1])
        return [[1, 2, 0]]

    monkeypatch.setattr(cli, "generate", generate)
    params = dict(wpe=np.zeros((4, 2)))
    assert cli.sample(params, 2, encoder, [1, 2, 3, 1, 2], 7) == "ab"
    assert cli.sample(params, 2, encoder, [3], 7, n_new=3) == "ab"
    assert asked == [([[2, 3, 1, 2]], 4, 7), ([[0, 3]], 3, 7)]


def test_a_window_is_at_most_the_models_context(base, text, tmp_path):
    n_ctx = weights.load(base)[1]["n_ctx"]
    for asked, used in ((0, n_ctx), (n_ctx + 5, n_ctx), (n_ctx - 1, n_ctx - 1)):
        seen = []

        def stop(file, template, encoder, n_ctx, val_share, seen=seen):
            seen.append(n_ctx)
            raise ValueError("enough")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cli, "read", stop)
            with pytest.raises(ValueError, match="enough"):
                finetune(text, model=str(base), out=str(tmp_path / "out"), n_ctx=asked, **SETTINGS)
        assert seen == [used]
