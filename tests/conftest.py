"""What PyTorch, Hugging Face and JAX said when tests/record asked them, and the tiny model of all that.

Its sizes are all different, so that no axis can be taken for another: V 17, n_ctx 11, C 12, H 3,
n_layer 2, B 2, T 7. Nothing in it is 0 or 1 by chance: gains and biases are random too.
"""

import io
import logging
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

if "PYTEST_XDIST_WORKER" in os.environ:
    # One of several processes, each of which would have BLAS use all cores. What a test starts inherits it.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np
import pytest
from processes import Done
from thorough import THOROUGH

from picogpt.checkpoints import weights
from picogpt.params.init import init_params
from picogpt.params.tree import nest, tree_map
from picogpt.system import command, machine
from picogpt.text.chars import CharEncoder

try:
    import hypothesis
except ImportError:  # then the tests that need it are skipped
    pass
else:  # the same examples on each run, however long one takes
    hypothesis.settings.register_profile("same", derandomize=True, deadline=None, print_blob=False)
    hypothesis.settings.load_profile("same")

REFERENCES = Path(__file__).parent / "references"

collect_ignore = ["record"]  # scripts that import what they record

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_user(tmp_path_factory):
    """Have what is noted in the user's cache go to a folder of the tests, in their processes too.

    Matplotlib keeps its own, as it would look through all fonts again, and say so.
    """
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(usual)))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_configure(config):
    """Tell pytest what the marker means."""
    config.addinivalue_line("markers", "thorough: takes long; PICOGPT_THOROUGH=1 runs it, as .ci/run does")


def pytest_report_header():
    """Say which of the two runs this is."""
    return "picogpt: all of it" if THOROUGH else "picogpt: the quick run; PICOGPT_THOROUGH=1 tries more"


def pytest_collection_modifyitems(items):
    """Have what takes long be skipped in the quick run, and say so."""
    skip = pytest.mark.skip(reason="takes long; PICOGPT_THOROUGH=1 runs it")
    for item in items:
        if item.get_closest_marker("thorough") and not THOROUGH:
            item.add_marker(skip)


TRIED = Counter()  # (kind of fault, what became of it) -> how many


@pytest.fixture(scope="session")
def tally():
    """Count faults for the end of the report: tally("bytes flipped", "refused")."""

    def count(kind, outcome, n=1):
        TRIED[kind, outcome] += n

    return count


def pytest_terminal_summary(terminalreporter):
    """Print how many faults of each kind were tried, and what became of them; docs/faults.md quotes it."""
    if TRIED:
        terminalreporter.section("faults")
    for kind in sorted({kind for kind, _ in TRIED}):
        became = {outcome: n for (k, outcome), n in sorted(TRIED.items()) if k == kind}
        said = ", ".join(f"{n:,} {outcome}" for outcome, n in became.items())
        terminalreporter.write_line(f"{kind}: {sum(became.values()):,} tried: {said}")


def read_record(name):
    """Return a record as a tree: an array called "tiny.params.wte" is at ["tiny"]["params"]["wte"]."""
    with np.load(REFERENCES / f"{name}.npz") as arrays:
        return nest(dict(arrays))


@pytest.fixture(scope="session")
def pytorch_says():
    return read_record("pytorch")


@pytest.fixture(scope="session")
def jax_says():
    return read_record("jax")


def tiny_model(record, dtype):
    tiny = record["tiny"]
    params = tree_map(lambda w: w.astype(dtype), tiny["params"])
    return SimpleNamespace(
        params=params, n_head=int(tiny["n_head"]), ids=tiny["ids"].copy(), targets=tiny["targets"].copy()
    )


@pytest.fixture
def tiny(pytorch_says):
    """The tiny model in float64: params, n_head, and a batch of ids and targets, two of which are -1."""
    return tiny_model(pytorch_says, np.float64)


@pytest.fixture
def tiny32(pytorch_says):
    """The same in float32."""
    return tiny_model(pytorch_says, np.float32)


@pytest.fixture
def call_command(capsys, monkeypatch):
    """Run a command in this process, where it takes no second to start; return how it ended."""

    def call(function, *argv, stdin=b"", **settings):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        with pytest.raises(SystemExit) as end:
            command.run(function, [str(word) for word in argv], **settings)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(end.value.code, out, err)

    return call


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory, params, encoder):
    """The folder of a model: of the test module's fixtures `params` and `encoder`, and of its HPARAMS."""
    folder = tmp_path_factory.mktemp("model")
    weights.save(folder, params, request.module.HPARAMS, encoder)
    return str(folder)


@pytest.fixture
def base(tmp_path):
    """The folder of a model of a few characters, small and random, that a test may go on training."""
    encoder = CharEncoder.from_text("\n abcdefghij-AILRTabelxt")
    hparams = dict(n_vocab=encoder.n_vocab, n_ctx=24, n_embd=12, n_head=3, n_layer=2)
    weights.save(tmp_path / "base", init_params(hparams, np.random.default_rng(0)), hparams, encoder)
    return str(tmp_path / "base")


@pytest.fixture
def keep_threads():
    """Whatever the test does to BLAS's threads, there are as many afterwards as before."""
    before = machine.n_threads()
    yield
    machine.set_threads(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request, keep_threads):
    """BLAS on 1, 2 and 3 threads in turn, wherever the tests run."""
    machine.set_threads(request.param)
    return request.param


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, in which a test opens pages."""
    api = pytest.importorskip("playwright.sync_api", reason='needs playwright: pip install -e ".[browser]"')
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs an installed Chromium: apt install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
