"""The log of a training: what is kept of it when the training resumes."""

import json
import math

import pytest

from picogpt.train import journal

RECORDS = [
    dict(step=0, train_loss=4.0, val_loss=4.1),
    dict(step=1, loss=3.9),
    dict(step=2, loss=3.8),
    dict(step=2, train_loss=3.7, val_loss=3.8),
    dict(step=3, loss=3.6),
]


def written(folder, records, step=0):
    with journal.open_log(folder, step) as file:
        for record in records:
            journal.write(file, record)
        journal.sync(file)
    return journal.read_log(folder / journal.LOG)


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (1, 2), (2, 3), (3, 5), (9, 5)])
def test_a_log_keeps_what_is_not_done_again(tmp_path, step, kept):
    assert written(tmp_path, RECORDS) == RECORDS
    assert written(tmp_path, [], step) == RECORDS[:kept]
    assert written(tmp_path, RECORDS[kept:], step) == RECORDS


@pytest.mark.parametrize("tail", ['{"step": 4, "lo', "[4]\n", '{"loss": 1}\n', "\0\0\0\0", "4"])
def test_a_line_that_was_not_written_whole_ends_the_log(tmp_path, tail):
    written(tmp_path, RECORDS)
    with open(tmp_path / journal.LOG, "a") as file:
        file.write(tail)
    assert written(tmp_path, [dict(step=4, loss=3.5)], 3) == [*RECORDS, dict(step=4, loss=3.5)]


def test_a_log_that_lacks_updates_is_named(tmp_path, caplog):
    written(tmp_path, RECORDS)
    written(tmp_path, [], 3)
    assert caplog.messages == []
    written(tmp_path, [], 4)
    assert caplog.messages == [f"{tmp_path / journal.LOG} is damaged: it tells of 3 updates, and 4 are done"]


def test_a_line_has_a_longest(tmp_path):
    line = b'{"step": 1, "loss": 1}'
    for n, kept in ((10_000 - len(line), 1), (10_000 - len(line) + 2, 0)):
        (tmp_path / journal.LOG).write_bytes(b" " * (n - 1) + line + b"\n")
        assert len(journal.read_log(tmp_path / journal.LOG)) == kept


def test_what_the_disk_takes_in_parts_is_written_whole(tmp_path):
    class Slow:
        name, taken = "log.jsonl", b""

        def write(self, data):
            self.taken += data[:3]
            return len(data[:3])

    file = Slow()
    journal.write(file, dict(step=1, loss=2.5))
    assert file.taken == b'{"step": 1, "loss": 2.5}\n'


def test_each_line_is_there_at_once_and_is_json(tmp_path):
    with journal.open_log(tmp_path, 0) as file:
        journal.write(file, dict(step=0, train_loss=4.0, val_loss=math.nan))
        [line] = (tmp_path / journal.LOG).read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == dict(step=0, train_loss=4.0)
