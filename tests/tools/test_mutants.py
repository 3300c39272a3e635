"""The list of wrong edits fits the code and names tests that there are; the tool counts what is noticed."""

import re
from pathlib import Path

import pytest
from verify import mutants
from verify.edits import EDITS

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("file", EDITS)
def test_each_edit_can_be_made_and_names_a_test(file):
    code = (REPOSITORY / file).read_text(encoding="utf-8")
    for old, new, tests in EDITS[file]:
        assert code.count(old) == 1, old
        compile(code.replace(old, new), file, "exec")
        for path, name in (test.split("::") for test in tests.split()):
            named = (REPOSITORY / "tests" / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", named, re.MULTILINE), name


CODES = {0: "MISSED", 1: "noticed", 2: "MISSED", 4: "MISSED", 5: "MISSED", mutants.TOO_LONG: "too"}


@pytest.mark.parametrize(("code", "said"), CODES.items())
def test_an_edit_is_noticed_if_tests_fail_or_do_not_end(code, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.py").write_text("x = 1 < 2\n")
    seen = []

    def run(copy, tests, limit):
        seen.append(((copy / "a.py").read_text(), tests))
        return code

    monkeypatch.setattr(mutants, "run", run)
    assert mutants.is_noticed(tmp_path, "a.py", "<", "<=", "b.py::c b.py::d") == (said != "MISSED")
    assert seen == [("x = 1 <= 2\n", ["b.py::c", "b.py::d"])]
    assert (tmp_path / "a.py").read_text() == "x = 1 < 2\n"  # as it was
    shown = capsys.readouterr().out.split()
    assert (shown[0], "a.py" in shown) == (said, True)


def test_an_edit_that_cannot_be_made_ends_it(tmp_path):
    (tmp_path / "a.py").write_text("1 < 2 < 3")
    with pytest.raises(SystemExit, match=r"a\.py has 2 times '<': correct"):
        mutants.is_noticed(tmp_path, "a.py", "<", "<=", "b.py::c")


def test_all_that_were_missed_are_counted(monkeypatch, capsys):
    [(file, edits)] = [(file, edits) for file, edits in EDITS.items() if file == "picogpt/text/stop.py"]
    monkeypatch.setattr(mutants.shutil, "copytree", lambda source, copy, ignore: copy)
    for code, exit_code, n in ((mutants.FAILED, 0, len(edits)), (0, 1, 0)):
        monkeypatch.setattr(mutants, "run", lambda copy, tests: 0)
        monkeypatch.setattr(mutants, "is_noticed", lambda *edit, code=code: code == mutants.FAILED)
        assert mutants.main([file]) == exit_code
        assert capsys.readouterr().out == f"{n} of {len(edits)} edits noticed\n"
    monkeypatch.setattr(mutants, "run", lambda copy, tests: 1)
    assert mutants.main([file]) == 1
    assert "pytest ends with 1 on the code as it is" in capsys.readouterr().err
    assert mutants.main(["none.py"]) == 2
