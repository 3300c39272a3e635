"""What the projects share: the folder of a run, with its log, its model and its result."""

import json
import logging
import shlex
import sys
import time
from pathlib import Path

from picogpt.files import atomic_write

log = logging.getLogger("picogpt")
LOG = "log.jsonl"


def new_folder(out):
    """Make the folder of a run and return it; ValueError rather than write over what a folder holds."""
    folder = Path(out)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: delete it, or name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    return folder


def logged(updates, folder, every=100, look=lambda step: {}, before=()):
    """Pass on the (step, loss, gradient norm) of `trainer.updates`, each as a line of log.jsonl.

    A line has what look(step) adds, too, and the seconds since step 0. `before` are the lines of a training
    that goes on.
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
    """Return the lines of log.jsonl, if there are any."""
    path = folder / LOG
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def save_result(folder, project, settings, seconds, results, published):
    """Print the results, and write them to result.json with all that led to them and what others report."""
    command = shlex.join(["python", "-m", f"picogpt.projects.{project}", *sys.argv[1:]])
    record = dict(project=project, command=command, seconds=round(seconds, 1), settings=settings)
    record |= dict(results=results, published=published)
    with atomic_write(folder / "result.json") as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
    for what, result in results.items():
        print(f"{what}: {result}")
        if what in published:
            print(f"  published: {published[what]}")
