"""What a training reports of itself: log.jsonl in its folder, with a line of JSON for each update.

    {"step": 250, "tokens": 192000, "loss": 2.41, "lr": 0.002, "norm": 0.7, "ratio": 0.003, "seconds": 0.02}
    {"step": 250, "train_loss": 2.40, "val_loss": 2.43}

An update's line has its number, the tokens so far, loss in nats, learning rate, the gradient's norm before
clipping, in every tenth the update's length relative to the weights', and its time; an evaluation's the mean
losses. The projects write both into one line.
"""

import json
import logging
import math
import os
from pathlib import Path

from picogpt.system.files import atomic_write, naming, open_file, open_own, parse_json

log = logging.getLogger("picogpt")
LOG = "log.jsonl"
LONGEST = 10_000  # bytes of a line; ours have 200


def open_log(folder, step):
    """Return the log, open for more; what a training that resumes at `step` does again is cut off.

    That is what came after the update `step`, also its evaluation.
    """
    path = Path(folder, LOG)
    kept = [
        record
        for record in (read_log(path) if path.is_file() else [])
        if record["step"] < step or (record["step"] == step and "loss" in record)
    ]
    if (n := sum("loss" in record for record in kept)) < step:
        log.warning("%s is damaged: it tells of %d updates, and %d are done", path, n, step)
    with atomic_write(path) as file:
        file.writelines(line(record).encode() for record in kept)
    return open_own(path, "ab", buffering=0)  # each line is written at once


def read_log(path):
    """Return the records of a log; one that was cut short, as by a power cut, ends it."""
    records = []
    with open_file(path) as file:
        while text := file.readline(LONGEST):
            try:
                record = parse_json(text)
                record["step"] += 0
            except (ValueError, TypeError, KeyError):
                break
            records.append(record)
    return records


def write(file, record):
    """Append a record to the log; a number that is not one, as the loss over no text, is left out."""
    rest = line({key: value for key, value in record.items() if not math.isnan(value)}).encode()
    with naming(file.name):
        while rest:
            rest = rest[file.write(rest) :]


def sync(file):
    """Return once all of the log is on the disk: before a state that counts on it is saved."""
    with naming(file.name):
        os.fsync(file.fileno())


def line(record):
    """Return the record as a line of JSON."""
    return json.dumps(record) + "\n"
