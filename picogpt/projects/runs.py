"""What the projects share: how a run begins, or goes on, its training, and its result.

    run = open_run("adder", locals())                       checks flags and folder, and writes nothing yet
    state = start(run, params, c)                           the beginning or, with --resume, what was saved
    records = train(run, state, c, draw, gradients, look)   writes log.jsonl, and the state over and over
    finish(run, results, published)                         writes result.json

A run that was killed, whenever that was, resumes to the same bytes: what leads to a state is made again from
the flags, then the arrays that are trained get what the state has.
"""

import hashlib
import json
import logging
import math
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from picogpt import command, data, journal, machine, trainer
from picogpt.files import atomic_write
from picogpt.state import STATE, layout, load_state, save_state
from picogpt.tree import flatten, tree_map, walk

log = logging.getLogger("picogpt")
DATA = Path(__file__).parents[2] / "tests" / "data"  # in a checkout
SHAKESPEARE = DATA / "tinyshakespeare.txt"
SAVE_EVERY = 30  # seconds
AT_LEAST = dict(steps=1, epochs=1, batch_size=1, eval_every=1, lora=0, adapters=0, n_ctx=0, warmup=0)
AT_LEAST |= dict(lr=0, lm_weight=0, seed=0, threads=0, n_sample=0, minutes=0, colors=2)


def open_run(project, flags):
    """Return a run, as project, settings, folder, resume and began, if its flags and its folder will do.

    ValueError rather than write over what the folder holds, or resume where there is no state.
    """
    settings = dict(flags)
    check_settings(settings)
    folder, resume = Path(settings["out"]), settings.pop("resume")
    saved = (folder / STATE).exists()
    if resume and not saved:
        raise ValueError(f"{folder} holds no state to resume from: begin without --resume")
    if not resume and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        remedy = "--resume goes on with it" if saved else "delete it"
        raise ValueError(f"{folder} is there already: {remedy}, or name another folder with --out")
    for name, flag in (("file", "FILE"), ("test", "--test")):
        path = Path(settings.get(name, ""))
        if path.parent == DATA and not path.exists():
            raise FileNotFoundError(f"the installed package has no {path.name}: give a file as {flag}")
    if "file" in settings:
        settings["sha256"] = hashlib.sha256(data.read_text(settings["file"]).encode()).hexdigest()
    machine.set_threads(settings["threads"])
    machine.keep_memory()
    log.setLevel(logging.INFO)
    began = time.monotonic()
    return SimpleNamespace(project=project, settings=settings, folder=folder, resume=resume, began=began)


def check_settings(settings):
    """End the program, naming the flag, if a number is out of its range."""
    settings = given(settings)
    for name, least in AT_LEAST.items():
        if not least <= settings.get(name, least) < math.inf:
            command.usage_error(f"--{name} must be at least {least}, and finite, not {settings[name]}")
    for name in ("dropout", "val_share"):
        if not 0 <= settings.get(name, 0) < 1:
            command.usage_error(f"--{name} must be at least 0 and less than 1, not {settings[name]}")


def given(flags):
    """Return the flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


def start(run, params, c):
    """Return the state of a training by the recipe `c`: new or, with --resume, as saved.

    `params` are trained in place, and a saved state is put into them. The time that its updates have taken
    counts as this run's.
    """
    run.settings |= vars(c)
    state = trainer.begin(params, run.settings["seed"])
    if not run.resume:
        return state
    saved = load_state(run.folder / STATE, SimpleNamespace(**run.settings))
    here, there = (dict(params=s["params"], moments=s["moments"]) for s in (state, saved))
    if layout(here) != layout(there):
        raise ValueError(f"{run.folder} began from another model: resume with that, or use another --out")
    there = flatten(there)
    for path, array in walk(here):
        array[...] = there[path]
    records = journal.read_log(run.folder / journal.LOG)
    run.began -= sum(record["seconds"] for record in records if record["step"] <= saved["step"])
    return saved | here


def train(run, state, c, draw, gradients, look=lambda step: {}, end=math.inf):
    """Make the updates that are left, see `trainer.updates`; return the records of all, see journal.py.

    look(step) adds to a record what is to be known of the model then. The state is saved at first, about
    every half minute, and at last, which is early if time.monotonic() has passed `end`.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with (
        logging_redirect_tqdm(),
        tqdm(total=c.steps, initial=state["step"], unit="step", dynamic_ncols=True) as progress,
        journal.open_log(run.folder, state["step"]) as file,
    ):
        saved = save(run, state, file)
        for record in trainer.updates(state, c, draw, gradients):
            if found := look(record["step"]):
                said = ", ".join(f"{name} {value:.5g}" for name, value in found.items())
                log.info("step %d: %s", record["step"], said)
            journal.write(file, record | found)
            shown = f"loss {record['loss']:.3f}, gradient {record['norm']:.2f}"
            progress.set_postfix_str(shown, refresh=False)
            progress.update()
            if time.monotonic() >= end:
                break
            if time.monotonic() >= saved + SAVE_EVERY:
                saved = save(run, state, file)
        save(run, state, file)
    return journal.read_log(run.folder / journal.LOG)


def save(run, state, file):
    """Save the state, once the log that it counts on is on the disk; return when that was."""
    journal.settle(file)
    arrays = tree_map(to_cpu, dict(params=state["params"], moments=state["moments"]))
    save_state(run.folder / STATE, state | arrays, SimpleNamespace(**run.settings))
    return time.monotonic()


def to_cpu(array):
    """Return an array in the processor's memory, where one of CuPy's is not."""
    return array.get() if hasattr(array, "get") else array


def finish(run, results, published):
    """Print the results, and write them to result.json with all that led to them and what others report.

    Files are named as seen from the current folder, in which the command can be given again.
    """
    here, words = f"{Path.cwd()}/", [word for word in sys.argv[1:] if not word.startswith("--resume")]
    settings = {k: v.removeprefix(here) if isinstance(v, str) else v for k, v in run.settings.items()}
    record = dict(
        project=run.project,
        command=shlex.join(["python", "-m", f"picogpt.projects.{run.project}", *words]),
        seconds=round(time.monotonic() - run.began, 1),
        settings=settings,
        results=results,
        published=published,
    )
    with atomic_write(run.folder / "result.json") as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
    for what, result in results.items():
        print(f"{what}: {result}")
        if what in published:
            print(f"  published: {published[what]}")
