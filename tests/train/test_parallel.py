"""Many processes train as one does; none goes on when another is gone."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints import safetensors, weights
from picogpt.finetune import classify
from picogpt.finetune import cli as finetune
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, walk
from picogpt.projects import adder
from picogpt.system.interrupt import Interrupted
from picogpt.text import data
from picogpt.text.chars import CharEncoder
from picogpt.train import cli as train
from picogpt.train import journal, launch, parallel, runs, shard, trainer
from picogpt.train.settings import Recipe, Settings

REPOSITORY = Path(__file__).parents[2]

MPIEXEC = launch.mpiexec()
FLAGS = ["--n_layer=2", "--n_head=2", "--n_embd=16", "--n_ctx=16", "--batch_size=9", "--warmup=5"]
FLAGS += ["--eval_every=7", "--eval_batches=3", "--sample_every=0"]

LOGGED = ["step", "loss", "norm", "ratio", "train_loss", "val_loss"]

needs_mpi = pytest.mark.skipif(
    not MPIEXEC,
    reason='needs mpiexec and mpi4py: pip install -e ".[mpi]"',
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "short.txt"
    whole = (REPOSITORY / "tests" / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    path.write_text(whole[:20_000], encoding="utf-8")
    return path


def start(n, *argv, folder, program=("-m", "picogpt.train")):
    """Start a program in `n` processes, or in one without mpiexec."""
    words = [*([MPIEXEC, "-n", str(n)] if n > 1 else []), sys.executable, *program, *map(str, argv)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def run(n, *argv, **where):
    """Run it to its end; return the exit code and all it said."""
    process = start(n, *argv, **where)
    out, err = process.communicate(timeout=120)
    return process.returncode, (out + err).decode()


def is_running(pid):
    """Return whether there is a process of that number that does anything, or may."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")  # of Linux: an ended process whose end nobody asked for is a Z there
        return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):
        return False


def losses(folder):
    """Return the numbers of all that a training has logged, but for times."""
    records = journal.read_log(folder / journal.LOG)
    return [[r[key] for key in LOGGED if key in r] for r in records]


@needs_mpi
@pytest.mark.parametrize(
    ("n", "more"),
    [(2, []), (1, ["--processes=4"]), (1, ["--processes=3", "--shard"])],
    ids=["mpiexec", "itself", "sharded"],
)
def test_the_losses_are_those_of_one_process_with_the_same_batches(text, tmp_path, n, more):
    flags = [text, *FLAGS, "--steps=14", "--accumulate=2"]
    assert run(1, *flags, "--out=one", folder=tmp_path)[0] == 0
    code, said = run(n, *flags, *more, "--out=many", folder=tmp_path)
    assert code == 0, said
    one, many = losses(tmp_path / "one"), losses(tmp_path / "many")
    assert [len(record) for record in one] == [len(record) for record in many]
    assert max(np.abs(np.subtract(a, b)).max() for a, b in zip(one, many, strict=True)) < 1e-5
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        path.name for path in (tmp_path / "many").iterdir()
    }
    assert said.count("step 14: ") == 1
    arrays, theirs = (safetensors.read(tmp_path / name / "state.safetensors")[0] for name in ("one", "many"))
    assert list(arrays) == list(theirs)
    assert max(np.abs(arrays[name] - theirs[name]).max() for name in arrays) < 1e-5
    updates = [r for r in journal.read_log(tmp_path / "many" / journal.LOG) if "loss" in r]
    assert all(0 < record["communication"] < record["seconds"] for record in updates)


@needs_mpi
def test_a_training_resumes_with_another_number_of_processes(text, tmp_path):
    flags = [text, *FLAGS, "--steps=28"]
    assert run(1, *flags, "--out=whole", folder=tmp_path)[0] == 0
    code, said = run(3, *flags, "--out=part", "--max_minutes=1e-9", folder=tmp_path)
    assert (code, "the time is up: --resume goes on from step 7" in said) == (0, True)
    again = ["--out=part", "--resume", "--processes=2", "--shard"]
    code, said = run(1, *again, "--max_minutes=1e-9", folder=tmp_path)
    assert (code, "the time is up: --resume goes on from step 14" in said) == (0, True)
    code, said = run(1, "--out=part", "--resume", folder=tmp_path)
    assert code == 0, said
    whole, part = losses(tmp_path / "whole"), losses(tmp_path / "part")
    assert max(np.abs(np.subtract(a, b)).max() for a, b in zip(whole, part, strict=True)) < 1e-5


SHARDED = """
import sys
import numpy as np
from picogpt.checkpoints import safetensors
from picogpt.params.tree import flatten, nest, walk
from picogpt.train import parallel, shard, trainer
from picogpt.train.settings import Recipe

with parallel.together() as comm:
    arrays = nest(safetensors.read("arrays")[0]) if comm.rank == 0 else None
    batches = parallel.broadcast(comm, arrays and arrays.pop("batches"))
    state = shard.hand_out(comm, arrays and trainer.begin(arrays["params"], 1), True)
    c = Recipe(steps=10, warmup=0, lr=0.01, schedule="constant", beta2=0.95, clip=2.0)
    draw = lambda rng: (batches["ids"][state["step"]], batches["targets"][state["step"]])
    records = [*trainer.updates(state, c, draw, trainer.language_model(int(sys.argv[1]), comm), comm)]
    found = {name: np.array([record[name] for record in records]) for name in ("loss", "norm")}
    own = sum(m.size for _, m in walk(state["moments"]["m"]))
    found["own"] = np.array(comm.allgather(own))
    found |= flatten(dict(params=state["params"]))
    shard.with_all_rows(state, lambda whole: safetensors.write("found", found | flatten(whole["moments"])))
"""


@needs_mpi
def test_ten_sharded_steps_follow_pytorch(tiny, pytorch_says, tmp_path):
    """Clipped by the norm of all gradients, of which each knows its rows; one of three has no batch."""
    theirs = pytorch_says["training"]["clipped64"]
    given = dict(params=tiny.params, batches=dict(ids=theirs["ids"], targets=theirs["targets"]))
    safetensors.write(tmp_path / "arrays", flatten(given))
    (tmp_path / "sharded.py").write_text(SHARDED)
    code, said = run(3, tiny.n_head, folder=tmp_path, program=["sharded.py"])
    assert code == 0, said
    found, _ = safetensors.read(tmp_path / "found")
    assert np.abs(found["loss"] - theirs["losses"]).max() < 1e-6  # PyTorch divides by the norm + 1e-6
    assert np.abs(found["norm"] - theirs["norms"]).max() < 1e-6
    assert theirs["norms"].min() < 2 < theirs["norms"].max()  # some are clipped, some are not
    alone = trainer.begin(tiny.params, 1)  # and the moments are those of one process
    batches = zip(theirs["ids"], theirs["targets"], strict=True)
    c = Recipe(steps=10, warmup=0, lr=0.01, schedule="constant", beta2=0.95, clip=2.0)
    for _ in trainer.updates(alone, c, lambda rng: next(batches), trainer.language_model(tiny.n_head)):
        pass
    for path, array in flatten(dict(params=alone["params"]) | alone["moments"]).items():
        assert np.abs(found[path] - array).max() < 1e-9, path
    n = sum(w.size for _, w in walk(tiny.params))
    assert found["own"].sum() == n and found["own"].max() < 0.45 * n  # of the moments, kept by each


@needs_mpi
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_dies_ends_them_all_and_the_state_stays_whole(text, tmp_path, signal_):
    note = tmp_path / "note.py"  # each process writes down who it is
    note.write_text(
        "import os; from picogpt.system import command; from picogpt.train import cli as train\n"
        "open('pid' + os.environ['PMI_RANK'], 'w').write(str(os.getpid()))\n"
        "command.run(train.train)"
    )
    process = start(2, text, *FLAGS, "--steps=1000000", "--out=model", folder=tmp_path, program=[note])
    while not (tmp_path / "model" / "model.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    pids = [int((tmp_path / f"pid{rank}").read_text()) for rank in range(2)]
    if signal_ == signal.SIGKILL:
        os.kill(pids[1], signal_)
    else:
        process.send_signal(signal_)  # as Ctrl-C does
    said = b"".join(process.communicate(timeout=120))
    assert process.returncode == {signal.SIGKILL: 9, signal.SIGINT: 130}[signal_]
    assert b"Traceback" not in said
    if signal_ == signal.SIGKILL:
        assert b"Killed (signal 9)" in said
    else:
        assert re.search(
            rb"stopped at step \d+ of 1000000; go on with: python -m picogpt.train --resume", said
        )
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, pids))
    _, metadata = safetensors.read(tmp_path / "model" / "state.safetensors")
    assert metadata
    code, said = run(2, "--out=model", "--resume", "--max_minutes=1e-9", folder=tmp_path)
    assert (code, "the time is up" in said) == (0, True)


TRAINING = ["text", *FLAGS[1:], "--n_layer=1", "--steps=60", "--processes=2"]
ADDER = ["--n_digit=1", "--n_layer=1", "--n_head=2", "--n_embd=8", "--batch_size=6", "--steps=60"]
TUNED = ["--model=base", "--batch_size=7", "--warmup=1", "--dropout=0"]
LABELLED = ["labelled", "--test=labelled", *TUNED, "--epochs=2"]


@pytest.fixture
def in_folder(text, tmp_path, monkeypatch):
    """Be in a folder that has a text, a model and texts with labels."""
    monkeypatch.chdir(tmp_path)
    whole = data.read_text(text)
    Path("text").write_text(whole, encoding="utf-8")
    encoder = CharEncoder.from_text(whole)
    hparams = dict(n_vocab=encoder.n_vocab, n_ctx=24, n_embd=12, n_head=3, n_layer=2)
    weights.save("base", init_params(hparams, np.random.default_rng(0)), hparams, encoder)
    lines = [json.dumps(dict(text=line, label=line[0])) for line in whole[:1000].split("\n") if line]
    Path("labelled").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@needs_mpi
@pytest.mark.parametrize(
    ("module", "flags", "signal_"),
    [
        ("picogpt.train", TRAINING, signal.SIGINT),
        ("picogpt.train", [*TRAINING, "--shard"], signal.SIGTERM),
        ("picogpt.projects.adder", [*ADDER, "--processes=2"], signal.SIGTERM),
    ],
    ids=["train", "sharded", "adder"],
)
def test_a_command_that_started_processes_stops_and_goes_on_as_one_does(in_folder, module, flags, signal_):
    program, log = ["-m", module], Path("part", journal.LOG)
    code, said = run(1, *flags, "--out=whole", folder=in_folder, program=program)
    assert code == 0, said
    process = start(1, *flags, "--out=part", folder=in_folder, program=program)
    while not (log.exists() and log.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal_)
    said = b"".join(process.communicate(timeout=120)).decode()
    assert process.returncode == 128 + signal_, said
    assert re.search(rf"stopped at step \d+ of 60; go on with: python -m {module} --resume --out part", said)
    assert not Path("part", "result.json").exists()
    code, said = run(1, "--out=part", "--resume", folder=in_folder, program=program)
    assert code == 0, said
    assert losses(in_folder / "part") == losses(in_folder / "whole")
    arrays, theirs = (safetensors.read(Path(name, "state.safetensors"))[0] for name in ("whole", "part"))
    assert all(np.array_equal(arrays[name], theirs[name]) for name in arrays)


@needs_mpi
@pytest.mark.parametrize(
    ("project", "flags"),
    [
        (adder.adder, ADDER),
        (finetune.finetune, ["text", *TUNED, "--steps=9", "--lora=2", "--adapters=3"]),
        (classify.classify, LABELLED),
        (classify.classify, [*LABELLED, "--lora=2", "--lm_weight=3"]),
    ],
    ids=["adder", "finetune", "classify", "classify, LoRA"],
)
def test_a_project_finds_in_processes_what_it_finds_in_one(project, flags, in_folder, call_command):
    module = runs.module_of(project)
    assert call_command(project, *flags, "--out=one").code == 0
    code, said = run(1, *flags, "--out=many", "--processes=3", folder=in_folder, program=["-m", module])
    assert code == 0, said
    assert said.count("\nparameters: ") == 1
    one, many = losses(in_folder / "one"), losses(in_folder / "many")
    assert [len(record) for record in one] == [len(record) for record in many]
    assert max(np.abs(np.subtract(a, b)).max() for a, b in zip(one, many, strict=True)) < 1e-5
    assert {path.name for path in Path("one").iterdir()} == {path.name for path in Path("many").iterdir()}


def test_without_mpi_the_flag_says_how_to_get_it(call_command, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "picogpt.train"])
    monkeypatch.setattr(launch.os, "execve", pytest.fail)
    for missing in (
        (launch.shutil, "which", lambda *_, path: None),
        (launch.importlib.util, "find_spec", lambda _: None),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(*missing)
            done = call_command(train.train, "text", "--processes=2", "--out=model")
        assert done.code == 1
        assert done.err == 'picogpt: --processes 2 needs mpiexec and mpi4py: pip install -e ".[mpi]"\n'


def test_only_a_command_can_start_itself_in_processes(monkeypatch):
    monkeypatch.setattr(launch.os, "execve", pytest.fail)
    for words in (["python", "-m", "pytest"], ["python", "picogpt.train"], ["python"]):
        monkeypatch.setattr(sys, "orig_argv", words)
        with pytest.raises(ValueError, match=r"python -m picogpt\.train --processes 2"):
            train.train(Settings("text", processes=2))


def test_options_of_python_and_a_setting_of_the_users_are_passed_on(monkeypatch):
    called = []
    monkeypatch.setattr(launch.os, "execve", lambda *how: called.append(how))
    monkeypatch.setattr(
        sys, "orig_argv", ["python3", "-X", "utf8", "-m", "picogpt.train", "a b", "--processes=3"]
    )
    monkeypatch.setattr(launch.shutil, "which", lambda *_, path: "/bin/mpiexec")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: name == "mpi4py")
    for given, threads in ((None, "1"), ("2", "2")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        launch.start(3, "picogpt.train")
        program, words, environment = called.pop()
        assert (program, environment["OMP_NUM_THREADS"]) == ("/bin/mpiexec", threads)
        assert words[1:] == [
            "-n",
            "3",
            sys.executable,
            "-X",
            "utf8",
            "-m",
            "picogpt.train",
            "a b",
            "--processes=3",
        ]
    monkeypatch.setattr(parallel, "world", lambda: "of three")  # it is one of them
    launch.start(3, "picogpt.train")
    launch.start(1, "anything")
    assert called == []


@needs_mpi
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [("ValueError('broken')", 1, "picogpt: rank 1: broken\n"), ("KeyError('x')", 1, "rank 1 failed:")],
)
def test_an_error_in_one_process_ends_them_all_and_is_told(text, tmp_path, error, code, said):
    (tmp_path / "broken.py").write_text(
        "import os; from picogpt.system import command; from picogpt.train import cli as train, optim\n"
        "def fail(*_): raise " + error + "\n"
        "if os.environ['PMI_RANK'] == '1': optim.clip = fail\n"
        "command.run(train.train)"
    )
    got = run(2, text, *FLAGS, "--out=model", folder=tmp_path, program=["broken.py"])
    assert (got[0], said in got[1]) == (code, True)


@needs_mpi
@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--keep=all"], 2, "picogpt: --keep must be best or last, not all"),
        (["--batch_size=1"], 2, "picogpt: --batch_size 1 leaves nothing for some of 2 processes"),
        (["--init=nowhere"], 1, "picogpt: nowhere is neither"),
        (["--precision=float16"], 2, "picogpt: --precision float16 is for one process"),
    ],
)
def test_what_is_wrong_in_all_processes_is_said_once(text, tmp_path, flags, code, said):
    got, err = run(2, text, "--out=model", *flags, folder=tmp_path)
    assert (got, err.count(said)) == (code, 1)
    assert not (tmp_path / "model").exists()


def test_without_mpiexec_a_process_is_alone(monkeypatch):
    for name in parallel.MPIEXEC:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # cannot be imported
    with parallel.together() as comm:
        assert (comm.rank, comm.size) == (0, 1)
        assert parallel.broadcast(comm, 5) == 5
        assert parallel.total_gradients(comm, 2.0, "grads") == (2.0, "grads")
    with pytest.raises(KeyError), parallel.together():
        raise KeyError


@pytest.mark.parametrize(("cores", "here", "each"), [(8, 2, 4), (7, 2, 3), (2, 2, 1), (1, 4, 1)])
def test_the_processes_on_a_machine_divide_its_cores(cores, here, each, monkeypatch):
    """Of five processes so many are on this machine; mpi4py need not be there for it."""
    sizes, given = {"those of one machine": SimpleNamespace(size=here)}, []
    monkeypatch.setitem(
        sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(COMM_TYPE_SHARED="those of one machine"))
    )
    monkeypatch.setattr(
        parallel, "world", lambda: SimpleNamespace(rank=0, size=5, Split_type=sizes.__getitem__)
    )
    monkeypatch.setattr(parallel.machine, "n_threads", lambda: cores)
    monkeypatch.setattr(parallel.machine, "set_threads", given.append)
    with parallel.together():
        assert given == [each]


@pytest.fixture
def one_of_three(monkeypatch):
    """Let this process be one of three that MPI has started on a machine; return it, and what it does."""
    comm = SimpleNamespace(rank=0, size=3, done=[])
    comm.Split_type = {"shared": SimpleNamespace(size=3)}.get
    comm.Abort = lambda code: comm.done.append(f"all end with {code}")
    monkeypatch.setitem(
        sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(COMM_TYPE_SHARED="shared"))
    )
    monkeypatch.setattr(parallel, "world", lambda: comm)
    monkeypatch.setattr(parallel, "log", logging.getLogger("picogpt.of_one"))
    monkeypatch.setattr(parallel.log, "disabled", False)
    monkeypatch.setattr(parallel.time, "sleep", lambda seconds: comm.done.append(f"{seconds:g} s"))
    monkeypatch.setattr(parallel.machine, "n_threads", lambda: 8)
    monkeypatch.setattr(parallel.machine, "set_threads", lambda n: comm.done.append(f"{n} threads"))
    return comm


@pytest.mark.parametrize(
    ("error", "rank", "code", "said"),
    [
        (ValueError("--lr is too large"), 0, 1, "--lr is too large"),
        (FileNotFoundError(2, "No such file", "a.txt"), 2, 1, "rank 2: a.txt: No such file"),
        (MemoryError(), 1, 1, "rank 1: there is not enough memory"),
        (KeyboardInterrupt(), 0, 130, "interrupted"),
        (KeyboardInterrupt(), 1, 130, ""),
        (Interrupted(signal.SIGTERM, "stopped at step 3"), 0, 143, "stopped at step 3"),
        (SystemExit(2), 1, 2, ""),
        (KeyError("x"), 1, 1, "rank 1 failed:"),
    ],
)
def test_an_error_of_a_process_is_said_once_and_ends_all(error, rank, code, said, one_of_three, caplog):
    one_of_three.rank = rank
    with parallel.together() as comm:
        parallel.log.warning("of the first alone")
        raise error
    assert comm.done == ["2 threads", *(["1 s"] if rank else []), "0.3 s", f"all end with {code}"]
    assert caplog.messages == ["of the first alone"] * (rank == 0) + [said] * bool(said)


@pytest.mark.parametrize("code", [0, None])
def test_a_process_that_has_done_its_part_ends_alone(code, one_of_three):
    with pytest.raises(SystemExit), parallel.together():
        sys.exit(code)
    assert one_of_three.done == ["2 threads"]


@pytest.mark.parametrize("name", ["PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"])
def test_each_mark_of_mpiexec_means_that_there_are_others(name, monkeypatch):
    for known in parallel.MPIEXEC:
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(COMM_WORLD="all")))
    assert parallel.world() is parallel.ALONE
    monkeypatch.setenv(name, "0")
    assert parallel.world() == "all"


def test_alone_a_process_is_in_charge_of_all_rows():
    params = dict(w=np.arange(6.0).reshape(3, 2))
    state = trainer.begin(params, 1)
    params["w"].flags.writeable = False  # as one that is mapped
    handed, seen = shard.hand_out(parallel.ALONE, state, True), []
    handed["params"]["w"][0] = 9
    assert params["w"][0].tolist() == [0, 1]
    assert "shards" not in handed
    shard.with_all_rows(handed, seen.append)
    assert seen == [handed]


def test_the_rows_of_all_processes_are_all_rows():
    w, found = np.arange(14).reshape(7, 2), []
    for rank in range(3):
        comm = SimpleNamespace(rank=rank, size=3)
        found.append(shard.rows(comm, [w])[0])
        assert np.shares_memory(found[-1], w) and found[-1].size == shard.sizes(comm, w.shape)[rank]
    np.testing.assert_array_equal(np.concatenate(found), w)
    assert shard.sizes(SimpleNamespace(size=4), (2, 5)) == [0, 5, 0, 5]


def test_losses_and_gradients_are_added_up_in_one_message(monkeypatch):
    """Of two ranks, whose other one has tenfold numbers; mpi4py need not be there for it."""
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(IN_PLACE="in place")))
    messages = []

    def add_up(how, array):
        messages.append((how, array.size))
        array += 10 * array

    grads = dict(wte=np.ones((2, 3)), blocks=[dict(b=np.arange(4.0))])
    loss, sums = parallel.total_gradients(SimpleNamespace(rank=0, size=2, Allreduce=add_up), 2.0, grads)
    assert (loss, messages) == (22.0, [("in place", 11)])
    np.testing.assert_array_equal(sums["wte"], 11 * np.ones((2, 3)))
    np.testing.assert_array_equal(sums["blocks"][0]["b"], 11 * np.arange(4.0))


def test_with_mpiexec_but_without_mpi4py_the_remedy_is_told(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ValueError, match=r"mpiexec needs mpi4py.*pip install"):
        parallel.world()


@pytest.mark.skipif(os.name != "posix", reason="programs are files with a mark that says so")
def test_mpis_starter_is_that_beside_python_or_on_the_path_and_needs_mpi4py(tmp_path, monkeypatch):
    for name in ("beside", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mpiexec").touch(mode=0o755)
    monkeypatch.setattr(launch.sys, "executable", str(tmp_path / "beside" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: name == "mpi4py")
    assert launch.mpiexec() == str(tmp_path / "beside" / "mpiexec")
    (tmp_path / "beside" / "mpiexec").unlink()
    assert launch.mpiexec() == str(tmp_path / "elsewhere" / "mpiexec")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    assert launch.mpiexec() is None
