"""Draw one or several trainings: loss, learning rate, length of gradient and update.

usage: python tools/plot.py RUN [RUN ...] --out FILE

  RUN              the folder of a training, or a log.jsonl
  --out FILE       the picture, .png, .svg or .pdf

Needs matplotlib: pip install -e ".[plot]"

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from picogpt.system import command
from picogpt.system.files import atomic_write, check_out
from picogpt.train.journal import LOG, read_log

log = logging.getLogger("picogpt")
CURVES = {  # of an update's record: the title of its axes, and whether they are logarithmic
    "loss": ("loss, nats per token", False),
    "lr": ("learning rate", False),
    "norm": ("length of the gradient, before clipping", True),
    "ratio": ("length of the update, relative to the weights'", True),
}


def plot(runs, out):
    """Write the picture of the trainings in the folders `runs` to `out`."""
    from matplotlib.figure import Figure  # needs no screen

    records = {run: read_run(run) for run in runs}
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = dict(zip(CURVES, figure.subplots(2, 2, sharex=True).flat, strict=True))
    for i, run in enumerate(runs):
        updates = [record for record in records[run] if "loss" in record]
        for key in CURVES:
            draw(axes[key], updates, key, f"C{i}", run)
        points = [(record["step"], record["val_loss"]) for record in records[run] if "val_loss" in record]
        axes["loss"].plot(*np.reshape(points, (-1, 2)).T, "o-", color=f"C{i}", markersize=3, linewidth=1)
    for key, (title, is_logarithmic) in CURVES.items():
        axes[key].set_title(title, fontsize=10)
        axes[key].grid(alpha=0.2)
        if is_logarithmic:
            axes[key].set_yscale("log")
    if any("val_loss" in record for run in runs for record in records[run]):
        axes["loss"].plot([], [], "o-", color="grey", markersize=3, linewidth=1, label="held-out text")
    for key in ("norm", "ratio"):
        axes[key].set_xlabel("updates")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    with atomic_write(out) as file:
        figure.savefig(file, format=Path(out).suffix[1:], dpi=150)
    log.info("%s is written: %s", out, "; ".join(last_of(run, records[run]) for run in runs))


def read_run(run):
    """Return the records of a training's log."""
    path = Path(run, LOG) if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it is the log of a training")
    records = read_log(path)
    if not any("loss" in record for record in records):
        raise ValueError(f"{path} tells of no update: there is nothing to draw")
    for record in records:
        for key in ("val_loss", *CURVES):
            if not isinstance(record.get(key, 0), int | float):
                raise ValueError(f"{path} gives {record[key]!r} as {key}: give the log of a training")
    return records


def last_of(run, records):
    """Return what a training has come to, in words.

    >>> last_of("runs/a", [dict(step=1, val_loss=2.0), dict(step=2, loss=1.5), dict(step=2, val_loss=1.75)])
    'runs/a, 2 updates, loss 1.500, held-out loss 1.750 at best'
    """
    updates = [record for record in records if "loss" in record]
    said = f"{run}, {updates[-1]['step']} updates, loss {updates[-1]['loss']:.3f}"
    held_out = [record["val_loss"] for record in records if "val_loss" in record]
    return said + (f", held-out loss {min(held_out):.3f} at best" if held_out else "")


def draw(axes, updates, key, colour, label):
    """Draw one number of each update as a thin line, and its running mean, where it jumps, as a thick one."""
    points = [(record["step"], record[key]) for record in updates if key in record]
    if not points:
        return
    steps, values = np.reshape(points, (-1, 2)).T
    width = max(1, len(values) // 50)
    label = label if key == "loss" else None
    if key == "lr" or width == 1:
        axes.plot(steps, values, color=colour, label=label)
        return
    axes.plot(steps, values, color=colour, linewidth=0.5, alpha=0.3)
    sums = np.cumsum([0, *values])
    means = (sums[width:] - sums[:-width]) / width
    axes.plot(steps[width - 1 :], means, color=colour, label=label)


def main():
    """Read the flags and draw."""
    logging.basicConfig(format="plot: %(message)s", force=True)
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = command.usage_error
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--out", default="")
    parser.add_argument("-h", "--help", action="store_true")
    c = parser.parse_args()
    if c.help:
        print(__doc__.strip())
        return
    if not c.runs:
        command.usage_error("RUN is missing: the folder of a training")
    if not c.out:
        command.usage_error("--out is missing: the picture, a .png, .svg or .pdf")
    if Path(c.out).suffix not in (".png", ".svg", ".pdf"):
        command.usage_error(f"--out names a .png, .svg or .pdf, not {c.out!r}")
    try:
        check_out(c.out)
        command.needs("matplotlib", "plot")
        plot(c.runs, c.out)
    except (ValueError, OSError) as error:
        log.error(command.sentence(error))
        sys.exit(1)


if __name__ == "__main__":
    interrupt.quietly(main)
