"""What the projects share: the folder of a run, with its log, its model and its result."""

import json
import logging
import shlex
import sys
from pathlib import Path

from picogpt import journal
from picogpt.files import atomic_write

log = logging.getLogger("picogpt")
SHAKESPEARE = Path(__file__).parents[2] / "tests" / "data" / "tinyshakespeare.txt"  # in a checkout


def new_folder(out):
    """Make the folder of a run and return it; ValueError rather than write over what a folder holds."""
    folder = Path(out)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: delete it, or name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    return folder


def logged(updates, folder, step=0, every=100, look=lambda step: {}):
    """Pass on the records of `trainer.updates` from `step` on, each as a line of log.jsonl, see journal.py.

    A line has what look(step) adds, too.
    """
    with journal.open_log(folder, step) as file:
        for record in updates:
            record |= look(record["step"])
            journal.write(file, record)
            if record["step"] % every == 0:
                log.info("step %d: loss %.5f, gradient %.3f", *map(record.get, ("step", "loss", "norm")))
            yield record


def save_result(folder, project, settings, seconds, results, published):
    """Print the results, and write them to result.json with all that led to them and what others report.

    Files are named as seen from the current folder, in which the command can be given again.
    """
    here = f"{Path.cwd()}/"
    settings = {name: v.removeprefix(here) if isinstance(v, str) else v for name, v in settings.items()}
    command = shlex.join(["python", "-m", f"picogpt.projects.{project}", *sys.argv[1:]])
    record = dict(project=project, command=command, seconds=round(seconds, 1), settings=settings)
    record |= dict(results=results, published=published)
    with atomic_write(folder / "result.json") as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
    for what, result in results.items():
        print(f"{what}: {result}")
        if what in published:
            print(f"  published: {published[what]}")
