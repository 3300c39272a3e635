"""docs/ancestors.md names every item of the ancestors' lists, and files, flags and tests that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "ancestors.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| item")
]
TESTS = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("*/test_*.py"))


def find(name):
    """Return the file that a row means: of the package, or of the repository."""
    return next((path for path in (REPOSITORY / "picogpt" / name, REPOSITORY / name) if path.is_file()), None)


def test_every_item_has_its_row():
    ids = {row[0].split()[0] for row in ROWS}
    lists = dict(M=range(12, 23), B=range(1, 7), N=range(12, 28), P=range(40, 56))
    assert {f"{letter}{n}" for letter, numbers in lists.items() for n in numbers} <= ids


@pytest.mark.parametrize(("item", "here", "tests"), ROWS, ids=[row[0] for row in ROWS])
def test_what_a_row_names_exists(item, here, tests):
    named = [name for name in re.findall(r"`([\w/.-]+\.\w+)`", here) if not name.startswith(".")]
    named += re.findall(r"`python (tools/\S+\.py) ", here)
    assert None not in [find(name) for name in named], named
    if "train/cli.py" in named:  # whose flags are the settings and the model's options
        named += ["train/settings.py", "params/options.py"]
    text = "".join(find(name).read_text(encoding="utf-8") for name in named)
    for flag in re.findall(r"--\w+", here):
        assert re.search(rf"{flag}\b|^    {flag[2:]}: ", text, re.M), flag  # in a text, or as a parameter
    assert set(re.findall(r"`(test_\w+)`", tests)) <= set(re.findall(r"^def (test_\w+)", TESTS, re.M))
    assert named or here.startswith("Not")
