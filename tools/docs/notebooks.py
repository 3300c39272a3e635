"""Run the notebooks and keep what they show: notebooks/NAME.ipynb from notebooks/NAME.py.

usage: python tools/docs/notebooks.py [NAME ...]

The .py is the source, in jupytext's percent format, in which changes can be read. Needs jupytext, nbclient
and ipykernel: pip install -e ".[notebooks]"

  NAME             generate, train or inside (all)
"""

import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
KERNEL = dict(name="python3", display_name="Python 3", language="python")


def convert(source, timeout=600):
    """Run a notebook's source; return the notebook, with its outputs, as nbformat has it."""
    import jupytext
    import nbclient

    notebook = jupytext.read(source)
    notebook.metadata = dict(kernelspec=KERNEL)
    for n, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{n}"  # the same each time
    where = dict(metadata=dict(path=str(NOTEBOOKS.parent)))
    nbclient.NotebookClient(notebook, timeout=timeout, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata = {}  # when it ran
    return notebook


def main(names):
    """Write the notebooks of these names."""
    import nbformat

    for source in sorted(NOTEBOOKS.glob("*.py")):
        if not names or source.stem in names:
            nbformat.write(convert(source), source.with_suffix(".ipynb"))
            print(f"{source.with_suffix('.ipynb')} is written")


if __name__ == "__main__":
    main(sys.argv[1:])
