"""What the projects have in common: how a run begins or resumes, its training, and its result.

    run = open_run(adder, locals())                         checks flags and folder, and writes nothing yet
    state = start(run, params, c)                           the beginning or, with --resume, what was saved
    records = train(run, state, c, draw, gradients, look)   writes settings.json, log.jsonl, and states
    finish(run, results, published)                         writes result.json

A run that was killed, at any moment, resumes to the same bytes. All that comes before the training is made
again from the flags, which are in settings.json; then the trained arrays are filled from the saved state.

With --processes all of them do all of this, until the training is over: then the first goes on alone. Only it
writes.
"""

import contextlib
import functools
import hashlib
import json
import logging
import math
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

from picogpt.params.tree import flatten, tree_map, walk
from picogpt.system import command, folders, interrupt, machine, progress
from picogpt.system.files import atomic_write
from picogpt.system.flags import File
from picogpt.system.signature import CALL, FREE, Usual, names_of
from picogpt.text import data
from picogpt.train import journal, launch, parallel, prepare, trainer
from picogpt.train.prepare import SETTINGS
from picogpt.train.state import STATE, layout, load_state

log = logging.getLogger("picogpt")
USUAL = dict(precision="float32")  # where a state is older than the setting
DATA = Path(__file__).parents[2] / "tests" / "data"  # in a checkout
SHAKESPEARE = DATA / "tinyshakespeare.txt"
Text = Annotated[File, Usual("tests/data/tinyshakespeare.txt")]


def main(project):
    """Run the function `project` as a command."""

    @functools.wraps(project)
    def of_many(**flags):
        with parallel.together():
            project(**flags)

    command.run(of_many, config=flags_file(project))


def flags_file(project):
    """Return the `config` of a project's command: with --resume, the flags that the run began with."""
    usual = command.parameters(project)["out"].default

    def saved(flags):
        path = Path(flags.get("out", usual), SETTINGS)
        resumes = flags.get("resume", "").lower() == "true"
        return (path, names_of(project, CALL), module_of(project)) if resumes and path.is_file() else None

    return saved


def open_run(project, flags, read=data.read_text):
    """Return a run of the function `project`, after checks of its flags and its folder.

    It has project, flags, settings (these, and what a state depends on), folder, resume, began, the text of
    FILE, as read(FILE) returns it, and comm, of all processes. ValueError if files would be overwritten, or
    if there is no state to resume from.
    """
    flags = dict(flags)
    folder, resume, overwrite = Path(flags["out"]), flags.pop("resume"), flags.pop("overwrite")
    if resume and overwrite:
        command.usage_error("--overwrite has no effect with --resume: give one of them")
    command.check(project, flags)
    comm = parallel.world()
    if flags.get("batch_size") and flags["batch_size"] < comm.size:
        command.usage_error(
            f"--batch_size {flags['batch_size']} leaves nothing for some of {comm.size} processes"
        )
    if comm.rank == 0:
        check_folder(folder, resume, overwrite)
        launch.start(flags["processes"], module_of(project))
        if resume := resume and (folder / STATE).is_file():  # else it is begun again, by its flags
            folders.acquire(folder, [STATE])
    resume = parallel.broadcast(comm, resume)
    for name, flag in (("file", "FILE"), ("test", "--test")):
        path = Path(flags.get(name, ""))
        if path.parent == DATA and not path.exists():
            raise FileNotFoundError(f"the installed package has no {path.name}: give a file as {flag}")
    settings, text = dict(flags), None
    if "file" in flags:
        text = read(flags["file"])
        if not text:
            raise ValueError(f"{flags['file']} is empty: give a text to train on")
        settings["sha256"] = hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
    machine.set_threads(settings["threads"])
    machine.keep_memory()
    log.setLevel(logging.INFO)
    began = time.monotonic()
    run = dict(project=project, flags=flags, settings=settings, folder=folder, began=began, text=text)
    return SimpleNamespace(**run, resume=resume, overwrite=overwrite, comm=comm)


def check_folder(folder, resume, overwrite):
    """Raise ValueError unless a run may begin, or go on, in the folder."""
    has_settings = folders.is_begun(folder) and (folder / SETTINGS).is_file()
    if resume and not (folder / STATE).is_file() and not has_settings:
        raise ValueError(f"{folder} holds no state to resume from: begin without --resume")
    prepare.check_folder(folder, resume, overwrite)


def given(flags):
    """Return the flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


def start(run, params, c):
    """Return the state of a training by the recipe `c`: new or, with --resume, as saved.

    `params` are trained in place, and a saved state is put into them. The time that its updates have taken
    counts as this run's.
    """
    run.settings |= given(vars(c))
    state = trainer.begin(params, run.settings["seed"], getattr(c, "precision", "float32"))
    arrays = dict(params=state["params"], moments=state["moments"])
    if run.resume and run.comm.rank == 0:
        with folders.release_on_error(run.folder):
            state = read_state(run, arrays)
    rest = {name: value for name, value in state.items() if name not in arrays}
    rest = parallel.broadcast(run.comm, rest)
    parallel.broadcast_into(run.comm, arrays)
    return rest | arrays


def read_state(run, arrays):
    """Return the state that was saved, and fill the arrays from it."""
    saved = load_state(run.folder / STATE, fixed(run), USUAL)
    saved_arrays = flatten(dict(params=saved["params"], moments=saved["moments"]))
    if layout(arrays) != layout(saved_arrays):
        raise ValueError(f"{run.folder} began from another model: resume with that, or use another --out")
    path, step = run.folder / journal.LOG, saved["step"]
    done = [record for n, record in enumerate(journal.read_log(path)[:step], 1) if is_update(record, n)]
    if len(done) < step:
        raise ValueError(
            f"{path} is damaged after update {len(done)} of {step}: begin anew with another --out"
        )
    run.began -= sum(record["seconds"] for record in done)
    for name, array in walk(arrays):
        array[...] = saved_arrays[name]
    return saved


def is_update(record, n):
    """Return whether a record of the log is that of update n, with what is asked of it, all numbers."""
    kinds = {*map(type, record.values())}
    return record["step"] == n and {"loss", "lr", "seconds"} <= record.keys() and kinds <= {int, float}


def train(run, state, c, draw, gradients, look=lambda step: {}, end=math.inf):
    """Make the updates that are left, see `trainer.updates`; return the records of all, see journal.py.

    look(step) returns what a record should have besides, such as a test of the model. The state is saved
    before the first update, about every half minute, and at the end, or once time.monotonic() has passed
    `end`. Of many processes only the first comes back; the others have done their part.
    """
    comm, first = run.comm, run.comm.rank == 0
    if first and not run.resume:
        of_the_call = names_of(run.project, CALL)
        flags = {name: value for name, value in given(run.flags).items() if name not in of_the_call}
        prepare.begin_in(run.folder, False, run.overwrite, dict(command=module_of(run.project)) | flags)
    with (
        folders.release_on_error(run.folder),
        progress.shown(c.steps, state["step"], "step", hidden=not first) as bar,
        journal.open_log(run.folder, state["step"]) if first else contextlib.nullcontext() as file,
        interrupt.asked(f"go on with: {command_to_go_on(run)}", patience=float(comm.size > 1)) as request,
    ):
        next_save = save(run, state, file)
        request.end(parallel.broadcast(comm, request.number), state["step"], c.steps)
        for record in trainer.updates(state, c, draw, gradients, comm):
            found = look(record["step"])
            if first:
                report(record, found, file, bar)
            stop, ends = parallel.broadcast(comm, (request.number, time.monotonic() >= end))
            if ends:
                break
            if stop or time.monotonic() >= next_save:
                next_save = save(run, state, file)
            if stop:
                parallel.broadcast(comm, None)  # the others wait until the first one has saved the state
                request.end(stop, state["step"], c.steps)
        save(run, state, file)
    if not first:
        sys.exit(0)
    return journal.read_log(run.folder / journal.LOG)


def report(record, found, file, bar):
    """Write the record of an update, with what `look` found, into the log, and show it."""
    if found:
        said = ", ".join(f"{name} {value:.5g}" for name, value in found.items())
        log.info("step %d: %s", record["step"], said)
    journal.write(file, record | found)
    bar.show(
        record["step"], f"step {record['step']}, loss {record['loss']:.3f}, gradient {record['norm']:.2f}"
    )


def save(run, state, file):
    """Save the state, see `trainer.save`, by the first process; return when to save it the next time."""
    if run.comm.rank:
        return math.inf
    arrays = tree_map(to_cpu, dict(params=state["params"], moments=state["moments"]))
    return trainer.save(run.folder, state | arrays, fixed(run), file)


def fixed(run):
    """Return what must stay the same when a run resumes."""
    free = names_of(run.project, FREE, CALL)
    return {name: value for name, value in run.settings.items() if name not in free}


def to_cpu(array):
    """Return an array in the processor's memory, where one of CuPy's is not."""
    return array.get() if hasattr(array, "get") else array


def finish(run, results, published):
    """Print the results, and write them to result.json with all that led to them and what others report.

    Files are named as seen from the current folder, in which the command can be given again.
    """
    here = f"{Path.cwd()}/"
    settings = {k: v.removeprefix(here) if isinstance(v, str) else v for k, v in run.settings.items()}
    record = dict(
        project=run.project.__name__,
        command=command_of(run).replace(here, ""),
        seconds=round(time.monotonic() - run.began, 1),
        settings=settings,
        results=results,
        published=published,
    )
    with atomic_write(run.folder / "result.json") as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
    folders.release(run.folder)
    for what, result in results.items():
        print(*lines(what, result), sep="\n")
        if what in published:
            print(*lines("published", published[what], "  "), sep="\n")


def command_of(run):
    """Return the command that began the run, with the flags that are not the usual ones."""
    words = ["python", "-m", module_of(run.project)]
    for name, parameter in command.parameters(run.project).items():
        value = run.flags.get(name)
        if value not in (None, parameter.default):
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def command_to_go_on(run):
    """Return the command by which a run goes on."""
    return shlex.join(["python", "-m", module_of(run.project), "--resume", "--out", str(run.folder)])


def module_of(project):
    """Return the name by which Python runs a project's command: picogpt.projects.adder, say."""
    module = project.__module__
    if module == "__main__" and (spec := sys.modules[module].__spec__):
        module = spec.name
    return module.removesuffix(".cli")


def lines(what, result, indent=""):
    """Yield the lines that tell a result; the entries of a dict have lines of their own.

    >>> print(*lines("loss", {100: 4.27058744430542, 200: 3.5}), sep="\\n")
    loss:
      100: 4.2706
      200: 3.5
    """
    if isinstance(result, dict):
        yield f"{indent}{what}:"
        for name, value in result.items():
            yield from lines(name, value, indent + "  ")
    else:
        yield f"{indent}{what}: {result:.5g}" if isinstance(result, float) else f"{indent}{what}: {result}"


def listed(mistakes, n=20):
    """Return mistakes as one text: the first n, and how many more there are.

    >>> listed(["1 + 1 = 3", "2 + 2 = 5"], n=1), listed([])
    ('1 + 1 = 3; ... and 1 more', 'none')
    """
    more = [f"... and {len(mistakes) - n} more"] if len(mistakes) > n else []
    return "; ".join([*mistakes[:n], *more]) or "none"
