"""The notebooks are what their sources say, have run without an error, and run again with PICOGPT_SLOW=1."""

import json
import os
from pathlib import Path

import pytest

from docs import notebooks as tool

NAMES = ["generate", "inside", "train"]
MARK = "# %%"


def cells_of(source):
    """Return (is text, content) of each cell of a source in the percent format."""
    for part in source.split(MARK)[1:]:
        head, _, body = part.partition("\n")
        is_text = "[markdown]" in head
        lines = [
            line.removeprefix("#").removeprefix(" ") if is_text else line
            for line in body.strip().splitlines()
        ]
        yield is_text, "\n".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_source_with_what_it_showed(name):
    source = (tool.NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    notebook = json.loads((tool.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [(cell["cell_type"] == "markdown", "".join(cell["source"])) for cell in notebook["cells"]]
    assert cells == list(cells_of(source))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert len(outputs) >= 4
    assert not any(output["output_type"] == "error" for output in outputs)
    assert all(cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_there_are_no_others():
    assert sorted(path.stem for path in tool.NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.skipif(not os.environ.get("PICOGPT_SLOW"), reason="takes a minute each: PICOGPT_SLOW=1")
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name):
    for needed in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(needed, reason='needs jupytext and nbclient: pip install -e ".[notebooks]"')
    notebook = tool.convert(Path(tool.NOTEBOOKS, f"{name}.py"))
    assert any(cell.get("outputs") for cell in notebook.cells)
