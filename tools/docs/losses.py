"""Train the same model with each option alone, and put the held-out losses into docs/options.md.

usage: python tools/docs/losses.py run [TABLE ...]   hours: what is not yet in docs/losses.json
       python tools/docs/losses.py                   makes the tables anew, of what is there

  TABLE   options: each option of the model; optimizers; initial: the ways to draw the first weights, with
          three seeds and four times as many updates (all three)

A training is `python -m picogpt.train tests/data/tinyshakespeare.txt` with its defaults but for SHORT or
WHOLE, the seed, and the flags of its row. It computes on one core; what it writes lies in a temporary folder.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

from picogpt.checkpoints.weights import read_hparams
from picogpt.params.shapes import n_params
from picogpt.system.files import atomic_write
from picogpt.train.journal import LOG, read_log

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
TEXT = "tests/data/tinyshakespeare.txt"
SHORT = "--steps 500 --eval_every 500 --eval_batches 40 --threads 1"
WHOLE = "--eval_every 2000 --eval_batches 40 --threads 1"  # all 2,000 updates, which are the default
SEEDS = 1337, 1338, 1339
GPT2 = ""  # no flags
OPTIONS = [  # the flags of a row; what docs/options.md says of each stands there
    *(GPT2, "--positions rotary", "--positions alibi", "--positions none", "--norm post", "--tied false"),
    *("--initial small", "--initial igpt --tied false", "--time_mixing true", "--time_weighting full"),
    *("--time_weighting circulant", "--bias false", "--gelu erf", "--gelu quick", "--activation relu"),
    *("--activation silu", "--activation tanh", "--n_inner 256", "--band 16", "--scale_by_layer true"),
    *("--scale_by_width false", "--rms true", "--rezero true", "--initial orthogonal"),
    *("--initial orthogonal --rezero true", "--time_mixed 48", "--positions none --time_weighting full"),
    *(
        "--positions none --time_mixing true",
        "--positions none --time_weighting full --time_mixing true",
    ),
]
OPTIMIZERS = [GPT2, "--optimizer muon"]
INITIAL = [
    *(GPT2, "--initial small", "--initial orthogonal"),
    *("--tied false", "--initial igpt --tied false"),
]
TABLES = dict(options=OPTIONS, optimizers=OPTIMIZERS, initial=INITIAL)
HEADINGS = dict(  # under which the tables stand
    options="## What each option does to the loss",
    optimizers="## AdamW and Muon",
    initial="## Initial weights, with three seeds",
)


def plan(table):
    """Return what a table needs: (flags of the row, seed, budget) of each training."""
    seeds, budget = (SEEDS, WHOLE) if table == "initial" else (SEEDS[:1], SHORT)
    return [(flags, seed, budget) for seed in seeds for flags in TABLES[table]]


def command(flags, seed, budget=SHORT):
    """Return the command of a training, which is also the name of its record."""
    return f"python -m picogpt.train {TEXT} {budget} --seed {seed} {flags}".strip()


def train(words):
    """Return the record of a training: {parameters, held-out loss, seconds of the processor's time}."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, *words.split()[1:], "--out", f"{folder}/model", "--sample_every", "0"],
            cwd=REPOSITORY, check=True, capture_output=True, encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        log, hparams = read_log(Path(folder, "model", LOG)), read_hparams(Path(folder, "model"))
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    losses = [record["val_loss"] for record in log if "val_loss" in record]
    return {"parameters": n_params(hparams), "held-out loss": losses[-1], "seconds": round(seconds, 1)}


def recorded():
    """Return the records that there are: {command: record}."""
    path = DOCS / "losses.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def run(tables):
    """Make the trainings of these tables that have no record; keep the record of each at once."""
    for table in tables:
        for training in plan(table):
            words, records = command(*training), recorded()
            if words not in records:
                records[words] = train(words)
                print(words, records[words], flush=True)
                with atomic_write(DOCS / "losses.json") as file:
                    file.write(json.dumps(records, indent=1).encode() + b"\n")


def rows(table, records):
    """Return the lines of a table of one seed: parameters, loss, and how far it is from the first row's."""
    first = records[command(GPT2, SEEDS[0])]
    lines = ["| | parameters | held-out loss | less than GPT-2's by |", "|---|---|---|---|"]
    for flags, *how in plan(table):
        if record := records.get(command(flags, *how)):
            loss = record["held-out loss"]
            less = f"{first['held-out loss'] - loss:.3f}".replace("-", "−") if flags else ""
            lines.append(f"| {said(flags)} | {record['parameters']:,} | {loss:.3f} | {less} |")
    return lines


def seeds(records):
    """Return the lines of a table of several seeds: each loss, their mean and their standard deviation."""
    lines = [f"| | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean | standard deviation |"]
    lines += ["|---" * (len(SEEDS) + 3) + "|"]
    for flags in INITIAL:
        found = [records.get(command(flags, seed, WHOLE), {}).get("held-out loss") for seed in SEEDS]
        spread = ["", ""] if None in found else [mean(found), stdev(found)]
        shown = " | ".join("" if not loss else f"{loss:.3f}" for loss in [*found, *spread])
        lines.append(f"| {said(flags)} | {shown} |")
    return lines


def said(flags):
    """Return how a row is called.

    >>> said("--norm post"), said("")
    ('`--norm post`', 'GPT-2')
    """
    return f"`{flags}`" if flags else "GPT-2"


def page(text, records):
    """Return docs/options.md with the first table under each heading as the records say."""
    for table, heading in HEADINGS.items():
        made = seeds(records) if table == "initial" else rows(table, records)
        before, found, after = text.partition(f"\n{heading}\n")
        if found:
            old = re.search(r"^\|.*\n(\|.*\n)*", after, re.MULTILINE)
            after = after[: old.start()] + "\n".join([*made, after[old.end() :]])
        text = before + found + after
    return text


def main():
    """Run what is asked for, or make the tables."""
    what, *tables = sys.argv[1:] or ["tables"]
    if what not in ("run", "tables") or not {*tables} <= TABLES.keys():
        sys.exit(__doc__)
    if what == "run":
        run(tables or TABLES)
        return
    path = DOCS / "options.md"
    text = page(path.read_text(encoding="utf-8"), recorded())
    with atomic_write(path) as file:
        file.write(text.encode())


if __name__ == "__main__":
    interrupt.quietly(main)
