"""The compiled products, where Numba is installed: the same results, and a start that does not wait."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints import in_place, weights
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.params import narrow
from picogpt.params.tree import flatten, tree_map
from picogpt.speed import compiled
from picogpt.system.machine import split

TALES = weights.shipped("tales")
GOLDENS = Path(__file__).parents[1] / "references" / "tales" / "golden_greedy.json"
PROMPTS = ["Once upon a time", "One day, a cat", "Tom and Mia", "The end."]
KINDS = dict(float32=np.float32, bfloat16=np.uint16, int8=np.int8)
with_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs numba")


@pytest.fixture
def products(monkeypatch):
    """The products, which every Matrix multiplies by in this test; and how many they have made."""
    pytest.importorskip("numba")
    from picogpt.speed import products

    monkeypatch.setattr(narrow.Matrix, "product", None)
    monkeypatch.setattr(compiled, "fetch", lambda kind: None)
    for kind in KINDS.values():
        products.use(kind, 1)
    made, product = [], narrow.Matrix.product

    def counting(matrix, x):
        y = product(matrix, x)
        made.append(y is not None)
        return y

    monkeypatch.setattr(narrow.Matrix, "product", counting)
    monkeypatch.setattr(products, "made", made, raising=False)
    return products


def matrix_of(kind, n_out, n_in, seed=0):
    w = np.random.default_rng(seed).normal(size=(n_out, n_in)).astype(np.float32)
    return narrow.Matrix(w) if kind == "float32" else narrow.narrow({"wte": w}, kind)["wte"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_rows", [1, 3, 4, 6, 16])
@pytest.mark.parametrize("shape", [(2, 1), (3, 5), (50, 768)], ids=str)
def test_a_product_is_the_exact_one_of_the_widened_numbers_within_float32s_rounding(
    kind, n_rows, shape, products, monkeypatch
):
    monkeypatch.setattr(products, "ROWS", dict.fromkeys(products.ROWS, range(17)))
    matrix = matrix_of(kind, *shape)
    x = np.random.default_rng(1).normal(size=(n_rows, shape[1])).astype(np.float32)
    wide = narrow.widened(matrix).astype(np.float64)
    y = x @ matrix.T
    assert y.dtype == np.float32 and products.made == [True]
    assert np.all(np.abs(y - x @ wide.T) <= 4e-7 * (np.abs(x) @ np.abs(wide.T)))
    strided = np.repeat(x, 2, axis=1)[:, ::2]  # as a row of a larger array is
    np.testing.assert_array_equal(strided @ matrix.T, y)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_so_and_many_rows_are_left_to_blas(kind, products):
    matrix = matrix_of(kind, 20, 30)
    x = np.ones((2, 30), np.float32)
    x[0, 3], x[1, 4] = np.nan, np.inf
    y = x @ matrix.T
    assert np.isnan(y[0]).all() and not np.isfinite(y[1]).any()
    many = np.ones((17, 30), np.float32)
    np.testing.assert_allclose(many @ matrix.T, many @ narrow.widened(matrix).T, rtol=1e-5, atol=1e-5)
    assert products.made == [True, False]
    few = np.ones((2, 3), np.float32) @ (single := matrix_of(kind, 1, 3)).T  # of one output
    np.testing.assert_allclose(few, np.full((2, 1), narrow.widened(single).sum()), rtol=1e-6)
    assert products.made == [True, False, False]
    _ = x[:1] @ matrix.T  # in float32 NumPy reads the same bytes, and is as fast
    assert products.made[3:] == [kind != "float32"]


@pytest.mark.parametrize("dtype", narrow.DTYPES)
def test_greedy_text_is_the_same_with_and_without(dtype, products, monkeypatch):
    params, hparams, encoder = weights.load(TALES, dtype=dtype)
    if dtype == "float32":
        in_place.move(params, compiled.place)
    prompts = [encoder.encode(text) for text in PROMPTS]
    batches = [prompts[:1], prompts]
    with_them = [generate(params, hparams["n_head"], rows, 40) for rows in batches]
    assert sum(products.made) > 200
    monkeypatch.setattr(narrow.Matrix, "product", None)
    plain = tree_map(narrow.widened, params)
    assert [generate(plain, hparams["n_head"], rows, 40) for rows in batches] == with_them


def test_float32_writes_what_hugging_face_wrote(products, monkeypatch):
    monkeypatch.setattr(products, "ROWS", dict.fromkeys(products.ROWS, range(17)))
    params, hparams, _ = weights.load(TALES)
    in_place.move(params, compiled.place)
    entries = json.loads(GOLDENS.read_text(encoding="utf-8"))
    for entry in entries:
        new = generate(params, hparams["n_head"], [entry["prompt_ids"]], entry["n_new"])
        assert new == [entry["ids"]], entry["id"]
    assert len(entries) > 10 and sum(products.made) > 1000


def test_threads_may_multiply_at_the_same_time(products):
    products.use(np.int8, 2)
    matrix, xs = matrix_of("int8", 300, 400), np.random.default_rng(2).normal(size=(12, 1, 400))
    xs = xs.astype(np.float32)
    expected, found = [x @ matrix.T for x in xs], [None] * len(xs)

    def work(part):
        for i in range(*part.indices(len(xs))):
            found[i] = xs[i] @ matrix.T

    threads = [threading.Thread(target=work, args=[part]) for part in split(len(xs), 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, expected)


THREADS_OF_EVERY_KIND = """
import threading, numpy as np
from picogpt.params import narrow
from picogpt.speed import products
products.use(np.int8, 2)
m = narrow.narrow({"wte": np.ones((64, 64), np.float32)}, "int8")["wte"]
x = np.ones((1, 64), np.float32)
threads = [threading.Thread(target=lambda: [x @ m.T for _ in range(30)]) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
import numba
print(numba.threading_layer(), float((x @ m.T).sum()))
"""


@with_numba
def test_numbas_simplest_way_to_start_threads_survives_several_at_once():
    words = [sys.executable, "-c", THREADS_OF_EVERY_KIND]
    environment = dict(os.environ, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2")
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["workqueue", "4096.0"], done.stderr


def test_they_are_fetched_only_when_writing_has_taken_a_while(monkeypatch):
    fetched = []
    monkeypatch.setattr(compiled, "available", lambda: True)
    monkeypatch.setattr(compiled, "fetch", fetched.append)
    params, hparams, encoder = weights.load(TALES, dtype="int8")
    ids = encoder.encode(PROMPTS[0])
    monkeypatch.setattr(compiled, "WORTH", 1e9)
    generate(params, hparams["n_head"], [ids], 5)
    assert fetched == []
    monkeypatch.setattr(compiled, "WORTH", -1)
    generate(params, hparams["n_head"], [ids], 1)
    assert fetched == []  # the first token does not wait
    generate(params, hparams["n_head"], [ids], 3, guesser=False)
    assert set(fetched) == {np.dtype(np.int8)}


def test_without_numba_or_told_so_nothing_is_fetched_and_a_tree_stays_as_it_is(monkeypatch):
    params, _, _ = weights.load(TALES)
    monkeypatch.setenv(compiled.OFF, "1")
    assert not compiled.available()
    in_place.move(params, compiled.place)
    assert {type(array) for array in flatten(params).values()} == {np.ndarray}
    monkeypatch.delenv(compiled.OFF)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not compiled.available()
    compiled.fetch.cache_clear()
    assert compiled.fetch(np.dtype(np.int8)) is None
    compiled.fetch.cache_clear()


def test_a_numba_that_does_not_work_is_said_and_done_without(monkeypatch, caplog):
    def broken(name):
        raise ImportError("Numba needs NumPy 2.3 or less")

    monkeypatch.setattr(importlib, "import_module", broken)
    monkeypatch.setattr(narrow.Matrix, "product", None)
    compiled.use(np.int8, 1)
    assert "cannot be used, ImportError: Numba needs NumPy 2.3 or less" in caplog.text
    assert not compiled.in_use()


@pytest.fixture
def as_if_there(monkeypatch):
    """Let Numba and the products be there as far as one can see; return for what they were asked."""
    asked, fetch = [], compiled.fetch
    monkeypatch.delenv(compiled.OFF, raising=False)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: name == "numba" or None)
    stand_in = SimpleNamespace(use=lambda kind, n_threads: asked.append((kind, n_threads)))
    monkeypatch.setitem(sys.modules, "picogpt.speed.products", stand_in)
    monkeypatch.setattr(compiled.machine, "n_threads", lambda: 3)
    fetch.cache_clear()
    yield asked
    fetch.cache_clear()


def test_they_are_fetched_once_for_each_kind_of_weights_by_a_thread_of_their_own(as_if_there):
    threads = [compiled.fetch(np.dtype(kind)) for kind in (np.int8, np.uint16, np.int8)]
    assert threads[0] is threads[2] is not threads[1]
    for thread in threads:
        thread.join(60)
        assert thread.name == "products"
    assert sorted(as_if_there, key=str) == [(np.dtype(np.int8), 3), (np.dtype(np.uint16), 3)]


def test_a_program_that_ends_does_not_wait_for_them(as_if_there, monkeypatch):
    ending = SimpleNamespace(is_alive=lambda: False)
    monkeypatch.setattr(compiled.threading, "main_thread", lambda: ending)
    compiled.use(np.int8, 1)
    assert as_if_there == []


def test_they_are_for_matrices_that_lie_as_they_need_them(as_if_there, monkeypatch):
    asked = []
    monkeypatch.setattr(compiled, "fetch", asked.append)
    array = np.zeros((3, 2), np.float32)
    for wte in (array, narrow.Matrix(array), narrow.to_int8(array)[0]):
        compiled.fetch_if_worth(-1e9, dict(wte=wte))
    compiled.fetch_if_worth(compiled.time.perf_counter(), dict(wte=narrow.Matrix(array)))
    assert asked == [np.dtype(np.float32)]


@pytest.mark.parametrize(("said", "on"), [("", True), ("0", True), ("1", False), ("yes", False)])
def test_the_environment_may_leave_them_out(said, on, as_if_there, monkeypatch):
    monkeypatch.setenv(compiled.OFF, said)
    assert compiled.available() == on
    compiled.turn_off()
    assert not compiled.available()


def test_an_installation_that_fails_in_any_way_is_done_without(as_if_there, monkeypatch, caplog):
    def broken(*_):
        raise SystemError("LLVM has another version")

    monkeypatch.setattr(sys.modules["picogpt.speed.products"], "use", broken)
    compiled.use(np.int8, 1)
    assert "cannot be used, SystemError: LLVM has another version" in caplog.text


def test_a_long_text_has_float32_laid_out_for_them(as_if_there):
    params, plain = (weights.load(TALES)[0] for _ in range(2))
    in_place.move(params, compiled.place)
    for path, array in flatten(params).items():
        assert isinstance(array, narrow.Matrix) == narrow.is_matrix(path)
        np.testing.assert_array_equal(narrow.widened(array), flatten(plain)[path], err_msg=path)
    matrices = [array for array in flatten(params).values() if isinstance(array, narrow.Matrix)]
    assert all(m.rows.flags.c_contiguous and m.rows.flags.writeable for m in matrices)
    ids = [[1, 2, 3]]
    np.testing.assert_allclose(gpt2(ids, params, 4), gpt2(ids, plain, 4), rtol=1e-5, atol=1e-4)
