"""Weights in bfloat16 and int8 give what their numbers, widened, give in float32."""

import copy
from pathlib import Path

import numpy as np
import pytest

from picogpt import gpt2
from picogpt.checkpoints import safetensors, weights
from picogpt.evaluate.scoring import rolling_log_probs
from picogpt.generate import generate
from picogpt.grad import loss_and_grads
from picogpt.params import narrow
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map
from picogpt.speed import compiled
from picogpt.speed.prefill import prefill

HPARAMS = dict(n_vocab=531, n_ctx=48, n_embd=64, n_head=4, n_layer=2)
NARROW = ["bfloat16", "int8"]
TALES = weights.shipped("tales")


@pytest.fixture(params=["in NumPy", "with compiled products"], autouse=True)
def product(request, monkeypatch):
    """Run each test twice: by the definition, and by speed/products.py where Numba is installed."""
    monkeypatch.setattr(narrow.Matrix, "product", None)
    monkeypatch.setattr(compiled, "fetch", lambda kind: None)
    if request.param == "with compiled products":
        pytest.importorskip("numba")
        from picogpt.speed import products

        for kind in (np.uint16, np.int8):
            products.use(kind, 1)


def model(**options):
    """A random model whose matrices differ, and are larger than in an untrained one."""
    params = init_params(HPARAMS | options, np.random.default_rng(0))
    return tree_map(lambda w: w * 8 if w.ndim > 1 else w + np.float32(w.shape == (1,)), params)


def pair(dtype, **options):
    """A model with narrow matrices, and the same numbers in float32."""
    params = narrow.narrowed(model(**options), dtype)
    return params, tree_map(narrow.widened, params)


def test_int8_is_within_half_a_step_of_each_output_and_bfloat16_within_2_to_the_minus_8():
    w = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    w[3] = 0
    rows, scale = narrow.to_int8(w)
    assert rows.dtype == np.int8 and scale.shape == (30,) and not rows[3].any()
    assert np.all(np.abs(rows).max(axis=1) == np.where(np.arange(30) == 3, 0, 127))
    np.testing.assert_allclose(scale, np.where(np.arange(30) == 3, 1, np.abs(w).max(axis=1) / 127), rtol=1e-6)
    assert np.all(np.abs(rows * scale[:, None] - w) <= scale[:, None] * 0.5001)
    half = narrow.widen(narrow.to_bfloat16(w))
    assert np.all(np.abs(half - w) <= np.abs(w) * 2**-8 * 1.0001)


def test_half_way_between_two_numbers_of_bfloat16_the_even_one_is_taken():
    between = np.float32([1 + 2**-8, 1 + 3 * 2**-8, -1 - 3 * 2**-8, 1 + 3 * 2**-8 - 2**-20])
    even = [1, 1 + 2**-6, -1 - 2**-6, 1 + 2**-7]  # the last is not half way
    np.testing.assert_array_equal(narrow.widen(narrow.to_bfloat16(between)), np.float32(even))


def test_what_is_rounded_is_what_is_multiplied():
    made = flatten(narrow.narrowed(model(tied=False), "int8"))
    linear = [f"{part}.{name}.w" for part in ("attn", "mlp") for name in ("c_proj", "c_attn", "c_fc")]
    expected = {"wte", "lm_head", *(f"blocks.{n}.{name}" for n in (0, 1) for name in linear)} & made.keys()
    assert len(expected) == 10
    assert {path for path, array in made.items() if isinstance(array, narrow.Matrix)} == expected


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("block", [1, 100, narrow.BLOCK])
@pytest.mark.parametrize("n_rows", [1, 3, 17])
def test_a_product_is_that_of_the_widened_matrix(dtype, block, n_rows, monkeypatch):
    monkeypatch.setattr(narrow, "BLOCK", block)
    rng = np.random.default_rng(1)
    w = rng.normal(size=(40, 25)).astype(np.float32)
    x = rng.normal(size=(n_rows, 40)).astype(np.float32)
    matrix = narrow.narrow({"a.w": w}, dtype)["a.w"]
    wide = narrow.widened(matrix)
    assert matrix.shape == wide.shape == w.shape and len(matrix) == 40 and matrix.T.shape == (25, 40)
    exact = x.astype(np.float64) @ wide.astype(np.float64)
    bound = 1e-6 * (np.abs(x) @ np.abs(wide))
    assert (x @ matrix).dtype == np.float32
    assert np.all(np.abs(x @ matrix - exact) <= bound)
    y = x @ matrix
    np.testing.assert_allclose(y @ matrix.T, y @ wide.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", NARROW)
def test_rows_are_looked_up_and_left_out(dtype):
    w = np.random.default_rng(2).normal(size=(30, 8)).astype(np.float32)
    matrix = narrow.narrow({"wte": w}, dtype)["wte"]
    wide, ids = narrow.widened(matrix), np.array([[3, 29], [0, 3]])
    np.testing.assert_array_equal(matrix[ids], wide[ids])
    np.testing.assert_array_equal(matrix[4], wide[4])
    np.testing.assert_array_equal(matrix[..., :3], wide[..., :3])
    fewer = matrix[:11]
    assert isinstance(fewer, narrow.Matrix)
    np.testing.assert_array_equal(narrow.widened(fewer), wide[:11])
    for index in (5, slice(2, 6), ids % 8):
        np.testing.assert_array_equal(matrix.T[index], wide.T[index])


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(tied=False, bias=False),
        dict(scale_by_layer=True),
        dict(norm="post", positions="rotary"),
        dict(rezero=True, rms=True),
    ],
    ids=str,
)
def test_a_narrow_model_gives_what_its_widened_weights_give(dtype, options):
    params, wide = pair(dtype, **options)
    ids = np.random.default_rng(3).integers(0, 531, (2, 40))
    np.testing.assert_allclose(gpt2.gpt2(ids, params, 4), gpt2.gpt2(ids, wide, 4), rtol=1e-4, atol=1e-4)
    ours, theirs = (gpt2.KVCache(p, 4, batch=2) for p in (params, wide))
    assert ours.kv.dtype == np.float32
    for part in (ids[:, :30], ids[:, 30:31], ids[:, 31:]):
        np.testing.assert_allclose(
            prefill(part, params, 4, ours), prefill(part, wide, 4, theirs), rtol=1e-4, atol=1e-4
        )
    np.testing.assert_allclose(ours.kv[:, :, :, :, :40], theirs.kv[:, :, :, :, :40], rtol=1e-4, atol=1e-4)
    assert generate(params, 4, [[1, 2], [3]], 20) == generate(wide, 4, [[1, 2], [3]], 20)


@pytest.mark.parametrize("dtype", NARROW)
def test_the_bundled_model_foresees_a_text_nearly_as_well(dtype):
    exact, hparams, encoder = weights.load(TALES)
    params, _, _ = weights.load(TALES, dtype=dtype)
    text = Path(__file__).parents[1].joinpath("data", "story_prompts.txt").read_text(encoding="utf-8")
    ids = [encoder.start, *encoder.encode(text)][:1500]
    ours, theirs = (-rolling_log_probs(p, hparams["n_head"], ids).mean() for p in (params, exact))
    assert abs(ours / theirs - 1) < dict(bfloat16=1e-6, int8=0.005)[dtype]  # it is stored in bfloat16


@pytest.mark.parametrize("dtype", NARROW)
def test_what_is_saved_narrow_opens_as_it_was_in_every_dtype(dtype, tmp_path):
    params, wide = pair(dtype, tied=False)
    hparams = HPARAMS | dict(tied=False)
    weights.save(tmp_path, params, hparams)
    for asked in (dtype, "float32"):
        loaded = weights.load(tmp_path, dtype=asked)[0]
        assert all(
            isinstance(a, narrow.Matrix) == (asked == dtype and narrow.is_matrix(path))
            for path, a in flatten(loaded).items()
        )
        for path, array in flatten(tree_map(narrow.widened, loaded)).items():
            np.testing.assert_array_equal(array, flatten(wide)[path], err_msg=path)
    other = NARROW[1 - NARROW.index(dtype)]
    loaded = flatten(weights.load(tmp_path, dtype=other)[0])
    for path, array in flatten(narrow.narrowed(wide, other)).items():
        np.testing.assert_array_equal(narrow.widened(loaded[path]), narrow.widened(array), err_msg=path)


def test_others_read_what_is_saved_in_bfloat16_and_can_read_int8_by_the_files_own_words(tmp_path):
    numpy_file = pytest.importorskip("safetensors.torch")
    params = model()
    weights.save(tmp_path / "half", narrow.narrowed(params, "bfloat16"), HPARAMS)
    theirs = numpy_file.load_file(tmp_path / "half" / weights.WEIGHTS)
    import torch

    for path, array in flatten(params).items():
        expected = torch.from_numpy(array)
        expected = expected.bfloat16() if narrow.is_matrix(path) else expected
        assert torch.equal(theirs[path], expected), path
    weights.save(tmp_path / "quarter", narrow.narrowed(params, "int8"), HPARAMS)
    theirs = numpy_file.load_file(tmp_path / "quarter" / weights.WEIGHTS)
    said = safetensors.read(tmp_path / "quarter" / weights.WEIGHTS)[1]["int8"]
    assert "NAME * NAME.scale[:, None]" in said and "[out, in]" in said
    for path in ("wte", "blocks.1.mlp.c_fc.w"):
        rows = theirs[path] * theirs[f"{path}.scale"][:, None]
        array = flatten(params)[path]
        array = array if path == "wte" else array.T
        assert np.abs(rows.numpy() - array).max() <= np.abs(array).max() / 127 * 0.51


def damage(folder, change):
    tensors, metadata = safetensors.read(folder / weights.WEIGHTS)
    change(tensors)
    safetensors.write(folder / weights.WEIGHTS, tensors, metadata)


def without_scale(tensors):
    del tensors["wte.scale"]


def scale_of_another_shape(tensors):
    tensors["wte.scale"] = tensors["wte.scale"][:-1]


def scale_in_float64(tensors):
    tensors["wte.scale"] = tensors["wte.scale"].astype(np.float64)


def norm_in_int8(tensors):
    tensors |= {"ln_f.g": np.ones(64, np.int8), "ln_f.g.scale": np.ones(64, np.float32)}


def infinite_scale(tensors):
    tensors["blocks.0.attn.c_attn.w.scale"][3] = np.inf


@pytest.mark.parametrize(
    "change, says",
    [
        (without_scale, "wte in int8: picogpt reads float32"),
        (scale_of_another_shape, "wte and wte.scale, but not as int8"),
        (scale_in_float64, "wte and wte.scale, but not as int8"),
        (norm_in_int8, r"has ln_f\.g\.scale that a GPT-2"),
        (infinite_scale, "NaN or infinity in blocks.0.attn.c_attn.w"),
    ],
)
@pytest.mark.parametrize("dtype", narrow.DTYPES)
def test_a_damaged_int8_file_is_one_sentence(change, says, dtype, tmp_path):
    weights.save(tmp_path, narrow.narrowed(model(), "int8"), HPARAMS)
    damage(tmp_path, change)
    with pytest.raises(ValueError, match=says):
        weights.load(tmp_path, dtype=dtype)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_noticed_in_every_dtype(dtype, wrong, tmp_path):
    params = model()
    params["blocks"][1]["mlp"]["c_fc"]["w"][5, 7] = wrong
    tensors = flatten(params)
    weights.save(tmp_path, model(), HPARAMS)
    safetensors.write(tmp_path / weights.WEIGHTS, tensors, {})
    with pytest.raises(ValueError, match=r"NaN or infinity in blocks\.1\.mlp\.c_fc\.w"):
        weights.load(tmp_path, dtype=dtype)


def test_gradients_are_those_of_the_widened_weights():
    params, wide = pair("int8")
    ids = np.random.default_rng(4).integers(0, 531, (2, 2, 20))
    (loss, grads), (expected, theirs) = (loss_and_grads(p, *ids, 4) for p in (params, wide))
    assert abs(loss / expected - 1) < 1e-6
    for path, array in flatten(grads).items():
        np.testing.assert_allclose(array, flatten(theirs)[path], rtol=1e-3, atol=1e-6, err_msg=path)


def test_another_dtype_and_what_would_train_are_refused():
    with pytest.raises(ValueError, match="dtype must be float32 or bfloat16 or int8, not int4"):
        weights.load(TALES, dtype="int4")
    params = narrow.narrowed(model(), "int8")
    with pytest.raises(TypeError, match="zeros_like cannot take a matrix of int8: widen it first"):
        tree_map(np.zeros_like, params)
    with pytest.raises(TypeError, match="concatenate cannot take a matrix of int8"):
        np.concatenate([params["wte"], params["wte"]])


def test_narrowing_lets_go_of_each_array_it_has_read(monkeypatch):
    arrays, gone = flatten(model()), []
    before = copy.copy(arrays)
    monkeypatch.setattr(narrow, "let_go", lambda array: gone.append(array.ctypes.data))
    made = narrow.narrow(arrays, "bfloat16")
    assert sorted(gone) == sorted(a.ctypes.data for path, a in before.items() if path not in arrays)
    assert list(made) == list(before) and not any(narrow.is_matrix(path) for path in arrays)
