"""The architecture, held: which file may import which, what each may need, and how long it may be."""

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "picogpt"

# From the ground upwards: a file imports only from floors below its own. The numbers are the most lines
# that a file may have, docstrings included; one that needs more holds more than one thought.
FLOORS = [
    dict(__init__=10, ops=195, tree=60, files=115, crc32c=90, command=170, machine=95, erf=55),
    dict(shapes=115, bpe=190, chars=75, safetensors=130, bundle=185, download=170, optim=110, tricks=135),
    dict(gpt2=250, presets=50, released=135, state=70, hf_bpe=100, huggingface=140, checks=100, data=75),
    dict(schedule=40, journal=65, parallel=115, tasks=105, bpe_train=105, trace=90),
    dict(weights=225, grad=230, prefill=75, guess=95, detokenise=45, insides=90),
    dict(decode=70, shards=80, scoring=150),
    dict(generate=205),
    dict(trainer=170, classifier=110, lora=80, adapters=35, examples=115),
    dict(prepare=110, sizing=200, cli=275, tuning=145),
    dict(train=230),
    {"__main__": 20, "evaluate": 205, "explain": 240, "projects.__init__": 5, "projects.runs": 240},
    {  # the projects, which nobody imports
        "projects.adder": 155,
        "projects.sorter": 145,
        "projects.words": 130,
        "projects.chars": 220,
        "projects.images": 235,
        "projects.finetune": 150,
        "projects.classify": 210,
    },
    # the exercises; most lines of the four that hold the rungs are the usual mistakes
    {"exercises.__init__": 5, "exercises.cases": 60},
    {
        "exercises.operations": 400,
        "exercises.forward": 445,
        "exercises.backward": 525,
        "exercises.learning": 360,
    },
    {"exercises.lay_out": 90},
    {"exercises.examine": 280, "exercises.ladder": 145},
    {"exercises.__main__": 10},
]
FLOOR = {name: floor for floor, budgets in enumerate(FLOORS) for name in budgets}
BUDGET = {name: lines for budgets in FLOORS for name, lines in budgets.items()}

# What is not NumPy, regex or Python's own, and the only files that may need it.
GUESTS = dict(
    requests={"download"},
    tqdm={"download", "trainer", "cli", "evaluate", "explain", "projects.runs"},
    fire={"command"},
    threadpoolctl={"machine"},
    mpi4py={"parallel"},
    google_crc32c={"crc32c"},
    cupy={"projects.chars"},
    matplotlib={"projects.images"},
    sklearn={"projects.images"},
)
FILES = sorted(PACKAGE.glob("**/*.py"))


def name_of(path):
    """Return a file's name within the package, say ops or projects.chars."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """Yield the dotted name of everything that a file imports: picogpt.ops for `from picogpt import ops`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out in full"
            folder = node.module in ("picogpt", "picogpt.projects", "picogpt.exercises")
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if folder else [node.module]


def test_every_file_has_its_floor():
    assert {name_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path):
    inside = [name.removeprefix("picogpt.") for name in imports(path) if name.startswith("picogpt.")]
    assert [name for name in inside if FLOOR[name] >= FLOOR[name_of(path)]] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_needs_only_what_it_may(path):
    outside = {name.split(".")[0] for name in imports(path)} - {"picogpt", "numpy", "regex"}
    guests = outside - sys.stdlib_module_names
    assert {name for name in guests if name_of(path) not in GUESTS.get(name, ())} == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_keeps_to_its_budget(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= BUDGET[name_of(path)]


@pytest.mark.parametrize(
    "path", [*FILES, *sorted((REPOSITORY / "tools").glob("*.py"))], ids=lambda path: path.stem
)
def test_every_public_function_says_what_it_means(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    top = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    methods = [
        node
        for c in top
        if isinstance(c, ast.ClassDef)
        for node in c.body
        if isinstance(node, ast.FunctionDef)
    ]
    without = [node.name for node in top + methods if not ast.get_docstring(node) and node.name != "__init__"]
    assert without == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_asserted_of_users(path):
    assert not any(
        isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_every_module_has_a_test_file():
    tested = {path.stem.removeprefix("test_") for path in Path(__file__).parents[1].glob("*/test_*.py")}
    by_their_users = "__init__ __main__ checks command prepare shapes state trainer tree tricks"
    names = {name.removeprefix("projects.") for name in FLOOR if not name.startswith("exercises.")}
    assert names - tested == set(by_their_users.split())


def test_the_bundled_model_is_at_most_16_megabytes():
    assert sum(path.stat().st_size for path in (REPOSITORY / "models" / "tales").iterdir()) <= 16_000_000
