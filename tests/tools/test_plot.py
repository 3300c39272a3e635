"""tools/plot.py draws every training that it is given."""

import json
import os
from pathlib import Path

import plot as tool
import pytest
from processes import run_python

from picogpt.train import journal

REPOSITORY = Path(__file__).parents[2]


def plot(*argv, folder, **environment):
    """Run the tool; return its exit code and what it said."""
    code, out, err = run_python(REPOSITORY / "tools" / "plot.py", *argv, folder=folder, **environment)
    return code, err + out


def write_run(folder, n=200, **more):
    """Write a log of n updates and an evaluation; `more` is for each update."""
    folder.mkdir()
    with journal.open_log(folder, 0) as file:
        for step in range(1, n + 1):
            journal.write(file, dict(step=step, loss=4 / step, lr=step * 1e-4, norm=1.0, **more))
        journal.write(file, dict(step=n, train_loss=0.1, val_loss=0.2))


def test_a_picture_shows_several_runs(tmp_path):
    """One of them long, one short, one without ratios: as the logs of other programs may be."""
    pytest.importorskip("matplotlib", reason='tools/plot.py needs matplotlib: pip install -e ".[plot]"')
    for name, n, more in (("long", 200, dict(ratio=0.01)), ("short", 3, dict(ratio=0.01)), ("other", 60, {})):
        write_run(tmp_path / name, n, **more)
    code, said = plot("long", "short", "other/log.jsonl", "--out", "p.svg", folder=tmp_path)
    assert (code, said) == (
        0,
        "plot: p.svg is written: long, 200 updates, loss 0.020, held-out loss 0.200 at best;"
        " short, 3 updates, loss 1.333, held-out loss 0.200 at best;"
        " other/log.jsonl, 60 updates, loss 0.067, held-out loss 0.200 at best\n",
    )
    picture = (tmp_path / "p.svg").read_text()
    for text in ("long", "short", "other/log.jsonl", "learning rate", "held-out text"):
        assert f"<!-- {text} -->" in picture
    assert plot("long", "--out", "p.png", folder=tmp_path)[0] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_log_does_not_tell_is_not_drawn(tmp_path):
    """No held-out loss, and of each update but its loss."""
    pytest.importorskip("matplotlib", reason='tools/plot.py needs matplotlib: pip install -e ".[plot]"')
    lines = [json.dumps(dict(step=step, loss=1 / step)) for step in range(1, 9)]
    (tmp_path / "log").write_text("\n".join([*lines, '{"step": 8, "train_loss": 0.1}']))
    said = "plot: p.svg is written: log, 8 updates, loss 0.125\n"
    assert plot("log", "--out", "p.svg", folder=tmp_path) == (0, said)
    picture = (tmp_path / "p.svg").read_text()
    assert "<!-- log -->" in picture and "<!-- held-out text -->" not in picture


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure", reason="tools/plot.py needs matplotlib")

    def full(self, file, **settings):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    write_run(tmp_path / "run")
    (tmp_path / "p.png").write_bytes(b"old")
    monkeypatch.setattr(figure.Figure, "savefig", full)
    with pytest.raises(OSError, match=r"p\.png cannot be written"):
        tool.plot([tmp_path / "run"], tmp_path / "p.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.png", "run"]
    assert (tmp_path / "p.png").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--out=p.png"], 2, "plot: RUN is missing: the folder of a training"),
        (["run", "--out=p.txt"], 2, "plot: --out names a .png, .svg or .pdf, not 'p.txt'"),
        (["run"], 2, "plot: --out is missing: the picture, a .png, .svg or .pdf"),
        (["run", "--out=no/p.png"], 1, "plot: no is missing: make the folder that --out names"),
        (
            ["run", "--out=folder.svg"],
            1,
            "plot: folder.svg is a folder: --out names the file that is written",
        ),
        (["nowhere", "--out=p.png"], 1, "plot: nowhere is missing: it is the log of a training"),
        (["empty", "--out=p.png"], 1, "empty/log.jsonl tells of no update: there is nothing to draw"),
        (["words", "--out=p.png"], 1, "words/log.jsonl gives 'high' as norm: give the log of a training"),
    ],
)
def test_what_cannot_be_drawn_is_told(tmp_path, argv, code, said):
    pytest.importorskip("matplotlib", reason='tools/plot.py needs matplotlib: pip install -e ".[plot]"')
    (tmp_path / "folder.svg").mkdir()
    write_run(tmp_path / "run")
    write_run(tmp_path / "empty", 0)
    write_run(tmp_path / "words", 3)
    with (tmp_path / "words" / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 1.0, "norm": "high"}\n')
    got, err = plot(*argv, folder=tmp_path)
    assert (got, said in err, len(err.splitlines())) == (code, True, 1)


def test_without_matplotlib_the_remedy_is_told(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['matplotlib'] = None")
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    code, said = plot("run", "--out=p.png", folder=tmp_path, PYTHONPATH=path)
    assert (code, said) == (
        1,
        'plot: this needs matplotlib, which is not installed: pip install -e ".[plot]"\n',
    )


def test_help_is_the_docstring(tmp_path):
    code, said = plot("--help", folder=tmp_path)
    assert (code, "RUN [RUN ...] --out FILE" in said) == (0, True)
