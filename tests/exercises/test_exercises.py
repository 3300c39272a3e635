"""The ladder of exercises: no wrong function passes a rung, every right one does, and the messages fit."""

import ast
import textwrap
from pathlib import Path

import numpy as np
import pytest
from processes import run_python
from thorough import few_or

from picogpt.exercises import examine, ladder, lay_out, learning, mistakes
from picogpt.exercises.lay_out import LADDER, MODULES

NOWHERE = "/nowhere"
DEF_FORWARD = "def forward(ids, params, n_head):"
OTHER_FORMS = Path(__file__).with_name("solutions")
MISTAKES = [
    pytest.param(rung, *mistake, id=f"{rung.name}-{i}")
    for rung in LADDER.values()
    for i, mistake in enumerate(mistakes.mistakes(rung.name))
]

# Wrong ones of other kinds than the usual mistakes: (rung, source, what is said).
WRONG = [
    ("softmax", "def softmax(x): np.exp(x)", "is None: is there a `return`?"),
    ("softmax", "def softmax(x):\n    x -= x.max(-1, keepdims=True)\n    e = np.exp(x)\n"
     "    return e / e.sum(-1, keepdims=True)", "x was changed in place"),
    ("softmax", "def softmax(x): return x[99]", "IndexError"),
    ("softmax", "def softmax(x):\n    e = np.exp(x - x.max(-1, keepdims=True))\n"
     "    return e / e.sum(-1)", "keepdims=True"),
    ("gelu", "def gelu(x):\n    u = np.sqrt(2 / np.pi) * (x + 0.044715 * x * x * x)\n"
     "    return x / 2 * (1 + np.tanh(u))", "The numbers are float64 for float32 inputs"),
    ("gelu", "def gelu(x): return x / (1 + np.exp(-1.7 * x))", "expected"),
    ("linear", "def linear(x, w, b=None): return np.dot(x, w.T) + (0 if b is None else b)",
     "The weight is transposed"),
    ("mask", "def causal_mask(T, S, dtype, pad=None): return (1 - np.tri(T, S, S - T)) * -1e10",
     "The mask is float64"),
    ("layer_norm", "def layer_norm(x, g, b=None, eps=1e-5):\n"
     "    y = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) * g\n"
     "    return y if b is None else y + b", "eps is added outside of the square root"),
    ("loss", "def cross_entropy(logits, targets):\n"
     "    p = softmax(logits.reshape(-1, logits.shape[-1]))\n"
     "    return -np.log(p[np.arange(len(p)), targets.ravel()]).mean()", "Targets of -1 count"),
    ("gradient", "def loss_and_grads(*args, **settings): return 1.0",
     "should be 2 things, not one float"),
]  # fmt: skip


def quick(rung):
    """Return a rung without the cases that train a model."""
    return rung._replace(cases=lambda: [case for case in rung.cases() if not case.slow])


def test_the_ladder_climbs_from_the_whole_model_to_a_sorter():
    names = list(LADDER)
    for lower, upper in (
        ("softmax", "attention"),
        ("attention", "block"),
        ("block", "logits"),
        ("logits", "cache"),
        ("heads", "pad"),  # which is for several heads and rows
    ):
        assert names.index(lower) < names.index(upper)
    assert names[0] == "pico"
    assert names[-1] == "sorter"
    for rung in LADDER.values():
        assert len(mistakes.mistakes(rung.name)) >= 5
        titles = [case.title for case in rung.cases()]
        assert len(set(titles)) == len(titles)
    for folder in (mistakes.SOLUTIONS, OTHER_FORMS):
        assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(LADDER)


@pytest.mark.parametrize(("rung", "text", "sentence"), MISTAKES)
def test_a_usual_mistake_fails_and_is_named(rung, text, sentence):
    assert sentence in examine.problems(quick(rung), examine.changed(text), NOWHERE)


@pytest.mark.parametrize("name", LADDER)
def test_a_right_solution_of_any_form_passes(name):
    for text in (mistakes.solution(name), OTHER_FORMS.joinpath(f"{name}.py").read_text(encoding="utf-8")):
        assert examine.problems(quick(LADDER[name]), examine.changed(text), NOWHERE) == []


def test_the_solutions_together_make_a_model():
    texts = [mistakes.solution(name) for name in LADDER if name != "pico"]
    for name in ("logits", "cache", "pad", "gradient", "adder"):
        assert examine.problems(LADDER[name], examine.changed("\n".join(texts)), NOWHERE) == []


@pytest.mark.parametrize(("name", "source", "said"), WRONG)
def test_other_wrong_functions_fail_too(name, source, said):
    assert said in " ".join(examine.problems(quick(LADDER[name]), examine.changed(source), NOWHERE))


def test_wrong_lines_are_read_with_what_is_said_of_them():
    (text, said), *others = mistakes.mistakes("gelu")
    assert "    c = 2 / math.pi\n" in text
    assert said == "The root of 2 / pi is forgotten."
    assert len(others) > 9
    assert "wrong" not in mistakes.solution("gelu")
    assert "    c = math.sqrt(2 / math.pi)\n    u = c * (" in mistakes.solution("gelu")


def test_the_complaint_names_the_element():
    source = (
        "def gelu(x):\n    y = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))\n"
    )
    wrong = examine.changed(source + "    y[1, 2] = 7\n    return y")
    title, said = examine.problems(LADDER["gelu"], wrong, NOWHERE)
    x = LADDER["gelu"].cases()[0].inputs["x"]
    assert title == "gelu of [3, 4]"
    expected = f"{examine.our_functions().gelu(x)[1, 2]:.6g}"
    assert said == f"element [1, 2] of the result is 7, expected {expected} (1 of 12 elements differ)"


def test_the_complaint_has_digits_enough_to_show_a_small_difference():
    said = list(examine.differences(np.array([0.5, 0.25 + 3e-8]), np.array([0.5, 0.25]), 1e-8))
    assert said == ["element [1] of the result is 0.25000003, expected 0.25 (1 of 2 elements differ)"]


def shape_of(node):
    """Return what a definition says without its body: name, arguments, docstring."""
    arguments = ast.dump(node.args) if isinstance(node, ast.FunctionDef) else ""
    return node.name, arguments, ast.get_docstring(node)


@pytest.mark.parametrize("module", MODULES)
def test_a_stub_keeps_all_but_the_bodies_that_are_asked_for(module):
    ours, stub = ast.parse(lay_out.source(module)), ast.parse(lay_out.stub(module))
    assert [type(node) for node in stub.body] == [type(node) for node in ours.body]
    asked = {
        name.partition(":")[2]
        for rung in LADDER.values()
        for name in rung.functions
        if name.startswith(f"{module}:")
    }
    for mine, node in zip(stub.body, ours.body, strict=True):
        names = {node.name} if isinstance(node, ast.FunctionDef) else set()
        if names & asked:
            assert shape_of(mine) == shape_of(node)
            assert isinstance(mine.body[-1], ast.Raise)
        elif not any(path.startswith(f"{getattr(node, 'name', '')}.") for path in asked):
            assert ast.dump(mine) == ast.dump(node)


@pytest.fixture
def bench(tmp_path):
    """A folder in which the ladder has been laid out."""
    lay_out.start(tmp_path)
    return tmp_path


def write(folder, path, body):
    """Write the body of a function of the reader's."""
    module, _, name = path.partition(":")
    file = folder / "picogpt" / lay_out.path_of(module)
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[lay_out.body_of("".join(lines), name)] = [f"    {line}\n" for line in body.splitlines()]
    file.write_text("".join(lines), encoding="utf-8")


def ours(path):
    """Return the body of one of picogpt's own functions."""
    module, _, name = path.partition(":")
    lines = lay_out.source(module).splitlines(keepends=True)
    return textwrap.dedent("".join(lines[lay_out.body_of("".join(lines), name)]))


def check(folder, name):
    """Return what is wrong with a rung, as one text."""
    [(_, problems)] = ladder.examined(folder, [name])
    return " ".join(problems)


def run(folder, *words):
    """Run the command in a reader's folder, where python -m picogpt finds the reader's files first."""
    return run_python("-m", "picogpt.exercises", *words, folder=folder)


def test_the_ladder_passes_with_the_solutions_and_the_rest_of_picogpt_uses_them(bench):
    for module in MODULES:
        path = bench / "picogpt" / lay_out.path_of(module)
        assert path.read_text(encoding="utf-8") == lay_out.stub(module)
        path.write_text(lay_out.source(module), encoding="utf-8")
    names = few_or(["gradient"], [])  # of all: those that train a model take seconds
    done = run(bench, "check", *names)
    assert done.out.splitlines()[0] == f"{', '.join(names or LADDER)}: passed"
    assert done.code == 0
    write(bench, "ops:softmax", "raise ValueError('this is mine')")
    text = run_python("-m", "picogpt", "Once", "--n", "2", "--temperature", "1", folder=bench)
    assert "this is mine" in text.err


def test_what_is_not_written_is_said_so(bench):
    done = run(bench, "check")
    assert done.code == 1
    line = (bench / "picogpt" / "first.py").read_text("utf-8").splitlines().index(DEF_FORWARD) + 1
    said = ["pico: forward is not written yet", f"  Write forward in picogpt/first.py, line {line}"]
    assert done.out.splitlines() == said
    status = run(bench, "status").out.splitlines()
    assert len(status) == len(LADDER) + 1
    assert status[-1] == f"0 of {len(LADDER)} rungs are passed"
    assert "not passed" not in "".join(status)
    text = run_python("-m", "picogpt", "Once", "--n", "2", folder=bench)
    assert text.code == 1
    assert text.err.splitlines()[-1] == "picogpt: gpt2 is not written yet"
    assert "Traceback" not in text.err


def test_the_first_rung_is_a_model_that_writes(bench):
    write(bench, "first:forward", ours("first:forward"))
    done = run(bench, "check")
    assert done.out.splitlines()[:2] == ["pico: passed", "softmax: softmax is not written yet"]
    said = run_python("-m", "picogpt.first", "Once upon a time", folder=bench).out
    assert said.startswith("Once upon a time" + learning.TEXT)


def test_what_is_said_of_an_attempt(bench):
    write(bench, "first:forward", ours("first:forward"))
    write(bench, "ops:softmax", "return np.exp(x) / np.exp(x).sum()")
    usual = run(bench, "check").out.splitlines()
    assert usual[:2] == ["pico: passed", "softmax: not passed"]
    assert usual[-2].startswith("  All numbers together sum to 1; each row has to")
    assert usual[-1].startswith("  It is about softmax in picogpt/ops.py, line ")
    write(bench, "ops:softmax", "return x / 2")
    assert run(bench, "check").out.splitlines()[-1] == "  A hint: python -m picogpt.exercises hint softmax"


def test_a_rung_uses_the_readers_functions_of_the_rungs_below(bench):
    for path in LADDER["attention"].functions:
        write(bench, path, ours(path))
    assert check(bench, "attention") == ""
    write(bench, "ops:attention_weights", "return linear(q, k)")
    assert "linear is not written yet" in check(bench, "attention")


def test_an_error_shows_the_readers_line(bench):
    write(bench, "ops:softmax", "y = np.exp(x)\nreturn y / oops")
    assert "ops.py, line " in check(bench, "softmax")
    assert "in softmax: `return y / oops`: NameError: name 'oops' is not defined" in check(bench, "softmax")


def test_a_file_that_is_no_python_is_said_so(bench):
    write(bench, "ops:softmax", "return (")
    assert "ops.py, line " in check(bench, "softmax")
    assert "SyntaxError" in check(bench, "softmax")


def test_a_file_of_a_higher_rung_may_be_broken(bench):
    write(
        bench, "ops:softmax", "e = np.exp(x - x.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True)"
    )
    (bench / "picogpt" / "gpt2.py").write_text("oops(", encoding="utf-8")
    assert check(bench, "softmax") == ""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("while True: pass", "Your code did not end within 1 seconds: it was in picogpt/ops.py, line "),
        ("import os; os._exit(0)", "Your code ended Python."),
        ("raise SystemExit(0)", "SystemExit"),
        ("return softmax(x)", "RecursionError"),
    ],
)
def test_code_that_does_not_come_back_is_survived(bench, monkeypatch, body, said):
    monkeypatch.setattr(ladder, "LIMIT", 1 if "while" in body else 20)
    write(bench, "ops:softmax", body)
    write(bench, "ops:linear", "return x @ w if b is None else x @ w + b")
    (_, softmax), (_, linear) = ladder.examined(bench, ["softmax", "linear"])
    assert said in " ".join(softmax)
    assert linear == []


def test_what_the_reader_prints_is_not_taken_for_the_report(bench):
    write(bench, "ops:softmax", "print('[]', flush=True)\nreturn x")
    done = run(bench, "check", "softmax")
    assert "softmax: not passed" in done.out
    assert "[]" in done.err


def test_hints_and_solutions(tmp_path):
    assert "Subtract the row's largest score" in " ".join(run(tmp_path, "hint", "softmax").out.split())
    shown = run(tmp_path, "hint", "heads", "--solution").out
    assert "def split_heads" in shown
    assert "def merge_heads" in shown
    assert "wrong" not in shown
    assert "picogpt's own: split_heads in picogpt/gpt2.py, line " in shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["start"], 2, "start needs a folder"),
        (["hint"], 2, "hint needs the name of a rung"),
        (["climb"], 2, "'climb' is none of start, check, hint, status"),
        (["check", "sofmax"], 2, "there is no rung 'sofmax'"),
        (["check", "--solution"], 2, "--solution goes with hint"),
        (["check"], 1, "has no files to check: begin with start DIR"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path, words, code, said):
    done = run(tmp_path, *words)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err


def test_files_that_are_there_are_not_overwritten(bench):
    with pytest.raises(ValueError, match="is there already"):
        lay_out.start(bench)


def test_the_published_values_are_ours():
    for rung in LADDER.values():
        for case in rung.cases():
            if isinstance(case.expected, np.ndarray):
                found = examine.outcome(case, examine.our_functions(), np.float64)
                assert examine.complaint(found, case.expected, case, np.float64, NOWHERE) == []
