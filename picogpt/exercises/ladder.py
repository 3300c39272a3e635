"""Rebuild picogpt yourself, function by function, up to a GPT-2 that writes and learns.

usage: python -m picogpt.exercises start DIR
       python -m picogpt.exercises check [RUNG] [--dir DIR]
       python -m picogpt.exercises hint RUNG [--solution]
       python -m picogpt.exercises status [--dir DIR]

  start DIR           lay out in DIR/picogpt the files to fill in: picogpt's own, in which the functions of
                      the ladder have lost their bodies and kept their docstrings, the statement of the task
  check               check rung after rung, up to the first that is not right, and say what is wrong there,
                      or where to write next
  check RUNG          check one rung, with your own functions of the rungs below
  hint RUNG           say a little more
  status              show the ladder, and which rungs are passed

  --dir DIR           where your files are (the folder that you are in)
  --solution          with hint: show a plain solution, and where picogpt's own is

What you print goes to the terminal. In DIR, `python -m picogpt` is yours, as far as it is written.

Exit codes: 0 done, or passed; 1 error, or not passed; 2 wrong usage.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from picogpt.exercises import examine, lay_out, mistakes
from picogpt.exercises.lay_out import LADDER, SOURCES, place
from picogpt.system import command

HINT = "python -m picogpt.exercises hint"
LIMIT = 30  # seconds for a rung, see `examine.seconds`; most take less than one
UNWRITTEN = "is not written yet"


def exercises(action: str, name: str = "", *, dir: str = ".", solution: bool = False):
    """Do as the docstring of this module says."""
    actions = dict(start=begin, check=check, hint=hint, status=status)
    if action not in actions:
        command.usage_error(f"{action!r} is none of {', '.join(actions)}")
    if solution and action != "hint":
        command.usage_error("--solution goes with hint")
    if name and action == "status":
        command.usage_error("status shows all rungs")
    if not name and action in ("start", "hint"):
        command.usage_error(f"{action} needs {'a folder' if action == 'start' else 'the name of a rung'}")
    if name and action != "start" and name not in LADDER:
        command.usage_error(f"there is no rung {name!r}; the rungs are {', '.join(LADDER)}")
    actions[action](name=name, dir=dir, solution=solution)


def begin(name, **_):
    """Lay out the ladder."""
    for path in lay_out.start(name):
        print(path)
    first = next(iter(LADDER.values()))
    print(f"\nThe first of {len(LADDER)} rungs is {first.name}: write {places(first, name)}. Then")
    print(f"  cd {name}; python -m picogpt.exercises check\nIf you are stuck: {HINT} {first.name}")


def places(rung, folder):
    """Return in words where the functions of a rung are to be written."""
    return ", ".join(f"{name.partition(':')[2]} in {place(name, folder)}" for name in rung.functions)


def hint(name, solution, **_):
    """Print the hint of a rung, or its solution."""
    rung = LADDER[name]
    if solution:
        print(mistakes.solution(name))
        print(f"picogpt's own: {places(rung, SOURCES.parent)}")
    else:
        print(f"{name}: {places(rung, '.')}\n{textwrap.fill(rung.hint, 100)}")


def check(name, dir, **_):
    """Print what is passed, and what is wrong with the first rung that is not, if any; then exit with 1."""
    passed = []
    for rung, problems in examined(dir, [name] if name else list(LADDER)):
        if problems:
            print(f"{', '.join(passed)}: passed" if passed else "", end="\n" * bool(passed))
            complain(LADDER[rung], problems, dir)
            sys.exit(1)
        passed.append(rung)
    print(f"{', '.join(passed)}: passed")
    if not name:
        print(
            "You have rebuilt GPT-2. In this folder, python -m picogpt and python -m picogpt.train are yours."
        )


def complain(rung, problems, folder):
    """Print where to write a rung, or what is wrong with it; if it is no usual mistake, name the hint."""
    if UNWRITTEN in problems[-1]:
        print(f"{rung.name}: {problems[-1]}\n  Write {places(rung, folder)}")
        return
    print(f"{rung.name}: not passed", *problems, sep="\n  ")
    print(f"  It is about {places(rung, folder)}")
    if problems[-1] not in [said for _, said in mistakes.mistakes(rung.name)]:
        print(f"  A hint: {HINT} {rung.name}")


def status(dir, **_):
    """Print a line for each rung, with the functions it asks for."""
    passed = 0
    for rung, problems in examined(dir, list(LADDER)):
        passed += not problems
        state = "not passed" if problems else "passed"
        if UNWRITTEN in " ".join(problems):
            state = ""
        print(f"{rung:24s}{state:12s}{places(LADDER[rung], dir)}", flush=True)
    print(f"{passed} of {len(LADDER)} rungs are passed")


def examined(folder, names):
    """Yield (rung, what is wrong with it) in order, from a process in which the reader's code runs.

    If the reader's code ends the process, or takes too long, that is what is wrong, and a new one goes on.
    """
    folder, names = Path(folder).resolve(), list(names)
    if not (folder / "picogpt").is_dir() or folder == SOURCES.parent:
        raise ValueError(
            f"{folder} has no files to check: begin with start DIR, then go there or give --dir DIR"
        )
    while names:
        said = []
        with run(folder, names) as process:
            try:
                for line in process.stdout:
                    if line.startswith("["):
                        yield names.pop(0), json.loads(line)
                    else:
                        said.append(line)
            finally:
                process.kill()
        if names:
            name = names.pop(0)
            yield name, [obituary("".join(said), folder, examine.seconds(name, LIMIT))]


def run(folder, names):
    """Start examine.py in a process whose picogpt is this one, not the reader's; one core is enough."""
    paths = [str(SOURCES.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join(paths), OPENBLAS_NUM_THREADS="1")
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCES.parent)!r}); from picogpt.exercises import examine;"
    )
    program += f" examine.main({str(folder)!r}, {names!r}, {LIMIT})"
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def obituary(said, folder, limit):
    """Return why the process ended, from what it last wrote: where it was in the reader's files."""
    why = f"Your code did not end within {limit} seconds" if "Timeout" in said else "Your code ended Python"
    at = re.findall(
        rf'File "{re.escape(str(folder))}[/\\]+(picogpt[/\\][\w/\\]+\.py)", line (\d+) in (\w+)', said
    )
    return f"{why}{': it was in {}, line {}, in {}'.format(*at[0]) if at else ''}."
