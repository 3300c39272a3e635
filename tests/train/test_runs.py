"""What the projects share: each resumes to the same bytes, and none writes over what is there."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import REPOSITORY, run_python
from thorough import few_or

from picogpt.checkpoints import weights
from picogpt.finetune import classify
from picogpt.finetune import cli as finetune
from picogpt.params.init import init_params
from picogpt.projects import adder, images, masked_images, sorter, words
from picogpt.projects import chars as characters
from picogpt.text import chars, data
from picogpt.train import runs, trainer
from picogpt.train.journal import LOG, read_log
from picogpt.train.state import STATE

TINY = dict(n_layer=1, n_head=2, n_embd=8, threads=1)
PICTURES = dict(steps=9, batch_size=4, n_test=20, n_probe=40)
TUNED = dict(model="base", batch_size=3, warmup=1, dropout=0.1, threads=1)
LABELLED = TUNED | dict(file="a.jsonl", test="b.jsonl", epochs=3, batch_size=8)  # 4 updates an epoch
WAYS = {  # a project and how it is run: 9 updates or a few more
    "adder": (adder.adder, TINY | dict(n_digit=1, steps=9, batch_size=8, eval_every=2)),
    "sorter": (sorter.sorter, TINY | dict(length=3, n_digits=2, steps=9, batch_size=4)),
    "chars": (characters.chars, TINY | dict(file="text", epochs=2, n_ctx=8, batch_size=45, recipe="mingpt")),
    "words": (words.words, TINY | dict(file="text", n_vocab=260, n_ctx=8, steps=9, dropout=0.1, n_sample=9)),
    "images": (images.images, TINY | PICTURES),
    "masked images": (masked_images.masked_images, TINY | PICTURES | dict(hidden=0.3)),
    "finetune": (finetune.finetune, TUNED | dict(file="text", steps=9, eval_every=2)),
    "finetune, LoRA": (finetune.finetune, TUNED | dict(file="text", steps=9, lora=2, adapters=3)),
    "classify": (classify.classify, LABELLED),
    "classify, LoRA": (classify.classify, LABELLED | dict(lora=2)),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder in which all is called: with a text, a model to start from and examples."""
    monkeypatch.chdir(tmp_path)
    text = data.read_text(runs.SHAKESPEARE)[:2000]
    Path("text").write_text(text, encoding="utf-8")
    encoder = chars.CharEncoder.from_text(text)
    save_base(encoder, n_layer=2)
    lines = [json.dumps(dict(text=line, label=line[0])) for line in text.split("\n") if line]
    Path("a.jsonl").write_text("\n".join(lines[:27]), encoding="utf-8")
    known = {json.loads(line)["label"] for line in lines[:27]}
    rest = [line for line in lines[27:] if json.loads(line)["label"] in known]
    Path("b.jsonl").write_text("\n".join(rest), encoding="utf-8")
    return tmp_path


def save_base(encoder, n_layer, seed=0):
    hparams = dict(n_vocab=encoder.n_vocab, n_ctx=24, n_embd=12, n_head=3, n_layer=n_layer)
    weights.save("base", init_params(hparams, np.random.default_rng(seed)), hparams, encoder)


def json_line(record):
    return json.dumps(record) + "\n"


def contents(folder):
    """Return what a run has left, but for times and the folder's own name."""

    def timeless(found):
        if isinstance(found, dict):
            return {k: timeless(v) for k, v in found.items() if k != "out" and "seconds" not in k}
        return found

    found = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    found[LOG] = [timeless(record) for record in read_log(Path(folder, LOG))]
    found["result.json"] = timeless(json.loads(found["result.json"]))
    found["result.json"]["command"] = found["result.json"]["command"].replace(str(folder), "")
    return found


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_run_of_each_project_resumes_to_the_same_bytes(way, monkeypatch):
    """Ctrl-C comes amid the eighth update, when the weights have moved; the last state is the sixth's."""
    if "images" in way:
        pytest.importorskip("sklearn")
        pytest.importorskip("matplotlib")
    project, flags = WAYS[way]
    project(out="whole", **flags)
    n_steps, step, save = 0, trainer.OPTIMIZERS["adamw"], trainer.save_state

    def step_or_die(*args, **settings):
        nonlocal n_steps
        n_steps += 1
        ratio = step(*args, **settings)
        if n_steps == 8:
            raise KeyboardInterrupt
        return ratio

    with monkeypatch.context() as patch:
        patch.setitem(trainer.OPTIMIZERS, "adamw", step_or_die)
        patch.setattr(trainer, "SAVE_EVERY", 0)
        patch.setattr(trainer, "save_state", lambda path, state, c: state["step"] % 3 or save(path, state, c))
        with pytest.raises(KeyboardInterrupt):
            project(out="killed", **flags)
    assert [record["step"] for record in read_log(Path("killed", LOG))] == [1, 2, 3, 4, 5, 6, 7]
    assert not Path("killed", weights.WEIGHTS).exists()
    project(out="killed", resume=True, **flags)
    assert contents("killed") == contents("whole")
    project(out="killed", resume=True, **flags)  # there is nothing left to do
    assert contents("killed") == contents("whole")


def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes():
    flags = [
        "--n_digit=1",
        "--n_head=2",
        "--n_embd=16",
        f"--steps={few_or(250, 500)}",
        "--batch_size=8",
        "--threads=1",
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    often = (
        "from picogpt.projects import adder; from picogpt.train import runs, trainer; trainer.SAVE_EVERY = 0;"
    )
    often += "runs.command.run(adder.adder, config=runs.flags_file(adder.adder))"
    codes, rng = [], np.random.default_rng(0)
    for resume in ([], ["--resume"], ["--resume"]):
        words = [sys.executable, "-c", often, "--out=killed", *(resume or flags)]
        before = Path("killed", LOG).stat().st_mtime_ns if resume else None
        with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE) as process:
            while process.poll() is None and (
                not Path("killed", STATE).exists() or Path("killed", LOG).stat().st_mtime_ns == before
            ):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
            process.communicate()
        codes.append(process.returncode)
    assert -signal.SIGKILL in codes
    for words in (["--out=whole", *flags], ["--out=killed", "--resume"]):
        assert run_python("-m", "picogpt.projects.adder", *words).code == 0
    assert contents("killed") == contents("whole")
    said = json.loads(Path("killed", "result.json").read_text(encoding="utf-8"))["command"]
    assert shlex.split(said)[5:] == [word for flag in flags for word in flag.split("=")]


@pytest.mark.parametrize("way", ["chars", "words", "finetune", "classify"])
def test_a_run_resumes_by_the_flags_that_it_began_with(way, call_command):
    project, flags = WAYS[way]
    project(out="run", **flags)
    before = contents("run")
    config = runs.flags_file(project)
    done = call_command(project, "--resume", "--out=run", config=config)
    assert (done.code, contents("run")) == (0, before), done.err
    assert json.loads(Path("run", "settings.json").read_text(encoding="utf-8")).items() >= flags.items()
    done = call_command(project, "--resume", "--out=run", "--seed=1", config=config)
    assert done.code == 1 and "run was trained with --seed 1337: resume with that" in done.err
    done = call_command(adder.adder, "--resume", "--out=run", config=runs.flags_file(adder.adder))
    assert done.code == 1 and "settings.json was written by picogpt." in done.err


@pytest.mark.parametrize("way", WAYS)
def test_where_there_is_no_state_nothing_resumes(way):
    project, flags = WAYS[way]
    with pytest.raises(ValueError, match="nowhere holds no state to resume from: begin without --resume"):
        project(out="nowhere", resume=True, **flags)
    assert not Path("nowhere").exists()


def test_nothing_to_resume_is_one_line_and_code_1(call_command):
    done = call_command(sorter.sorter, "--resume", "--out=nowhere")
    assert done == (1, "", "picogpt: nowhere holds no state to resume from: begin without --resume\n")


def test_no_run_is_written_over():
    project, flags = WAYS["adder"]
    Path("mine").mkdir()
    Path("mine", "notes.txt").write_text("precious")
    for out in ("mine", "text"):
        holds = (
            "holds other files (notes.txt): --out names another"
            if out == "mine"
            else "is a file: --out names a"
        )
        with pytest.raises(ValueError, match=rf"^{out} {re.escape(holds)} folder$"):
            project(out=out, **flags)
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
    project(out="run", **flags)
    before = contents("run")
    with pytest.raises(
        ValueError, match="run holds a training: --resume continues it, --overwrite begins anew, --out"
    ):
        project(out="run", **flags)
    assert contents("run") == before


def test_a_damaged_log_is_refused_and_kept():
    project, flags = WAYS["adder"]
    project(out="run", **flags)
    lines = Path("run", LOG).read_text(encoding="utf-8").splitlines()
    Path("run", LOG).write_text("\n".join([*lines[:4], "{", *lines[5:]]), encoding="utf-8")
    before = contents("run"), Path("run", LOG).read_bytes()
    with pytest.raises(ValueError, match=r"log\.jsonl is damaged after update 4 of 9: begin anew"):
        project(out="run", resume=True, **flags)
    assert (contents("run"), Path("run", LOG).read_bytes()) == before


@pytest.mark.parametrize(
    "change", [dict(seconds="x"), dict(seconds=None), dict(step=7), dict(step=3), "seconds", "lr"], ids=str
)
def test_a_log_whose_lines_are_not_those_of_the_updates_is_damaged(change):
    project, flags = WAYS["adder"]
    project(out="run", **flags)
    records = read_log(Path("run", LOG))
    if isinstance(change, str):
        del records[4][change]
    else:
        records[4] |= change
    Path("run", LOG).write_text("".join(map(json_line, records)), encoding="utf-8")
    before = Path("run", LOG).read_bytes()
    with pytest.raises(ValueError, match=r"log\.jsonl is damaged after update \d of 9: begin anew"):
        project(out="run", resume=True, **flags)
    assert Path("run", LOG).read_bytes() == before


@pytest.mark.parametrize("way", [way for way in WAYS if "file" in WAYS[way][1]])
def test_an_empty_file_is_refused(way):
    project, flags = WAYS[way]
    Path("empty").touch()
    with pytest.raises(ValueError, match="empty is empty: give a text to train on"):
        project(out="run", **flags | dict(file="empty"))
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["steps", "batch_size", "n_embd", "seed", "threads"])
def test_a_number_beyond_all_measure_is_named(name, call_command):
    done = call_command(adder.adder, f"--{name}={10**23}", "--out=run")
    assert done.code == 2
    assert f"--{name} must be at least " in done.err and "and less than 2**" in done.err
    assert not Path("run").exists()


def test_a_run_that_diverges_is_one_line_with_a_flag_that_there_is(call_command):
    flags = [f"--{name}={value}" for name, value in (WAYS["adder"][1] | dict(lr=2e9, warmup=0)).items()]
    done = call_command(adder.adder, *flags, "--out=run")
    assert done.code == 1
    assert re.search(r"picogpt: the gradient at step \d is (nan|inf): try a smaller --lr\n$", done.err)


def test_results_are_told_in_lines(capsys):
    project, flags = WAYS["sorter"]
    project(out="run", **flags | dict(steps=101))
    [loss, *_] = (record["loss"] for record in read_log(Path("run", LOG)))
    assert f"\nloss after so many updates:\n  0: {loss:.5g}\n  100: " in capsys.readouterr().out
    published = runs.lines("published", {"a": {"n": 0.123456789}, "b": [1, 2]}, "  ")
    assert list(published) == ["  published:", "    a:", "      n: 0.12346", "    b: [1, 2]"]


@pytest.mark.parametrize(
    ("way", "change", "said"),
    [
        ("adder", dict(lr=0.1), "--lr 0.005"),
        ("chars", dict(n_layer=2), "--n_layer 1"),
        ("chars", dict(lr=0.1), "--lr 0.0006"),
        ("words", dict(file="b.jsonl"), "another text"),
        ("finetune", dict(train="wte"), "no --train"),
        ("classify", dict(lora=2), "--lora 0"),
    ],
)
def test_a_run_resumed_with_another_setting_names_it(way, change, said):
    project, flags = WAYS[way]
    project(out="run", **flags)
    before = contents("run")
    with pytest.raises(ValueError, match=f"run was trained with {said}: resume with that"):
        project(out="run", resume=True, **flags | change)
    assert contents("run") == before


@pytest.mark.parametrize("change", [dict(n_layer=1), dict(n_layer=2, seed=1)], ids=str)
@pytest.mark.parametrize("way", ["finetune", "finetune, LoRA", "classify", "classify, LoRA"])
def test_a_model_that_is_another_by_now_is_refused(way, change):
    project, flags = WAYS[way]
    project(out="run", **flags)
    before = contents("run")
    save_base(chars.CharEncoder.from_text(data.read_text("text")), **change)
    with pytest.raises(ValueError, match="run was trained with another model: resume with that"):
        project(out="run", resume=True, **flags)
    assert contents("run") == before


def test_the_time_before_an_interruption_counts():
    project, flags = WAYS["adder"]
    project(out="run", **flags)
    lines = [json.dumps(record | dict(seconds=1000)) for record in read_log(Path("run", LOG))]
    Path("run", LOG).write_text("\n".join(lines), encoding="utf-8")
    project(out="run", resume=True, **flags)
    assert 9000 <= json.loads(Path("run", "result.json").read_text(encoding="utf-8"))["seconds"] < 10_000


@pytest.mark.parametrize(("way", "flag"), [("words", "file"), ("finetune", "file"), ("classify", "test")])
def test_what_an_installed_package_has_not_is_asked_for(way, flag, monkeypatch):
    monkeypatch.setattr(runs, "DATA", Path("site-packages", "tests", "data").resolve())
    project, flags = WAYS[way]
    said = f"the installed package has no x.txt: give a file as {'FILE' if flag == 'file' else '--test'}"
    with pytest.raises(FileNotFoundError, match=said):
        project(out="run", **flags | {flag: str(runs.DATA / "x.txt")})
    assert not Path("run").exists()
