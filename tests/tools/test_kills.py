"""tools/verify/kills.py: its commands are ones that there are, and what differs is noticed."""

import re

import pytest
from processes import REPOSITORY, run_python
from thorough import first

pytest.importorskip("fcntl", reason="it forks, which Windows cannot")
KILLS = REPOSITORY / "tools" / "verify" / "kills.py"
NEEDS = {"images": "sklearn", "masked images": "sklearn", "convert --to gguf": "gguf"}
NAMES = (  # the first two in the quick run
    "sorter", "convert --to tf", "train", "train --tokenizer gpt2", "adder", "chars",
    "words, and its tokenizer", "finetune", "finetune --lora --adapters", "images", "masked images", "talk",
    "classify", "convert --to picogpt", "convert --to hf",
    "convert --to llmc", "convert --to gguf", "download",
)  # fmt: skip


def test_each_command_that_it_knows_is_tried_here():
    known = run_python(KILLS, "--help").out.split("positional arguments")[0].splitlines()
    assert {*NAMES} == {line.strip() for line in known[known.index("train") :]} - {""}


@pytest.mark.parametrize("name", first(2, NAMES))
def test_a_command_that_is_killed_begins_or_resumes_to_the_same_bytes(name, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    done = run_python(KILLS, name, "--n", "3", TMPDIR=str(tmp_path))
    assert done.code == 0, done.err
    found = re.fullmatch(
        re.escape(name)
        + r": killed 3 times, (\d) with nothing there yet, (\d) with some; the same bytes 3 times\n",
        done.out,
    )
    assert int(found[1]) + int(found[2]) == 3


SPOILT = """
import sys
sys.argv[0] = {path!r}
sys.path.insert(0, {folder!r})
import kills

def write(out):  # what it makes is another each time
    import os, pathlib, time
    os.makedirs(out, exist_ok=True)
    pathlib.Path(out, "a.bin").write_bytes(os.urandom(9))
    time.sleep(0.05)

kills.commands = lambda url: {{"train": write}}
kills.main()
"""


def test_other_bytes_are_noticed(tmp_path):
    code = SPOILT.format(path=str(KILLS), folder=str(KILLS.parent))
    done = run_python("-c", code, "--n", "2", TMPDIR=str(tmp_path))
    assert (done.code, done.out.endswith("the same bytes 0 times\n")) == (1, True), done.err
