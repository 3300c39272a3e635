"""verify - show that picogpt is right, from one operation to the whole model, against what others say

usage: python tools/verify [flags]

{flags}
  -h, --help          this page

Seven rungs, each a comparison with something made without picogpt: gradients with their definition, all
computations with PyTorch, gradients with jax.grad, the tokenizer with tiktoken, files with checksums, texts
and numbers with published ones. What is not installed, or not published, is skipped, and said. A near tie in
a text, which rounding decides, is reported and fails nothing.

Exit codes: 0 nothing failed, 1 a rung failed, or there is no such model; 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import inspect
import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
from picogpt.checkpoints import weights
from picogpt.system import command, flags
from verify import computation
from verify import report as verify_report
from verify import weights as verify_weights

RUNGS = {
    "1 gradients": computation.gradients,
    "2 PyTorch": computation.against_pytorch,
    "3 JAX": computation.against_jax,
    "4 tokenizer": computation.tokenizer,
    "5 bytes": verify_weights.checkpoint_bytes,
    "6 texts": verify_weights.greedy_text,
    "7 numbers": verify_weights.published_numbers,
}
INSTALL = {"torch": "pip install torch==2.13.0", "jax": "pip install jax", "tiktoken": "pip install tiktoken"}


def verify(
    *,
    model: Annotated[
        str | None,
        "124M, 355M, 774M or 1558M, if it is there (nothing is downloaded), or a folder. Without it: 124M if"
        " it is there, else the small model that comes with picogpt",
    ] = None,
    models_dir: flags.ModelsDir = "models",
    goldens: Annotated[
        str,
        "FOLDER",
        "what is known of the model: golden_greedy.json, golden_numbers.json, golden_files.json (what"
        " tests/references has of a model of this name)",
    ] = "",
    report: Annotated[str, "FILE", "write a page to hand out as well: .md or .html"] = "",
):
    """Climb all rungs as the docstring of this module says; these are the command's flags."""
    if report and not report.endswith((".md", ".html")):
        command.usage_error(f"--report must end in .md or .html, not {report}")
    if report and not Path(report).parent.is_dir():  # before the work, not after it
        raise FileNotFoundError(f"{Path(report).parent} is missing: make the folder that --report names")
    subject = verify_weights.find_subject(weights.choose(model, models_dir), models_dir, goldens)
    print(verify_report.line(verify_report.Row(*verify_report.HEADER)))
    found = []
    for name, rung in RUNGS.items():
        print(name, flush=True)
        rows = []
        for row in climb(rung, subject):
            print(verify_report.line(row), flush=True)
            rows.append(row)
        found.append((name, proof(rung), rows))
    print(f"\n{subject.name}: {verify_report.summary(found)}")
    if report:
        verify_report.write(report, subject.name, found)
    if any(row.verdict == verify_report.FAILED for *_, rows in found for row in rows):
        sys.exit(1)


def climb(rung, subject):
    """Yield the rows of a rung; if an error ends it, the last one says so."""
    try:
        yield from rung(subject)
    except Exception as error:  # whatever is not installed, or a broken operation leads to
        yield ended(error)


def ended(error):
    """Return the row of what an error left out: skipped if another package, or a part of it, is not there."""
    said, package = str(error).split("\n")[0], str(getattr(error, "name", "")).split(".")[0]
    if not isinstance(error, ImportError) or package in ("picogpt", "compare", "record"):  # ours
        return verify_report.failed("the rest", "", f"{type(error).__name__}: {said}")
    if isinstance(error, ModuleNotFoundError) and error.name in INSTALL:
        said = f"{package} is not installed"
    return verify_report.skipped("the rest", f"{said}: {INSTALL[package]}" if package in INSTALL else said)


def proof(rung):
    """Return what a rung proves: its docstring."""
    return " ".join(inspect.getdoc(rung).split())


if __name__ == "__main__":
    command.run(verify, name="verify")
