"""The table of faults in docs/faults.md: every test that it names is there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_tests_that_the_table_names_exist():
    table = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", table))
    there = re.findall(
        r"^def (test_\w+)", "".join(path.read_text() for path in TESTS.glob("test_*.py")), re.M
    )
    assert len(named) > 20
    assert named - set(there) == set()
