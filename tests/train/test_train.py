"""The trainer: it learns, it resumes bit for bit, it refuses what cannot work."""

import contextlib
import dataclasses
import functools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from dying import dying_move
from thorough import few_or, first

from picogpt.checkpoints import safetensors, weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.ops import cross_entropy
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map
from picogpt.speed.shards import batch_gradients
from picogpt.system import files, interrupt
from picogpt.text import data
from picogpt.text.chars import CharEncoder
from picogpt.train import cli as train
from picogpt.train import journal, prepare, trainer
from picogpt.train.parallel import ALONE
from picogpt.train.settings import Recipe, Settings
from picogpt.train.state import load_state, save_state

REPOSITORY = Path(__file__).parents[2]
SHAKESPEARE = REPOSITORY / "tests" / "data" / "tinyshakespeare.txt"
TINY = ["--n_layer=2", "--n_head=2", "--n_embd=16", "--n_ctx=16", "--batch_size=4"]
TINY += ["--warmup=5", "--eval_every=7", "--eval_batches=2", "--sample_every=25"]
SHORT, LONG = [*TINY, "--steps=60"], [*TINY, "--steps=300"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(SHAKESPEARE.read_text(encoding="utf-8")[:20_000], encoding="utf-8")
    return path


def start(*argv, folder):
    """Start `python -m picogpt.train` in a process of its own, in `folder`."""
    words = [sys.executable, "-m", "picogpt.train", *map(str, argv)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        words, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.fixture
def run(call_command, monkeypatch):
    """Run the command to its end, in this process; return the exit code and stderr. stdout stays empty."""

    def call(*argv, folder):
        monkeypatch.chdir(folder)
        done = call_command(train.train, *argv, config=train.flags_file)
        assert done.out == ""
        return done.code, done.err

    return call


def contents(folder):
    """Return what a folder holds, less what a killed process has left behind and the times in the log."""
    found = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.suffix != ".tmp"}
    if "log.jsonl" in found:
        found["log.jsonl"] = [
            {key: value for key, value in record.items() if key != "seconds"}
            for record in journal.read_log(folder / "log.jsonl")
        ]
    return found


def test_training_lowers_the_loss_and_leaves_a_model_that_loads(text, tmp_path, run):
    code, said = run(text, "--out=model", *SHORT, "--lr=0.01", folder=tmp_path)
    assert code == 0, said
    assert sorted(contents(tmp_path / "model")) == [
        "chars.json",
        "hparams.json",
        "log.jsonl",
        "model.safetensors",
        "settings.json",
        "state.safetensors",
    ]
    params, hparams, encoder = weights.load(tmp_path / "model")
    held_out = data.encode(data.split(data.read_text(text), 0.1)[1], encoder)
    x, y = data.random_batch(held_out, 64, hparams["n_ctx"], np.random.default_rng(0))
    loss = cross_entropy(gpt2(x, params, hparams["n_head"]), y)
    assert loss < 0.8 * math.log(hparams["n_vocab"])  # an untrained model is as good as a guess: ln V
    first_loss = float(re.search("step 0: .* held-out loss (.*)", said)[1])
    assert first_loss == pytest.approx(math.log(hparams["n_vocab"]), abs=0.05)
    assert "sample: " in said
    assert "tok/s" in said
    assert len(generate(params, hparams["n_head"], [[encoder.start]], 5)[0]) == 5


FLAGS = [[], ["--dropout=0.1", "--accumulate=2"], ["--tokenizer=gpt2", "--n_vocab=300"]]


def test_a_training_of_documents_reads_each_from_its_beginning(tmp_path, monkeypatch):
    text, seen = tmp_path / "stories.txt", []
    text.write_text("\n<|endoftext|>\n".join(f"{i} is the number of this one." for i in range(200)))
    c = Settings(str(text), tokenizer="gpt2", n_ctx=8, windows="documents", batch_size=30).completed()
    _, _hparams, encoder, splits = prepare.prepare(c, tmp_path / "model")
    for ids, starts in zip(splits, c.starts, strict=True):
        x, y = data.random_batch(ids, 30, 8, np.random.default_rng(0), starts)
        said = [encoder.decode(row) for row in x.tolist()]
        assert all(re.match(r"<\|endoftext\|>\d+ is the number", row) for row in said)
        assert len(set(said)) > 10 and (x[:, 1:] == y[:, :-1]).all()

    def gradients(params, x, y, *args, **kwargs):
        seen.append(x)
        return batch_gradients(params, x, y, *args, **kwargs)

    def loss(params, x, y, n_head):
        seen.append(x)
        return 1.0

    monkeypatch.setattr(trainer, "batch_gradients", gradients)
    monkeypatch.setattr(trainer, "batch_loss", loss)
    tiny = dict(n_layer=1, n_head=1, n_embd=4, eval_every=2, eval_batches=1, out=str(tmp_path / "model"))
    c = dataclasses.replace(c, n_vocab=300, steps=4, starts=(None, None), **tiny)
    train.train(c)
    train.train(dataclasses.replace(c, steps=4, resume=True))
    assert len(seen) == 4 + 2 * 3 + 2 and (np.concatenate(seen)[:, 0] == 299).all()


@pytest.mark.parametrize("flags", first(1, FLAGS))
def test_a_training_killed_at_any_moment_resumes_to_the_same_result(text, tmp_path, flags, run):
    code, said = run(text, "--out=whole", *LONG, *flags, folder=tmp_path)
    assert code == 0, said
    rng, codes, state = np.random.default_rng(len(flags)), [], tmp_path / "killed" / "state.safetensors"
    for _ in range(2):
        before = state.stat().st_mtime_ns if state.exists() else None
        process = start(text, "--out=killed", *LONG, *flags, "--resume", folder=tmp_path)
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        codes.append(process.returncode)
    assert -signal.SIGKILL in codes
    code, said = run(text, "--out=killed", *LONG, *flags, "--resume", folder=tmp_path)
    assert code == 0, said
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_training_that_ends_before_or_after_any_write_resumes_as_well(text, tmp_path, monkeypatch):
    c = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, steps=9, eval_every=3, eval_batches=1)
    train.train(Settings(str(text), out=str(tmp_path / "whole"), **c))
    for k in range(0, 50, few_or(4, 1)):
        for before in (True, False):
            dying = dying_move(k, before)
            monkeypatch.setattr(files, "move_into_place", dying)
            with contextlib.suppress(KeyboardInterrupt):
                train.train(Settings(str(text), out=str(tmp_path / "killed"), **c))
            monkeypatch.undo()
            train.train(Settings(str(text), out=str(tmp_path / "killed"), resume=True, **c))
            assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
            shutil.rmtree(tmp_path / "killed")
        if dying.n_moves < k + 1:  # there are no more files to die at
            break
    assert k >= 13  # settings, sizes, tokenizer, state, log; then a state and mostly a model at 0, 3, 6 and 9


def test_the_log_tells_every_update_and_evaluation(text, tmp_path, run):
    code, said = run(text, "--out=model", *SHORT, "--accumulate=2", folder=tmp_path)
    assert code == 0, said
    records = journal.read_log(tmp_path / "model" / "log.jsonl")
    updates = [record for record in records if "loss" in record]
    assert [record["step"] for record in updates] == [*range(1, 61)]
    assert [record["tokens"] for record in updates] == [128 * step for step in range(1, 61)]
    warmup = [0.002 * (step + 1) / 6 for step in range(5)]
    cosine = [0.0002 + 0.0018 * (1 + math.cos(math.pi * step / 55)) / 2 for step in range(55)]
    assert [record["lr"] for record in updates] == pytest.approx([*warmup, *cosine], rel=1e-12)
    for record in updates:
        measured = {"ratio"} if record["step"] % 10 == 0 else set()
        assert set(record) == {"step", "tokens", "loss", "lr", "norm", "seconds"} | measured
        assert 0 < record.get("ratio", 0.01) < 0.1
        assert record["norm"] > 0
    evaluations = [record for record in records if "loss" not in record]
    assert [record["step"] for record in evaluations] == [*range(0, 60, 7), 60]
    said = re.findall(r"step (\d+): training loss (\S+), held-out loss (\S+)", said)
    assert said == [
        (str(record["step"]), f"{record['train_loss']:.4f}", f"{record['val_loss']:.4f}")
        for record in evaluations
    ]


SMALL = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, eval_batches=1, threads=1)


def trained(text, out, **settings):
    """Train in this process; return the updates that the log tells and the arrays of the state."""
    train.train(Settings(str(text), out=str(out), **SMALL | settings))
    records = [record for record in journal.read_log(out / "log.jsonl") if "loss" in record]
    return records, safetensors.read(out / "state.safetensors")[0]


def test_what_the_command_says_of_rates_and_batches_is_done(text, tmp_path):
    """A batch has 16 tokens. The batches grow from 1 to 3 in 100 tokens: 1, 1, 1, 1, 2, 2, 3, 3."""
    ramp = dict(steps=8, accumulate=3, ramp_tokens=100, warmup_tokens=32, schedule="linear", lr=0.01)
    updates, _ = trained(text, tmp_path / "ramp", **ramp)
    assert [record["tokens"] for record in updates] == [16, 32, 48, 64, 96, 128, 176, 224]
    line = [0.01 - 0.009 * (tokens - 32) / (224 - 32) for tokens in (32, 48, 64, 96, 128, 176, 224)]
    assert [record["lr"] for record in updates] == pytest.approx([0.01 * 17 / 33, *line], rel=1e-12)
    assert updates[-1]["lr"] == pytest.approx(0.001)  # the training ends with --min_lr, whatever the batches
    updates, _ = trained(text, tmp_path / "given", **ramp | dict(decay_tokens=96, min_lr=0.0))
    assert [round(record["lr"], 9) for record in updates[-4:]] == [0, 0, 0, 0]
    updates, _ = trained(text, tmp_path / "steps", steps=4, warmup=1, schedule="constant", lr=0.01)
    assert [record["lr"] for record in updates] == pytest.approx([0.005, 0.01, 0.01, 0.01])


def test_what_the_command_says_of_decay_is_done(text, tmp_path):
    how = dict(steps=1, warmup=0, lr=0.01, weight_decay=0.5)
    (_, by_one), (_, by_other) = (
        trained(text, tmp_path / decay, decay=decay, **how) for decay in ("matrices", "linear")
    )
    hparams = dict(n_vocab=len(set(data.read_text(text))), n_ctx=8, n_embd=8, n_head=2, n_layer=1)
    before = flatten(init_params(hparams, np.random.default_rng(1337)))
    for name, w in before.items():
        off = 0.005 * w if name in ("wte", "wpe") else 0 * w
        np.testing.assert_allclose(
            by_other[f"params.{name}"] - by_one[f"params.{name}"], off, atol=1e-7, err_msg=name
        )


def test_a_limit_of_time_is_in_minutes(text, tmp_path, monkeypatch, caplog):
    """An update takes ten seconds here: the first evaluation after a minute is that after step 6."""
    now, step = [0.0], trainer.OPTIMIZERS["adamw"]

    def slow(*args, **how):
        now[0] += 10
        return step(*args, **how)

    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    monkeypatch.setitem(trainer.OPTIMIZERS, "adamw", slow)
    updates, _ = trained(text, tmp_path / "limited", steps=10, eval_every=2, max_minutes=1.0)
    assert len(updates) == 6
    assert "the time is up: --resume goes on from step 6" in caplog.text
    updates, _ = trained(text, tmp_path / "all", steps=6, eval_every=2, max_minutes=1.0)
    assert len(updates) == 6 and caplog.text.count("the time is up") == 1  # it was done anyway


def test_samples_are_shown_as_often_as_asked_for(text, tmp_path, caplog):
    trained(text, tmp_path / "often", steps=5, sample_every=2)
    assert sum(message.startswith("sample: ") for message in caplog.messages) == 2
    caplog.clear()
    trained(text, tmp_path / "never", steps=5, sample_every=0)
    assert not any(message.startswith("sample: ") for message in caplog.messages)


FREE = ["file", "out", "resume", "overwrite", "config", "eval_only", "max_minutes", "processes", "threads"]
FREE += ["sample_every", "shard", "starts"]  # of which the last follows from the text and --windows


def test_a_training_resumes_only_with_all_that_its_result_depends_on(tmp_path):
    c = Settings("text").completed()
    fixed, told = c.fixed(), []
    assert sorted(vars(c).keys() - fixed.keys()) == sorted(FREE)
    assert fixed.keys() - vars(c).keys() == {"dropout"} - vars(c).keys()
    save_state(tmp_path / "state", trainer.begin(dict(w=np.ones(2)), 1), json.loads(json.dumps(fixed)))
    for name in fixed:
        with pytest.raises(ValueError, match="resume with that") as error:
            load_state(tmp_path / "state", json.loads(json.dumps(fixed)) | {name: "another"})
        told.append((name, f"--{name} {fixed[name]}: resume" in str(error.value)))
    assert {name for name, named in told if not named} <= {"sha256", "model_sha256", "dropout"}


@pytest.mark.parametrize(("n", "fits"), [(8, False), (9, True)])
def test_a_text_needs_one_token_more_than_a_window(n, fits):
    encoder = CharEncoder("ab")
    for share, text in ((0, ("ab" * 9)[:n]), (0.5, "ab" * n)):
        if fits:
            assert len(prepare.encode_splits(text, encoder, share, 8)[0]) == n
        else:
            with pytest.raises(ValueError, match="text has 8 tokens, and a window takes 9"):
                prepare.encode_splits(text, encoder, share, 8)
    with pytest.raises(ValueError, match="the held-out text has 8 tokens"):
        prepare.encode_splits("ab" * 10, encoder, 0.4, 8)
    assert [len(ids) for ids in prepare.encode_splits("ab" * 9, encoder, 0, 8)] == [18, 0]


def test_the_model_of_lowest_held_out_loss_is_kept_and_of_equals_the_first(tmp_path, monkeypatch):
    saved = []
    losses = iter([(1, 3.0), (1, 2.0), (1, 2.0), (1, 2.5), (1, math.nan), (1, 1.0)])
    monkeypatch.setattr(trainer, "evaluate_splits", lambda *_: next(losses))
    monkeypatch.setattr(trainer.weights, "save", lambda *args, step: saved.append(step))
    monkeypatch.setattr(trainer, "save_state", lambda *_: None)
    c, state, request = Settings("text").completed(), trainer.begin({}, 1), interrupt.StopRequest("", 0)
    with open(tmp_path / "log", "ab", buffering=0) as file:
        for step in range(6):
            state["step"] = step
            trainer.save_progress(state, c, {}, None, None, tmp_path, file, ALONE, request)
    assert saved == [0, 1, 4, 5]
    assert state["best"] == 1.0


def test_a_loss_over_no_text_is_none(monkeypatch):
    monkeypatch.setattr(trainer, "evaluate", lambda params, n_head, ids, *others: len(ids))
    found = trainer.evaluate_splits({}, None, dict(n_head=1, n_ctx=4), (np.arange(9), np.empty(0)))
    assert found[0] == 9 and math.isnan(found[1])


def test_resume_alone_takes_the_flags_of_the_training(text, tmp_path, run):
    flags = ["--dropout=0.1", "--schedule=linear", "--warmup_tokens=640", "--decay=linear", "--keep=last"]
    flags += ["--accumulate=3", "--ramp_tokens=2000", "--eval_every=10", "--optimizer=muon"]
    flags = [*flags, *(flag for flag in SHORT if not flag.startswith(("--warmup", "--eval_every")))]
    assert run(text, "--out=whole", *flags, folder=tmp_path)[0] == 0
    code, said = run(text, "--out=part", *flags, "--max_minutes=0.0001", folder=tmp_path)
    assert (code, "the time is up: --resume goes on from step 10" in said) == (0, True)
    code, said = run("--out=part", "--resume", folder=tmp_path)
    assert code == 0, said
    whole, part = contents(tmp_path / "whole"), contents(tmp_path / "part")
    assert json.loads(part["settings.json"])["file"] == str(text)
    assert part == whole
    assert part["log.jsonl"][-1]["step"] == 60
    code, said = run("--out=part", "--resume", "--lr=0.5", folder=tmp_path)
    assert (code, "part was trained with --lr 0.002" in said) == (1, True)


def test_flags_come_from_a_file_unless_given(text, tmp_path, run):
    flags = dict(file=str(text), steps=3, n_layer=1, n_embd=8, lr=1e-05, batch_size=2, eval_batches=1)
    (tmp_path / "flags.json").write_text(json.dumps(flags))
    code, said = run("--config=flags.json", "--out=model", "--steps=2", folder=tmp_path)
    assert code == 0, said
    settings = json.loads((tmp_path / "model" / "settings.json").read_text())
    assert settings == settings | flags | dict(steps=2)
    assert "config" not in settings
    assert run("--config=model/settings.json", "--out=again", folder=tmp_path)[0] == 0
    assert contents(tmp_path / "again") == contents(tmp_path / "model")
    for content, sentence in (
        ('{"size": 3}', "flags.json gives a value to size, which is no flag (--help shows all)"),
        ("[3]", 'flags.json does not hold flags as JSON, such as {"lr": 0.001}'),
        ("lr: 3", 'flags.json does not hold flags as JSON, such as {"lr": 0.001}'),
    ):
        (tmp_path / "flags.json").write_text(content)
        assert run("--config=flags.json", folder=tmp_path) == (1, f"picogpt: {sentence}\n")
    assert run("--config=nowhere", folder=tmp_path) == (1, "picogpt: nowhere: No such file or directory\n")


@pytest.mark.parametrize(("flags", "named"), [([], "runs/model"), (["--out=there"], "there")])
def test_resuming_where_no_training_is_names_the_folder(flags, named, tmp_path, run):
    (tmp_path / "there").mkdir()
    sentence = f"{named} holds no training to resume: --out names its folder, a FILE begins one"
    assert run("--resume", *flags, folder=tmp_path) == (1, f"picogpt: {sentence}\n")
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]


def test_evaluating_only_says_the_losses_and_writes_nothing(text, tmp_path, run):
    code, said = run(text, "--out=model", *SHORT, folder=tmp_path)
    assert code == 0
    before = contents(tmp_path / "model")
    [last] = re.findall("picogpt: step 60: .*", said)
    code, said = run("--out=model", "--resume", "--eval_only", folder=tmp_path)
    assert (code, said.splitlines()[-1]) == (0, last)
    code, said = run(text, "--out=nothing", "--resume", "--eval_only", folder=tmp_path)
    assert (code, "nothing holds no training: --out names the folder" in said) == (1, True)
    code, said = run(
        text, "--init=model", "--eval_only", "--batch_size=4", "--eval_batches=2", folder=tmp_path
    )
    best = min(record["val_loss"] for record in before["log.jsonl"] if "val_loss" in record)
    assert (code, f"held-out loss {best:.4f}" in said) == (0, True)
    assert contents(tmp_path / "model") == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_model_that_is_kept_is_the_best_or_the_last(text, tmp_path):
    """With so little text that the loss on what is held out soon rises again."""
    text, all_of_it = tmp_path / "little.txt", data.read_text(text)
    text.write_text(all_of_it[:1500])
    c = dict(n_layer=1, n_head=2, n_embd=32, n_ctx=8, steps=100, eval_every=5, eval_batches=3, lr=0.05)
    for keep in ("best", "last"):
        train.train(Settings(str(text), out=str(tmp_path / keep), keep=keep, **c))
        state = safetensors.read(tmp_path / keep / "state.safetensors")[0]
        model = safetensors.read(tmp_path / keep / "model.safetensors")[0]
        is_last = all(np.array_equal(model[path], state[f"params.{path}"]) for path in model)
        assert is_last == (keep == "last")
    losses = [r["val_loss"] for r in contents(tmp_path / "best")["log.jsonl"] if "val_loss" in r]
    assert min(losses) < losses[-1]
    params, hparams, encoder = weights.load(tmp_path / "best")
    settings = types.SimpleNamespace(seed=1337, eval_batches=3, batch_size=12)
    ids = data.encode(data.split(data.read_text(text), 0.1)[1], encoder)
    assert trainer.evaluate(params, hparams["n_head"], ids, 8, settings) == min(losses)


def test_a_training_that_resumes_makes_no_new_model(text, tmp_path, monkeypatch):
    c = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, steps=2, eval_batches=1)
    train.train(Settings(str(text), out=str(tmp_path), **c))
    monkeypatch.setattr(prepare, "init_params", pytest.fail)
    train.train(Settings(str(text), out=str(tmp_path), resume=True, **c))
    (tmp_path / "chars.json").unlink()
    with pytest.raises(ValueError, match="has lost its tokenizer"):
        train.train(Settings(str(text), out=str(tmp_path), resume=True, **c))


def test_a_training_from_before_a_setting_existed_resumes_with_its_default(text, tmp_path):
    c = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, steps=4, eval_every=2, eval_batches=1)
    train.train(Settings(str(text), out=str(tmp_path / "whole"), **c))
    train.train(Settings(str(text), out=str(tmp_path / "old"), max_minutes=1e-9, **c))
    path = tmp_path / "old" / "state.safetensors"
    tensors, metadata = safetensors.read(path)
    state = json.loads(metadata["state"])
    del state["settings"]["band"], state["settings"]["decay"]
    safetensors.write(path, tensors, {"state": json.dumps(state)})
    with pytest.raises(ValueError, match="was trained with --decay matrices: resume with that"):
        train.train(Settings(str(text), out=str(tmp_path / "old"), resume=True, decay="linear", **c))
    train.train(Settings(str(text), out=str(tmp_path / "old"), resume=True, **c))
    assert contents(tmp_path / "old") == contents(tmp_path / "whole")


def test_accumulated_small_batches_are_one_large_batch():
    hparams = dict(n_vocab=17, n_ctx=7, n_embd=12, n_head=3, n_layer=2)
    ids = np.random.default_rng(0).integers(0, 17, 200).astype(np.uint16)
    results = []
    for accumulate, batch_size in ((1, 6), (3, 2)):
        params = tree_map(lambda w: w.astype(np.float64), init_params(hparams, np.random.default_rng(1)))
        draw = functools.partial(data.random_batch, ids, batch_size, hparams["n_ctx"])
        gradients = trainer.language_model(hparams["n_head"])
        c = Recipe(accumulate=accumulate, steps=3, lr=1e-2, warmup=0)
        updates = trainer.updates(trainer.begin(params, 2), c, draw, gradients)
        results.append(([(record["loss"], record["norm"]) for record in updates], flatten(params)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-10)
    for path, leaf in results[0][1].items():
        np.testing.assert_allclose(leaf, results[1][1][path], rtol=1e-6, atol=1e-12, err_msg=path)


def test_training_goes_on_from_another_model(text, tmp_path, run):
    assert run(text, "--out=first", *SHORT, folder=tmp_path)[0] == 0
    code, said = run(text, "--init=first", "--out=second", "--steps=1", "--eval_batches=2", folder=tmp_path)
    assert code == 0, said
    assert weights.load(tmp_path / "second")[1] == weights.load(tmp_path / "first")[1]


def test_options_and_presets_are_flags_of_the_training(text, tmp_path, run):
    flags = [
        "--preset=gpt-nano",
        "--n_layer=2",
        "--gelu=quick",
        "--bias=false",
        "--tied",
        "false",
        "--band=4",
    ]
    flags += ["--positions=none", "--time_weighting=circulant", "--time_mixing=true", "--n_ctx=16"]
    flags += ["--steps=12", "--eval_every=6", "--eval_batches=1", "--sample_every=6", "--dropout_attn=0.1"]
    assert run(text, "--out=model", *flags, folder=tmp_path)[0] == 0
    hparams = json.loads((tmp_path / "model" / "hparams.json").read_text())
    assert (hparams.pop("n_vocab"), hparams.pop("n_ctx")) == (len(set(data.read_text(text))), 16)
    options = dict(bias=False, tied=False, gelu="quick", positions="none", band=4)
    options |= dict(time_weighting="circulant", time_mixing=True)
    assert hparams == dict(n_layer=2, n_head=3, n_embd=48) | options
    whole = contents(tmp_path / "model")
    assert run(text, "--out=again", *flags, folder=tmp_path)[0] == 0
    assert run(text, "--out=again", *flags, "--resume", folder=tmp_path)[0] == 0
    assert contents(tmp_path / "again") == whole
    code, said = run(text, "--out=next", "--init=model", "--steps=1", "--eval_batches=1", folder=tmp_path)
    assert code == 0, said
    assert weights.load(tmp_path / "next")[1] == weights.load(tmp_path / "model")[1]


def test_no_model_is_written_over(text, tmp_path, run):
    assert run(text, "--out=first", *SHORT, folder=tmp_path)[0] == 0
    theirs, others = "holds a model that was not trained there", "holds other files"
    for name, flags, says in (
        ("model.safetensors", [], theirs),
        ("hparams.json", ["--resume"], others),
        ("model.ckpt.index", [], others),
    ):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / name).write_bytes(b"precious")
        code, said = run(text, "--out=other", *SHORT, *flags, folder=tmp_path)
        assert (code, f"other {says}" in said) == (1, True)
        assert contents(tmp_path / "other") == {name: b"precious"}
        shutil.rmtree(tmp_path / "other")
    (tmp_path / "file").write_bytes(b"precious")
    code, said = run(text, "--out=file", *SHORT, folder=tmp_path)
    assert (code, said) == (1, "picogpt: file is a file: --out names a folder\n")


@pytest.mark.parametrize("content", [b"", b"nonsense", "model", "{}", "3", '{"settings": {}}'])
def test_a_state_that_is_damaged_is_named(text, tmp_path, content, run):
    assert run(text, "--out=model", *SHORT, folder=tmp_path)[0] == 0
    if content == "model":
        content = (tmp_path / "model" / "model.safetensors").read_bytes()
    if isinstance(content, str):
        safetensors.write(tmp_path / "model" / "state.safetensors", {}, {"state": content})
    else:
        (tmp_path / "model" / "state.safetensors").write_bytes(content)
    code, said = run(text, "--out=model", *SHORT, "--resume", folder=tmp_path)
    assert code == 1
    assert said.endswith("is damaged, or no state of a training: delete it and begin again\n")


def test_an_interrupted_training_says_130(text, tmp_path):
    process = start(text, *TINY, "--steps=100000", "--out=model", folder=tmp_path)
    while not (tmp_path / "model" / "state.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in said


def test_a_finished_training_is_not_overwritten_nor_continued_otherwise(text, tmp_path, run):
    assert run(text, "--out=model", *SHORT, folder=tmp_path)[0] == 0
    before = contents(tmp_path / "model")
    code, said = run(text, "--out=model", *SHORT, folder=tmp_path)
    assert (code, said) == (
        1,
        "picogpt: model holds a training: --resume continues it, --overwrite begins anew,"
        " --out names another folder\n",
    )
    code, said = run(text, "--out=model", *SHORT, "--lr=0.5", "--resume", folder=tmp_path)
    assert (code, "was trained with --lr 0.002" in said) == (1, True)
    other = tmp_path / "other.txt"
    shutil.copy(text, other)
    with other.open("a") as file:
        file.write("More.")
    code, said = run(other, "--out=model", *SHORT, "--resume", folder=tmp_path)
    assert (code, "was trained with another text" in said) == (1, True)
    assert contents(tmp_path / "model") == before


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--steps=0"], 2, "--steps must be at least 1 and less than 2**31, not 0"),
        (["--n_embd=10", "--n_head=3"], 2, "--n_embd 10 does not divide evenly into --n_head 3 heads"),
        (["--dropout=1"], 2, "--dropout must be at least 0 and less than 1"),
        (["--lr=-1"], 2, "--lr must be at least 0 and finite, not -1.0"),
        (["--init=x", "--n_layer=2"], 2, "--n_layer has no effect with --init"),
        (["--init=x", "--n_ctx=64"], 2, "--n_ctx has no effect with --init"),
        (["--init=x", "--gelu=erf"], 2, "--gelu has no effect with --init"),
        (["--init=x", "--preset=gpt2"], 2, "--preset has no effect with --init"),
        (["--preset=gpt-pico"], 1, "'gpt-pico' is not a preset; there are openai-gpt, gpt2, "),
        (["--gelu=relu"], 2, "--gelu must be tanh or erf or quick, not relu"),
        (["--bias=no"], 2, "--bias takes true or false, not 'no'"),
        (["--dropout_attn=1"], 2, "--dropout_attn must be at least 0 and less than 1"),
        (["--batch_size=100000000000000000000"], 2, "--batch_size must be"),
        (["--n_layer=1000000000"], 1, "n_layer is 1000000000, which is more than any GPT-2 has"),
        (["--n_vocab=300"], 2, "--n_vocab has no effect with --tokenizer chars"),
        (["--lr=1e-5", "--min_lr=1e-4"], 2, "--min_lr 0.0001 is more than --lr 1e-05"),
        (["--schedule=sine"], 2, "--schedule must be cosine or floor or linear or constant, not sine"),
        (["--decay=all"], 2, "--decay must be matrices or linear, not all"),
        (["--optimizer=sgd"], 2, "--optimizer must be adamw or muon, not sgd"),
        (
            ["--optimizer=muon", "--shard"],
            2,
            "--shard parts the rows of a matrix, --optimizer muon needs all",
        ),
        (["--keep=all"], 2, "--keep must be best or last, not all"),
        (["--ramp_tokens=9"], 2, "--ramp_tokens has no effect without --accumulate"),
        (["--learning_rate=1"], 2, "no flag --learning_rate"),
        (["--n_ctx=5000"], 1, "the held-out text has 2000 tokens, and a window takes 5001"),
        (
            ["--windows=documents"],
            1,
            "--windows documents needs a --tokenizer with a token for <|endoftext|>",
        ),
        (["--windows=documents", "--tokenizer=gpt2"], 1, "the training text has no document with 64 tokens"),
        (["--windows=lines"], 2, "--windows must be anywhere or documents, not lines"),
        (["--tokenizer=nowhere"], 1, "nowhere"),
        (["--init=nowhere"], 1, "nowhere is neither a folder nor a size"),
        (["--tokenizer=gpt2", "--n_vocab=9"], 1, "not of 9"),
    ],
)
def test_what_cannot_work_is_said_in_one_line_and_leaves_nothing(text, tmp_path, flags, code, said, run):
    got, err = run(text, "--out=model", *flags, folder=tmp_path)
    assert (got, "Traceback" in err) == (code, False)
    assert said in err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_a_text_of_nothing_but_separators_is_too_short(tmp_path, run):
    (tmp_path / "empty.txt").write_text("<|endoftext|>\n" * 50)
    code, said = run("empty.txt", "--out=model", "--tokenizer=gpt2", folder=tmp_path)
    assert (code, "the training text has 0 tokens, and a window takes 65" in said) == (1, True)


def test_a_training_that_diverges_stops(text, tmp_path, run):
    code, said = run(text, "--out=model", *SHORT, "--lr=1e30", "--clip=0", folder=tmp_path)
    assert code == 1
    assert "try a smaller --lr" in said


@pytest.mark.skipif(not os.environ.get("PICOGPT_SLOW"), reason="trains for minutes; PICOGPT_SLOW=1 runs it")
def test_nanogpts_cpu_recipe_at_twice_its_rate_reaches_its_published_loss(tmp_path, run):
    """nanoGPT's README: 4 layers, 4 heads, 128 channels, block 64, batch 12, 2000 steps: loss 1.88.

    That is at a learning rate of 0.001, at which the loss here is 1.90, give or take 0.01 with the seed. The
    default, with which this trains, is 0.002: 1.82.
    """
    code, said = run(SHAKESPEARE, "--out=model", "--eval_every=2000", "--eval_batches=200", folder=tmp_path)
    assert code == 0, said
    final = float(said.rsplit("held-out loss ", 1)[1].split()[0])
    assert final <= 1.88
