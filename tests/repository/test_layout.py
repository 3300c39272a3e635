"""The architecture, held: which file may import which, what each may need, and how long it may be."""

import ast
import sys
from pathlib import Path

import pytest
from docs.files import DESCENDANTS

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "picogpt"

# From the ground upwards: a room imports only from rooms that come before it in this list, and a file only
# from files that come before it. A file at the top of picogpt/ is a room of one file. The numbers are the
# most lines that a file may have, docstrings included; one that needs more holds more than one thought.
HOUSE = dict(
    pico=150,
    system=dict(
        signature=200, flags=135, files=280, folders=140, interrupt=160, terminal=85, progress=80,
        command=245, machine=145,
    ),
    __init__=30,
    ops=195,
    seam=35,
    gpt2=225,
    grad=230,
    descendants=dict(
        erf=55, tricks=120, activations=45, positions=60, rms=40, post_norm=55, rezero=40, initial=55,
        parts=220
    ),
    params=dict(tree=60, narrow=245, options=100, shapes=115, init=45, checks=125),
    text=dict(
        bpe=225, chars=85, data=95, detokenise=45, added_tokens=90, hf_keys=170, hf_control=165,
        hf_files=235, hf_write=75, hf_bpe=180, gpt1_bpe=165, bpe_train=105, stop=45, output=110, prompt=45,
        bins=105,
    ),
    checkpoints=dict(
        safetensors=165, verified=60, bundle=195, download=170, released=145, names=60, config_keys=170,
        huggingface=205, peft=205, generation_config=160, in_place=105, weights=340,
    ),
    speed=dict(compiled=90, products=120, prefill=75, guess=130, shards=80),
    choose=dict(preferences=130, beams=100),
    generate=290,
    sizing=dict(presets=50, cli=205, __main__=10),
    evaluate=dict(tasks=105, scoring=155, cli=245, __main__=10),
    train=dict(
        optim=115, muon=95, settings=240, schedule=40, state=90, journal=85, parallel=130, launch=45,
        shard=140, half=135, trainer=250, prepare=175, cli=75, runs=305, __main__=10,
    ),
    explain=dict(
        prompts=10, trace=100, insides=130, backwards=80, one_step=85, tokens=25, gather=250, terminal=45,
        page=60, learning=210, live=200, cli=160, __main__=10,
    ),
    chat=dict(templates=165, talk=190, model=110, session=120, cli=65, __main__=10),
    cli=370,
    __main__=25,
    finetune=dict(
        examples=120, lora=85, adapters=35, classifier=125, predict=60, tuning=180, cli=150,
        classify=240, __main__=10,
    ),
    projects=dict(
        adder=155, sorter=145, words=130, benchmarks=85, chars=270, image_data=180, image_probe=90,
        images=280, masked_images=170, talk=190, finetune=10, classify=10,
    ),
    exercises=dict(
        first=75, cases=60, operations=300, forward=330, backward=375, learning=270, lay_out=105, mistakes=75,
        examine=300, ladder=165, __main__=10,
    ),
)  # fmt: skip
BUDGET = {}  # {file: most lines}, from the ground upwards
for room, files in HOUSE.items():
    if isinstance(files, int):
        BUDGET[room] = files
    else:
        BUDGET |= {f"{room}.__init__": 3} | {f"{room}.{name}": lines for name, lines in files.items()}

# What is not NumPy, regex or Python's own, and the only files that may need it.
GUESTS = dict(
    requests={"checkpoints.download"},
    tqdm={"system.progress"},
    fire={"system.command"},
    threadpoolctl={"system.machine"},
    mpi4py={"train.parallel"},
    jinja2={"chat.templates"},
    google_crc32c={"checkpoints.bundle"},
    cupy={"projects.chars"},
    numba={"speed.products"},
    matplotlib={"projects.images", "projects.masked_images"},
    PIL={"projects.image_data"},
    sklearn={"projects.image_data"},
)
SOLUTIONS = PACKAGE / "exercises" / "solutions"  # which are read, not imported
FILES = sorted(path for path in PACKAGE.glob("**/*.py") if path.parent != SOLUTIONS)


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
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix("picogpt.") in BUDGET else node.module


def test_every_file_has_its_place():
    assert {name_of(path) for path in FILES} == set(BUDGET)
    entries = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 24


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path):
    places = {name: place for place, name in enumerate(BUDGET)}
    inside = [name.removeprefix("picogpt.") for name in imports(path) if name.startswith("picogpt.")]
    assert [name for name in inside if places[name] >= places[name_of(path)]] == []


def test_the_core_knows_gpt_2_alone():
    for name in ("ops", "gpt2", "grad"):
        lines = PACKAGE.joinpath(f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if DESCENDANTS.search(line)] == []


def test_a_rooms_init_is_one_sentence():
    for path in [*PACKAGE.glob("*/__init__.py"), *(REPOSITORY / "tools").glob("*/__init__.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert len(tree.body) == 1 and "\n" not in ast.get_docstring(tree)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_needs_only_what_it_may(path):
    outside = {name.split(".")[0] for name in imports(path)} - {"picogpt", "numpy", "regex"}
    guests = outside - sys.stdlib_module_names
    assert {name for name in guests if name_of(path) not in GUESTS.get(name, ())} == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_keeps_to_its_budget(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= BUDGET[name_of(path)]


@pytest.mark.parametrize(
    "path", [*FILES, *sorted((REPOSITORY / "tools").rglob("*.py"))], ids=lambda path: path.stem
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
    without = [
        node.name for node in top + methods if not ast.get_docstring(node) and not node.name.startswith("__")
    ]
    assert without == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_asserted_of_users(path):
    assert not any(
        isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_every_module_is_tested_by_name():
    """Each has a test file of its name, or is imported by a test; these are reached through others alone."""
    tests = list(REPOSITORY.glob("tests/**/test_*.py"))
    named = {path.stem.removeprefix("test_") for path in tests}
    imported = {name.removeprefix("picogpt.") for path in tests for name in imports(path)}
    through_others = [
        "chat.model",
        "chat.session",
        "chat.templates",
        "checkpoints.names",
        "descendants.activations",
        "descendants.parts",
        "descendants.post_norm",
        "descendants.rezero",
        "exercises.backward",
        "exercises.cases",
        "exercises.first",
        "exercises.forward",
        "exercises.operations",
        "explain.learning",
        "explain.prompts",
        "seam",
        "system.flags",
        "text.hf_control",
        "text.hf_files",
        "text.hf_keys",
        "text.hf_write",
    ]
    named |= {"__init__", "__main__"}
    untested = {name for name in BUDGET if name.rpartition(".")[2] not in named and name not in imported}
    assert untested - set(through_others) == set()


OPENING = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "fromfile", "tofile", "memmap", "savez",
    "savez_compressed", "savetxt", "loadtxt", "genfromtxt", "open_memmap", "copyfile", "copytree", "urlopen",
}  # fmt: skip
OPENERS = {  # and why they may
    "system.files": "the one place that opens files",
    "system.terminal": "/dev/null",
    "checkpoints.safetensors": "maps a file that system.files has opened",
    "exercises.examine": "a pipe",
    "projects.image_data": "Pillow, which gets a file that system.files has opened",
    "pico": "a reader's first file, which needs nothing else",
}


@pytest.mark.parametrize("path", [*FILES, REPOSITORY / "tools" / "convert.py"], ids=lambda path: path.stem)
def test_files_are_opened_in_one_place(path):
    """There it is seen to that they are regular, and written through no link; see SECURITY.md."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    opens = [f.id for f in calls if isinstance(f, ast.Name) and f.id == "open"]
    methods = [f for f in calls if isinstance(f, ast.Attribute) and f.attr in OPENING]
    imported = {name.rpartition(".")[2] for name in imports(path)}
    ours = {"data", "files", "webbrowser"} & imported  # text.data and system.files, under their own names
    ours.add("Image")  # Pillow, which is given what one of ours has opened
    opens += [f.attr for f in methods if getattr(f.value, "id", "") not in ours]
    inside = name_of(path) if path.is_relative_to(PACKAGE) else ""
    assert opens == [] or inside in OPENERS, opens


def test_the_bundled_models_are_at_most_16_megabytes():
    files = [path for path in REPOSITORY.glob("models/*/*") if path.parent.name in ("tales", "talk")]
    assert 12_000_000 < sum(path.stat().st_size for path in files) <= 16_000_000
