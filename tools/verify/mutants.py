"""mutants - make small wrong edits of the code, one at a time, and see that the tests notice each

usage: python tools/verify/mutants.py [FILE ...]

Each edit of edits.py (those of FILE alone, if any are given) is made in a temporary copy of the repository,
where only the tests that must fail with it are run. First all of these are run on the code as it is, where
they must pass. Prints a row for each edit, and how many were noticed; docs/faults.md has the figures. An edit
is noticed too if the tests do not end in time, as it may make a program hang: on a busy machine, look again.

Exit codes: 0 all were noticed, 1 some were not, or a test fails without an edit; 2 wrong usage.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))
from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line

import os
import shutil
import subprocess
import tempfile

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
from verify.edits import EDITS

LIMIT = 120  # seconds for the tests of an edit: one that makes a program hang is noticed too
LEFT_OUT = shutil.ignore_patterns(".git", "__pycache__", "runs", ".venv", "*.egg-info")
FAILED = 1  # pytest's exit code where tests were run and one failed; others say that none was run
TOO_LONG = -1  # and ours, where they did not end within the limit


def main(files):
    """Try the edits of these files, of all without any; return the exit code."""
    if unknown := [file for file in files if file not in EDITS]:
        print(f"mutants: {unknown[0]} has no edits: see tools/verify/edits.py", file=sys.stderr)
        return 2
    edits = [(file, *edit) for file in files or EDITS for edit in EDITS[file]]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(REPOSITORY, Path(folder, "copy"), ignore=LEFT_OUT))
        if code := run(copy, sorted({test for *_, tests in edits for test in tests.split()})):
            print(
                f"mutants: pytest ends with {code} on the code as it is: see to that first", file=sys.stderr
            )
            return 1
        missed = [edit for edit in edits if not is_noticed(copy, *edit)]
    print(f"{len(edits) - len(missed)} of {len(edits)} edits noticed")
    return int(bool(missed))


def is_noticed(copy, file, old, new, tests):
    """Make an edit in the copy, run the tests, take it back; print a row, and return whether they failed."""
    path, code = copy / file, (copy / file).read_text(encoding="utf-8")
    if code.count(old) != 1:
        raise SystemExit(
            f"mutants: {file} has {code.count(old)} times {old!r}: correct tools/verify/edits.py"
        )
    path.write_text(code.replace(old, new), encoding="utf-8")
    said = {FAILED: "noticed", TOO_LONG: "too long"}.get(run(copy, tests.split(), LIMIT), "MISSED")
    path.write_text(code, encoding="utf-8")
    print(f"{said:8} {file:36} {old!r} -> {new!r}", flush=True)
    return said != "MISSED"


def run(copy, tests, limit=None):
    """Run tests in the copy; return pytest's exit code, or TOO_LONG after `limit` seconds."""
    words = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(copy), "PICOGPT_THOROUGH": "1"}
    words += [f"tests/{test}" for test in tests]
    try:
        done = subprocess.run(
            words, cwd=copy, env=environment, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return TOO_LONG
    return done.returncode


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__.strip())
        sys.exit()
    sys.exit(main(sys.argv[1:]))
