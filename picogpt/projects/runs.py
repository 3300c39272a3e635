"""What the projects share: the folder of a run, with its log, its model and its result."""

import json
import logging
import shlex
import sys
import time
from pathlib import Path

from picogpt.files import atomic_write

log = logging.getLogger("picogpt")
RESULT, LOG = "result.json", "log.jsonl"


def new_folder(out):
    """Make the folder of a run and return it; ValueError rather than write over what a folder holds."""
    folder = Path(out)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: --out names another folder, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    return folder


def logged(updates, folder, every=100, look=lambda step: {}, before=()):
    """Pass on each (step, loss, gradient norm) of `trainer.updates`, noting them in `folder`/log.jsonl.

    A line has also what look(step) returns, and the seconds since step 0. `before` are the lines of the steps
    before these, with which the file begins.
    """
    begin = time.monotonic() - (before[-1]["seconds"] if before else 0)
    with open(folder / LOG, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in before)
        for step, loss, norm in updates:
            line = dict(step=step, loss=loss, norm=norm) | look(step)
            file.write(json.dumps(line | dict(seconds=round(time.monotonic() - begin, 3))) + "\n")
            if step % every == 0:
                log.info("step %d: loss %.5f, gradient %.3f", step, loss, norm)
            yield step, loss, norm


def read_log(folder):
    """Return the lines of a run's log, one for each update."""
    path = folder / LOG
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def save_result(folder, project, settings, seconds, results, published):
    """Write result.json: what was run, how long it took, what came out, and what the ancestors report."""
    command = shlex.join(["python", "-m", f"picogpt.projects.{project}", *sys.argv[1:]])
    record = dict(project=project, command=command, seconds=round(seconds, 1), settings=settings)
    record |= dict(results=results, published=published)
    with atomic_write(folder / RESULT) as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
