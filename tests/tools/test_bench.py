"""The benchmark: its arithmetic, its command line, and that every installed peer computes what we do.

Nothing here is about how long anything takes.
"""

import doctest
import itertools
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from bench import __main__ as bench
from bench import peer_models
from bench import race as bench_race
from bench import report as bench_report
from processes import run_python

from picogpt.params.shapes import param_shapes
from picogpt.params.tree import walk
from picogpt.text import bpe

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("module", [bench_report, peer_models], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).attempted
    assert not doctest.testmod(module).failed


def test_a_ratio_above_1_means_that_we_are_faster_in_every_unit_of_speed_and_time():
    ours, theirs = [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]  # seconds
    for unit in ("s", "ms", "tokens/s", "GFLOP/s"):
        row = bench_report.row("x", unit, ours, "peer", theirs, goal=1.9)
        assert (row["ratio"], row["low"], row["high"], row["met"]) == (2, 2, 2, True)
        assert not bench_report.row("x", unit, theirs, "peer", ours, goal=1.9)["met"]


def test_of_memory_the_goal_is_the_most():
    row = bench_report.row("x", "MB", [3e6], "peer", [2e6], goal=1.5)
    assert (row["ours"], row["theirs"], row["ratio"], row["met"]) == (3, 2, 1.5, True)
    assert not bench_report.row("x", "MB", [3e6], "peer", [2e6], goal=1.4)["met"]


def test_the_ratio_is_of_medians_and_the_range_of_rounds():
    row = bench_report.row("x", "ms", [1.0, 1.0, 1.0, 1.0, 10.0], "peer", [2.0, 3.0, 4.0, 5.0, 6.0], None)
    assert row["ratio"] == 4
    assert (row["low"], row["high"]) == (2, 4)  # quartiles of 0.6, 2, 3, 4, 5
    assert row["met"] is None


def test_work_of_different_size_is_compared_by_its_rate():
    row = bench_report.row("x", "tokens/s", [2.0], "peer", [1.0], goal=5, work=(16, 1))
    assert (row["ours"], row["theirs"], row["ratio"], row["met"]) == (8, 1, 8, True)


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_the_fitted_slope_is_the_power_of_the_growth(power):
    points = {n: 0.3 * n**power for n in (1, 2, 7, 64, 1000)}
    assert bench_report.slope(points) == pytest.approx(power)


def test_one_point_has_no_slope():
    assert bench_report.slope({124: 0.5}) is None


def test_the_arithmetic_of_a_prefill_is_counted_product_by_product():
    hparams, n_rows, length = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2), 2, 7
    count = 0
    for _, (path, shape) in itertools.product(range(n_rows), walk(param_shapes(**hparams))):
        if path.endswith(".w"):
            count += 2 * length * np.prod(shape)
        elif path == "wte":
            count += 2 * np.prod(shape)  # the head, after the last token
    for _ in range(n_rows * hparams["n_layer"] * hparams["n_head"]):
        for query in range(length):
            count += (query + 1) * 2 * 2 * 12 // 3  # q k^T and probs v with each key up to the query's own
    assert bench_report.prefill_flops(hparams, n_rows, length) == count


def test_a_case_is_chosen_by_its_name_or_by_its_beginning():
    assert bench.choose(["decode"]) == ["decode"]
    assert bench.choose(["train", "prefill"]) == ["prefill-1x1023", "prefill-8x128", "train"]
    assert bench.choose(["decode-"]) == ["decode-step", "decode-16"]
    assert bench.choose([]) == list(bench.CASES)


def test_the_text_that_loops_begins_as_published_and_goes_on_in_its_loop():
    ids, n_prompt = bench.looping_text(200)
    text = bpe.load_encoder(REPOSITORY / "models" / "gpt2-bpe").decode(ids[n_prompt:])
    assert len(ids) == n_prompt + 200
    assert text.count("The main goal of the project is to create a tool that can be used") > 5
    assert bench.looping_text(30)[0] == ids[: n_prompt + 30]


def test_the_text_that_never_matches_has_no_token_twice():
    [ids] = bench.random_ids(1, 1000)
    assert len(set(ids)) == 1000


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return bench_race.Bench(tmp_path_factory.mktemp("models"), threads=1, rounds=0, quick=True)


DECODE, PREFILL = ("decode", bench.random_ids(1, 20), 12), ("prefill", bench.random_ids(3, 30))
TRAIN, ENCODE = ("train", 2, 16, 3), ("encode", bench.english(20_000))


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("transformers", [DECODE, PREFILL]),
        ("llama.cpp f32 +hp", [DECODE]),
        ("onnxruntime +hp", [DECODE, PREFILL]),
        ("torch +hp", [PREFILL]),
        ("torch eager", [TRAIN]),
        ("torch fused +hp", [TRAIN]),
        ("picogpt x2", [TRAIN]),
        ("tiktoken", [ENCODE]),
        ("tokenizers", [ENCODE]),
    ],
)
def test_a_peer_computes_what_we_do(quick, name, calls):
    if lack := bench_race.lacks(name):
        pytest.skip(f"{name} is not installed: {lack}")
    for method, *arguments in calls:
        agree = dict(
            decode=bench_race.same_ids(arguments[0]),
            prefill=bench_race.same_logits(arguments[0]),
            train=bench_race.same_losses,
            encode=bench_race.equal,
        )[method]
        entrants = {engine: (engine, method, *arguments) for engine in ("picogpt", name)}
        folder = None if method == "encode" else quick.model("124M")
        assert set(quick.race(entrants, folder, agree)) == {"picogpt", name}


@pytest.mark.parametrize("dtype", ["", " bfloat16", " int8"])
def test_the_compiled_products_write_what_numpy_writes(quick, dtype):
    plain, fast = f"picogpt{dtype}", f"picogpt fast{dtype}"
    if lack := bench_race.lacks(fast):
        pytest.skip(f"{fast} cannot run: {lack}")
    method, prompts, n_new = DECODE
    entrants = {engine: (engine, method, prompts, n_new) for engine in (plain, fast)}
    agree = bench_race.same_ids(prompts, plain)
    assert set(quick.race(entrants, quick.model("124M"), agree)) == {plain, fast}


@pytest.mark.parametrize("name", ["llama.cpp f16 +hp", "llama.cpp q8_0 +hp"])
def test_llama_cpp_in_fewer_bytes_begins_with_our_token(quick, name):
    if lack := bench_race.lacks(name):
        pytest.skip(f"{name} is not installed: {lack}")
    method, prompts, n_new = DECODE
    found = {}

    def keep(workers, results):
        found.update(results)

    quick.race({e: (e, method, prompts, n_new) for e in ("picogpt", name)}, quick.model("124M"), keep)
    if name not in found:
        pytest.skip(quick.notes[-1])  # it crashed, as q8_0 does on some processors
    [ours], [theirs] = found["picogpt"], found[name]
    assert len(theirs) == n_new and theirs[0] == ours[0]


def test_what_is_dictated_is_written_with_and_without_lookup(quick):
    text, n_prompt = bench.looping_text(60)
    call = "picogpt", "decode", [text[:n_prompt]], 60
    entrants = {"with lookup": (*call, True), "plain decode": (*call, False)}
    agree = bench_race.equal_to([text[n_prompt:]])
    quick.race(entrants, quick.model("124M"), agree, setup=("dictate", text))


def test_other_ids_are_refused_unless_rounding_explains_them(quick):
    prompts = bench.random_ids(1, 20)
    with quick.worker("picogpt") as worker:
        worker.call("load", quick.model("124M"))
        _, ours = worker.call("decode", prompts, 6)
        agree, workers = bench_race.same_ids(prompts), {"picogpt": worker}
        assert agree(workers, dict(picogpt=ours, transformers=ours)) == []
        for theirs in ([[*ours[0][:5], 7]], [ours[0][:5]]):
            with pytest.raises(ValueError, match="transformers writes another text than picogpt"):
                agree(workers, dict(picogpt=ours, transformers=theirs))


def test_other_losses_texts_and_logits_are_refused():
    with pytest.raises(ValueError, match=r"the losses of torch eager are off by up to 0\.00020"):
        bench_race.same_losses({}, {"picogpt": [10.0, 9.0], "torch eager": [10.0, 9.0002]})
    with pytest.raises(ValueError, match="tiktoken returned something else than picogpt"):
        bench_race.equal({}, dict(picogpt=[1], tiktoken=[2]))

    class Fake:
        def __init__(self, *row):
            self.row = row

        def call(self, method, prompts):
            return 0.0, np.array([self.row])

    agree = bench_race.same_logits([[1]])
    workers = dict(picogpt=Fake(1.0, 3.0), transformers=Fake(1.0, 3.001))
    with pytest.raises(ValueError, match=r"the logits of transformers are off by up to 0\.00100"):
        agree(workers, dict(picogpt=[1], transformers=[1]))
    with pytest.raises(ValueError, match="picogpt"):
        agree(dict(picogpt=Fake(1.0, 3.0)), dict(picogpt=[0]))


def test_an_engine_that_fails_is_one_sentence(quick):
    with quick.worker("picogpt") as worker:
        with pytest.raises(ValueError, match="picogpt failed in load: ValueError: nowhere is neither"):
            worker.call("load", "nowhere")
        worker.process.kill()
        with pytest.raises(ValueError, match="the process of picogpt ended in load with code -9"):
            worker.call("load", "nowhere")


def test_a_peer_that_is_not_installed_is_left_out_and_said(quick, monkeypatch, caplog):
    monkeypatch.setattr(bench_race, "lacks", lambda name: "pip install it" if name == "tiktoken" else None)
    other = bench_race.Bench(quick.folder, threads=1, rounds=1, quick=True)
    times = other.race({name: (name, "encode", "text") for name in ("picogpt", "tiktoken")})
    assert set(times) == {"picogpt"}
    assert caplog.messages == ["tiktoken is left out: pip install it"]
    assert other.results()["notes"] == ["Left out, as not installed: tiktoken."]


def test_a_peer_that_crashes_is_left_out_and_said_and_we_are_not(quick, monkeypatch):
    monkeypatch.setattr(bench_race, "lacks", lambda name: None)
    call, fallen = bench_race.Worker.call, "tiktoken"

    def falls(worker, *words):
        if worker.name == fallen:
            worker.process.kill()
        return call(worker, *words)

    monkeypatch.setattr(bench_race.Worker, "call", falls)
    other = bench_race.Bench(quick.folder, threads=1, rounds=1, quick=True)
    entrants = {name: (name, "encode", "text") for name in ("picogpt", "tiktoken")}
    assert set(other.race(entrants, agree=bench_race.equal)) == {"picogpt"}
    assert other.notes == ["Left out: the process of tiktoken ended in encode with code -9."]
    fallen = "picogpt"
    with pytest.raises(ValueError, match="the process of picogpt ended"):
        other.race(entrants)


def run(*words):
    """Run the tool; return its exit code and what it writes."""
    return run_python(REPOSITORY / "tools" / "bench", *words)


def test_a_quick_run_prints_a_table_and_writes_what_it_is_asked_for(tmp_path):
    page, numbers, picture = tmp_path / "a.md", tmp_path / "a.json", tmp_path / "a.png"
    plot = ["--plot", picture] if find_spec("matplotlib") else []
    code, table, said = run("--quick", "decode-step", "--json", numbers, "--markdown", page, *plot)
    assert code == 0, said
    assert "all weights in gemvs" in table
    assert "the times mean nothing" in table
    assert page.read_text().count("| decode step | steps/s | picogpt |") == 1
    results = json.loads(numbers.read_text())
    [row], [raw] = results["rows"], results["raw"]
    assert row["ours"] == pytest.approx(7 / raw["seconds"]["picogpt"][0])
    assert raw["peak_bytes"]["picogpt"][0] > 1e6
    assert {"cpu", "cores", "threads", "system", "blas", "huge_pages"} == set(results["machine"])
    if plot:
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_help_names_every_case():
    code, page, said = run("--help")
    assert (code, said) == (0, "")
    assert all(name in page for name in bench.CASES)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "there is no case nothing; the cases are decode, fewer-bytes,"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--threads", "-1"], "--threads must be at least 1, not -1"),
        (["--speed"], "unrecognized arguments: --speed"),
        (["--json", "no/such/file.json"], "no/such is not a folder"),
    ],
)
def test_a_wrong_call_is_one_line(words, says):
    code, table, said = run(*words)
    assert (code, table) == (2, "")
    assert said.startswith(f"bench: {says}")
    assert said.count("\n") == 1
