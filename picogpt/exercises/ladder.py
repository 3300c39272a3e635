"""Rebuild picogpt yourself, function by function, up to a GPT-2 that writes and learns.

usage: python -m picogpt.exercises start DIR
       python -m picogpt.exercises check [RUNG] [--dir DIR]
       python -m picogpt.exercises hint RUNG [--solution]
       python -m picogpt.exercises status [--dir DIR]

  start DIR           lay out in DIR/picogpt the files to fill in: picogpt's own, in which the functions of
                      the ladder have lost their bodies and kept their docstrings, the statement of the task
  check               check rung after rung, up to the first that is not right, and say what is wrong there
  check RUNG          check one rung, with your own functions of the rungs below
  hint RUNG           say a little more
  status              show the ladder, and which rungs are passed

  --dir DIR           where your files are (the folder that you are in)
  --solution          with hint: show picogpt's own

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

from picogpt.exercises import lay_out
from picogpt.exercises.lay_out import LADDER, SOURCES
from picogpt.system import command

LIMIT = 30  # seconds for a rung; the slowest takes a fifth of that
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
    print(f"\nThe first of {len(LADDER)} rungs is {first.name}: write {', '.join(first.functions)}, then")
    print(f"  cd {name}; python -m picogpt.exercises check")


def hint(name, solution, **_):
    """Print the hint of a rung, or its solution."""
    rung = LADDER[name]
    if solution:
        print("\n\n".join(lay_out.solution(function).rstrip() for function in rung.functions))
    else:
        print(f"{name}: {', '.join(rung.functions)}\n{textwrap.fill(rung.hint, 100)}")


def check(name, dir, **_):
    """Print what is wrong with a rung, or with the first that is not passed; exit with 1 if one is not."""
    for rung, problems in examined(dir, [name] if name else list(LADDER)):
        print(f"{rung}: {'not ' if problems else ''}passed", flush=True)
        if problems:
            print("".join(f"  {line}\n" for line in problems), end="")
            print(f"  A hint: python -m picogpt.exercises hint {rung}")
            sys.exit(1)
    if not name:
        print(
            "You have rebuilt GPT-2. In this folder, python -m picogpt and python -m picogpt.train are yours."
        )


def status(dir, **_):
    """Print a line for each rung, with the functions it asks for."""
    passed = 0
    for rung, problems in examined(dir, list(LADDER)):
        passed += not problems
        state = "passed" if not problems else "" if UNWRITTEN in " ".join(problems) else "not passed"
        print(f"{rung:24s}{state:12s}{', '.join(LADDER[rung].functions)}", flush=True)
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
            yield names.pop(0), [obituary("".join(said), folder)]


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


def obituary(said, folder):
    """Return why the process ended, from what it last wrote: where it was in the reader's files."""
    why = f"Your code did not end within {LIMIT} seconds" if "Timeout" in said else "Your code ended Python"
    at = re.findall(
        rf'File "{re.escape(str(folder))}[/\\]+picogpt[/\\]+(\w+\.py)", line (\d+) in (\w+)', said
    )
    return f"{why}{': it was in {}, line {}, in {}'.format(*at[0]) if at else ''}."
