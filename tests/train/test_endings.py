"""How a training ends and begins: interrupts, kills, a full disk, a second process, somebody's folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import REPOSITORY
from thorough import few_or

from picogpt.checkpoints import safetensors
from picogpt.projects import adder
from picogpt.system import folders, interrupt
from picogpt.text import data
from picogpt.train import cli, journal, runs, trainer
from picogpt.train.cli import flags_file, train
from picogpt.train.settings import Settings
from picogpt.train.state import STATE

TINY = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, eval_batches=1, threads=1)
ADDER = dict(n_digit=1, n_layer=1, n_head=2, n_embd=8, batch_size=8, threads=1, eval_every=4)
SHAKESPEARE = REPOSITORY / "tests" / "data" / "tinyshakespeare.txt"


@pytest.fixture(autouse=True)
def text(tmp_path, monkeypatch):
    """A short text in the folder in which all is called."""
    monkeypatch.chdir(tmp_path)
    Path("text").write_text(data.read_text(SHAKESPEARE)[:2000], encoding="utf-8")


def train_text(out, **settings):
    train(Settings("text", out=out, **TINY | dict(steps=9, eval_every=4) | settings))


def run_adder(out, **flags):
    adder.adder(out=out, **ADDER | dict(steps=9) | flags)


WAYS = dict(train=train_text, adder=run_adder)
COMMANDS = dict(train="picogpt.train", adder="picogpt.projects.adder")


def contents(folder):
    """Return what a folder holds, but for times and its own name."""
    found = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    found["log.jsonl"] = [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in journal.read_log(Path(folder, "log.jsonl"))
    ]
    found.pop("result.json", None)
    return found


def signal_at(step, monkeypatch, *numbers, after=None):
    """Have the process get signals amid the update `step`."""
    made = trainer.OPTIMIZERS["adamw"]

    def adamw_step(*args, **settings):
        if args[3] == step:
            for number in numbers or [signal.SIGINT]:
                os.kill(os.getpid(), number)
        return made(*args, **settings)

    monkeypatch.setitem(trainer.OPTIMIZERS, "adamw", adamw_step)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, 3), (signal.SIGTERM, 4), (signal.SIGINT, 8)])
def test_an_interrupt_ends_after_the_update_and_loses_nothing(way, number, step, monkeypatch):
    WAYS[way]("whole")
    with monkeypatch.context() as patch:
        signal_at(step, patch, number)
        with pytest.raises(interrupt.Interrupted) as error:
            WAYS[way]("out")
    goes_on = f"python -m {COMMANDS[way]} --resume --out out"
    assert str(error.value) == f"stopped at step {step} of 9; go on with: {goes_on}"
    assert error.value.code == 128 + number
    _, metadata = safetensors.read(Path("out", STATE))
    assert json.loads(metadata["state"])["step"] == step
    assert [record["step"] for record in journal.read_log("out/log.jsonl") if "loss" in record][-1] == step
    assert not folders.is_begun("out")
    WAYS[way]("out", resume=True)
    assert contents("out") == contents("whole")


@pytest.mark.parametrize("way", WAYS)
def test_the_second_interrupt_ends_at_once(way, monkeypatch):
    signal_at(5, monkeypatch, signal.SIGINT, signal.SIGINT)
    with pytest.raises(interrupt.Interrupted, match=r"interrupted; go on with: python -m .* --resume"):
        WAYS[way]("out")
    assert json.loads(safetensors.read(Path("out", STATE))[1]["state"])["step"] < 5


@pytest.mark.parametrize("step", [0, 4, 8])
def test_an_interrupt_breaks_an_evaluation_which_is_then_made_again(step, monkeypatch):
    train_text("whole")
    evaluate = trainer.evaluate_splits
    with monkeypatch.context() as patch:

        def evaluate_or_die(*args):
            n_done = len([r for r in journal.read_log("out/log.jsonl") if "loss" in r])
            if n_done == step:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
                raise AssertionError("the evaluation went on")
            return evaluate(*args)

        patch.setattr(trainer, "evaluate_splits", evaluate_or_die)
        with pytest.raises(interrupt.Interrupted, match=f"stopped at step {step} of 9; go on with"):
            train_text("out")
    train_text("out", resume=True)
    assert contents("out") == contents("whole")


def test_the_state_is_saved_by_time_and_between_evaluations(monkeypatch):
    train_text("whole", eval_every=100)
    saved, save = [], trainer.save_state
    monkeypatch.setattr(trainer, "SAVE_EVERY", 0)
    monkeypatch.setattr(trainer, "save_state", lambda *args: saved.append(args[1]["step"]) or save(*args))
    train_text("often", eval_every=100)
    assert saved == [*range(10)]
    assert contents("often").keys() == contents("whole").keys()
    assert contents("often")["log.jsonl"] == contents("whole")["log.jsonl"]


def test_half_a_minute_passes_between_states_and_more_if_they_take_long(monkeypatch, tmp_path):
    now = [100.0]
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    for seconds, pause in ((0.5, 30), (10, 90)):

        def save(*_, seconds=seconds):
            now[0] += seconds

        monkeypatch.setattr(trainer, "save_state", save)
        with open(tmp_path / "log", "w") as file:
            assert trainer.save(tmp_path, {}, {}, file) == now[0] + pause


@pytest.mark.parametrize("way", WAYS)
def test_a_run_killed_before_its_first_state_begins_or_resumes(way, monkeypatch):
    WAYS[way]("whole")
    for again in ({}, dict(resume=True)):
        for left in ([], ["settings.json", "hparams.json", "chars.json", "vocab.bpe"]):
            folder = Path("out")
            folder.mkdir()
            for name in [
                *left,
                *[f"{name}.0123456789abcdef.tmp" for name in left],
                *["log.jsonl"] * bool(left),
            ]:
                (folder / name).write_bytes(b"{}")
            (folder / folders.LOCK).write_bytes(b"process 1 on nowhere")
            if way == "train" or left or not again:
                WAYS[way]("out", **again)
                assert contents("out") == contents("whole")
            else:
                with pytest.raises(ValueError, match="out holds no state to resume from: begin without"):
                    WAYS[way]("out", **again)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", ["settings.json", "log.jsonl", "chars.json", "vocab.bpe", "notes.txt", ".git"]
)
def test_a_strangers_folder_is_refused_and_named(way, name):
    Path("out").mkdir()
    Path("out", name).write_text("{}")
    for flags in ({}, dict(overwrite=True)):
        with pytest.raises(
            ValueError, match=rf"out holds other files \({name}\): --out names another folder"
        ):
            WAYS[way]("out", **flags)
    assert {path.name: path.read_text() for path in Path("out").iterdir()} == {name: "{}"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("before", WAYS)
def test_overwrite_begins_anew_and_is_said_in_the_refusal(way, before):
    WAYS[way]("whole")
    WAYS[before]("out", seed=5)
    Path("out", "notes.txt").write_text("mine")
    said = "out holds a training: --resume continues it, --overwrite begins anew, --out names another folder"
    with pytest.raises(ValueError, match=said):
        WAYS[way]("out")
    WAYS[way]("out", overwrite=True)
    assert Path("out", "notes.txt").read_text() == "mine"
    Path("out", "notes.txt").unlink()
    assert contents("out") == contents("whole")


@pytest.mark.parametrize("function", [train, adder.adder])
def test_overwrite_and_resume_are_not_given_together(function, call_command):
    words = ["text"] if function is train else []
    done = call_command(function, *words, "--resume", "--overwrite", "--out=out")
    assert done.code == 2
    assert "--overwrite has no effect with --resume" in done.err


# A second process


HOLD = """
import sys
from picogpt.system import folders
folders.acquire("out", ["state.safetensors"])
print("held", flush=True)
input()
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("holder", [None, *WAYS])
@pytest.mark.parametrize("flags", [{}, dict(resume=True), dict(overwrite=True)], ids=str)
def test_a_second_process_in_the_folder_is_told_who_has_it(way, holder, flags):
    """The first has only begun, or is a training that has been resumed."""
    if holder:
        WAYS[holder]("out")
    before = contents("out") if holder else None
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError) as error:
            WAYS[way]("out", **flags)
        in_use = f"out is in use by process {process.pid} on "
        refused = ("holds a training", "holds no state to resume from", "holds other files")
        assert str(error.value).startswith(in_use) or any(said in str(error.value) for said in refused)
        if flags and holder == way:
            assert str(error.value).startswith(in_use)
        process.kill()
    if holder:
        Path("out", folders.LOCK).unlink()
        assert contents("out") == before
    else:
        assert os.listdir("out") == [folders.LOCK]


def test_of_two_trainings_begun_at_once_one_is_refused_and_one_whole():
    words = [sys.executable, "-m", "picogpt.train", "text", "--out=out", "--steps=20", "--eval_every=9"]
    words += [f"--{name}={value}" for name, value in TINY.items()]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    streams = dict(env=environment, stderr=subprocess.PIPE, text=True)
    both = [subprocess.Popen([*words, f"--seed={n}"], **streams) for n in (1, 2)]
    said = [process.communicate()[1].splitlines()[-1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1]
    refused = said[codes.index(1)]
    assert "out is in use by process" in refused or "out holds a training" in refused
    seed = codes.index(0) + 1
    assert json.loads(Path("out", "settings.json").read_text())["seed"] == seed
    train_text("whole", steps=20, eval_every=9, seed=seed)
    assert contents("out") == contents("whole")


# What is read again


@pytest.mark.parametrize("name", ["out", "resume", "overwrite", "config", "eval_only"])
def test_a_flag_about_a_call_never_comes_from_the_file_resumed_from(name, call_command):
    train_text("out")
    train_text("victim")
    before = contents("victim"), contents("out")
    path = Path("out", "settings.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: "victim"}))
    before[1]["settings.json"] = path.read_bytes()
    done = call_command(train, "--resume", "--out=out", config=flags_file)
    assert done.code == 1
    assert f"settings.json gives a value to {name}, which only the command line may: delete it" in done.err
    assert (contents("victim"), contents("out")) == before


def test_nor_does_a_limit_of_time_which_earlier_versions_wrote_there(call_command):
    train_text("out", steps=8, max_minutes=1e-9)
    assert [record["step"] for record in journal.read_log("out/log.jsonl")][-1] == 4
    path = Path("out", "settings.json")
    assert "max_minutes" not in path.read_text()
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(max_minutes=1e-9)))
    done = call_command(train, "--resume", "--out=out", config=flags_file)
    assert done.code == 0
    assert [record["step"] for record in journal.read_log("out/log.jsonl")][-1] == 8


@pytest.mark.parametrize("name", ["out", "resume", "overwrite"])
def test_nor_from_that_of_a_project(name, call_command):
    run_adder("out")
    path = Path("out", "settings.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: "victim"}))
    done = call_command(adder.adder, "--resume", "--out=out", config=runs.flags_file(adder.adder))
    assert done.code == 1
    assert f"settings.json gives a value to {name}, which only the command line may" in done.err
    assert not Path("victim").exists()


def test_a_run_is_not_resumed_by_another_command(call_command):
    run_adder("out")
    done = call_command(train, "--resume", "--out=out", config=flags_file)
    assert done.code == 1
    assert "was written by picogpt.projects.adder, not by picogpt.train" in done.err


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b'{"lr": 1, "lr": 2}', b"3", b""]
)
@pytest.mark.parametrize(
    "flags", [["--resume", "--out=out"], ["text", "--config=out/settings.json", "--out=new"]]
)
def test_settings_that_are_none_are_one_line(content, flags, call_command):
    Path("out").mkdir()
    Path("out", "settings.json").write_bytes(content)
    done = call_command(train, *flags, config=cli.flags_file)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("picogpt: out/settings.json does not hold flags as JSON")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the named pipes of Unix")
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero"])
@pytest.mark.parametrize("name", ["settings.json", "log.jsonl", STATE, "hparams.json", "chars.json"])
def test_a_pipe_in_a_folder_resumed_from_is_not_waited_for(name, kind, call_command):
    train_text("out")
    path = Path("out", name)
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(kind)
    done = call_command(train, "--resume", "--out=out", config=flags_file)
    assert done.code in (0, 1)  # without a log it begins another


@pytest.mark.parametrize("way", WAYS)
def test_every_flipped_bit_of_a_state_is_refused_or_without_effect(way, tally):
    WAYS[way]("out")
    before, path = contents("out"), Path("out", STATE)
    good = path.read_bytes()
    n_header = int.from_bytes(good[:8], "little")
    places = [*range(0, 8 + n_header, 131), *range(8 + n_header, len(good), 577)]
    for at in places[:: few_or(4, 1)]:
        for bit in (0, 6):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
            try:
                WAYS[way]("out", resume=True)
                tally("bits of a state flipped", "without effect")
                assert contents("out") == before
            except ValueError as error:
                assert "state.safetensors" in str(error)
                tally("bits of a state flipped", "refused")
    path.write_bytes(good)
    WAYS[way]("out", resume=True)


def test_a_state_of_an_earlier_version_is_trusted_with_a_note(caplog):
    train_text("out", steps=4)
    path = Path("out", STATE)
    tensors, metadata = safetensors.read(path)
    safetensors.write(path, tensors, {"state": metadata["state"]})
    train_text("out", steps=4, resume=True)
    assert "state.safetensors is of an earlier version, and has no checksum: trusting it" in caplog.text


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[" * 100_000, b'{"step": "1"}', b"x" * 50_000])
def test_a_log_that_is_damaged_is_named(line, caplog):
    train_text("out")
    path = Path("out", "log.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], line, b"\n", *lines[4:]]))
    train_text("out", resume=True)
    assert "log.jsonl is damaged: it tells of 2 updates, and 9 are done" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_while_the_log_grows_names_the_file(way):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    WAYS[way]("whole")
    size = Path("whole", STATE).stat().st_size + 5000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OSError, match=r"out/log.jsonl cannot be written \(File too large\): make room"):
            WAYS[way]("out", steps=1000, eval_every=10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
