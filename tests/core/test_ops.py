import inspect
import math

import numpy as np
import pytest
from compare import NoFloat64, relative_error

from picogpt import ops

ATTENTION = ["attention", "attention_with_past"]
B, T, S, C, H, D, V = 2, 7, 9, 12, 3, 4, 17


def examples(dtype):
    """Return {name of an operation: keyword arguments}, every operation with all that it takes."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    qk = dict(q=draw(B, H, T, D), k=draw(B, H, S, D), mask=ops.causal_mask(T, S, dtype))
    keep = ops.dropout_mask((B, H, T, S), dtype, 0.3, rng)
    return dict(
        gelu=dict(x=draw(B, T, C)),
        softmax=dict(x=draw(B, T, C)),
        layer_norm=dict(x=draw(B, T, C), g=draw(C), b=draw(C)),
        row_dot=dict(a=draw(B, T, C), b=draw(B, T, C)),
        linear=dict(x=draw(B, T, C), w=draw(C, V), b=draw(V)),
        attention_weights=qk,
        attention_probs=qk,
        attention=dict(v=draw(B, H, S, D), keep=keep, **qk),
        causal_mask=dict(T=T, S=S, dtype=dtype, pad=np.array([0, 3])),
        dropout_mask=dict(shape=(B, T), dtype=dtype, p=0.3, rng=rng),
        dropout=dict(x=draw(B, H, T, S), keep=keep),
        cross_entropy=dict(logits=draw(B, T, V), targets=rng.integers(-1, V, (B, T))),
    )


OPERATIONS = list(examples(np.float32))


def call(name, record, dtype=np.float64):
    """Call an operation with what PyTorch took, and return what it makes and what PyTorch made."""
    took = {key: array for key, array in record.items() if not key.startswith("d") and key != "y"}
    floats = {key: array.astype(dtype) for key, array in took.items() if key != "targets"}
    mask = {}
    if name in ATTENTION:
        mask = dict(mask=ops.causal_mask(record["q"].shape[-2], record["k"].shape[-2], dtype))
        name = "attention"
    return getattr(ops, name)(**took | floats, **mask), record["y"]


def test_the_examples_cover_every_operation():
    functions = [name for name, f in vars(ops).items() if inspect.isfunction(f)]
    assert sorted(functions) == sorted([*OPERATIONS, "positions"])  # which makes whole numbers


def test_row_dot_is_the_sum_of_the_products():
    a, b = (examples(np.float64)["row_dot"][key] for key in "ab")
    np.testing.assert_allclose(ops.row_dot(a, b), (a * b).sum(axis=-1, keepdims=True), rtol=1e-13)


@pytest.mark.parametrize("name", ["gelu", "softmax", "layer_norm", "linear", *ATTENTION, "cross_entropy"])
def test_every_operation_is_pytorchs(name, pytorch_says):
    record = pytorch_says["operations"][name]
    ours, theirs = call(name, record)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    ours, _ = call(name, record, np.float32)
    assert relative_error(ours, theirs) < 1e-6


def test_the_records_of_pytorch_are_what_it_says_today(pytorch_says):
    pytest.importorskip("torch", reason="the recorded values stand for PyTorch, which is not installed")
    from record import pytorch

    live = pytorch.flatten(dict(operations=pytorch.operations(np.random.default_rng(0))))
    recorded = pytorch.flatten(dict(operations=pytorch_says["operations"]))
    assert list(live) == list(recorded)
    for name, array in live.items():
        np.testing.assert_allclose(array, recorded[name], rtol=1e-12, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_works_in_float32_alone(name):
    def watched(x):
        return x.view(NoFloat64) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x

    took = {key: watched(x) for key, x in examples(np.float32)[name].items()}
    assert getattr(ops, name)(**took).dtype == np.float32


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_keeps_float64(name):
    assert getattr(ops, name)(**examples(np.float64)[name]).dtype == np.float64


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_leaves_its_arguments_alone(name):
    took = examples(np.float32)[name]
    for x in took.values():
        if isinstance(x, np.ndarray):
            x.flags.writeable = False
    getattr(ops, name)(**took)


def test_shapes_are_those_of_the_docstrings():
    took = examples(np.float32)
    shapes = {name: getattr(ops, name)(**took[name]).shape for name in OPERATIONS}
    assert shapes == dict(
        gelu=(B, T, C),
        softmax=(B, T, C),
        layer_norm=(B, T, C),
        row_dot=(B, T, 1),
        linear=(B, T, V),
        attention_weights=(B, H, T, S),
        attention_probs=(B, H, T, S),
        attention=(B, H, T, D),
        causal_mask=(B, 1, T, S),
        dropout_mask=(B, T),
        dropout=(B, H, T, S),
        cross_entropy=(),
    )


def test_gelu_differs_from_the_exact_form_by_at_most_0_000473_at_2_70():
    x = np.linspace(-6, 6, 120_001)
    exact = np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    gap = np.abs(ops.gelu(x) - exact)
    assert round(gap.max(), 6) == 0.000473
    assert round(abs(x[gap.argmax()]), 2) == 2.70


def test_gelu_is_the_tutorials():
    expected = [[0.84119, 1.9546], [-0.0454, 0.34571]]
    np.testing.assert_allclose(ops.gelu(np.array([[1, 2], [-2, 0.5]])), expected, atol=5e-6)


def test_gelu_of_large_numbers_is_the_number_or_zero():
    for dtype in (np.float32, np.float64):
        x = np.array([-1e4, -50, 0, 50, 1e4], dtype)
        assert ops.gelu(x).tolist() == [0, 0, 0, 50, 1e4]


def test_the_softmax_that_the_tutorial_prints_belongs_to_another_input():
    printed = [[0.00034, 0.99966], [0.26894, 0.73106]]
    np.testing.assert_allclose(ops.softmax(np.array([[2, 10], [-1, 0]])), printed, atol=5e-6)
    of_its_input = ops.softmax(np.array([[2, 100], [-5, 0]]))
    assert np.abs(of_its_input - printed).max() > 0.2
    np.testing.assert_allclose(of_its_input.sum(axis=-1), 1)


def test_softmax_of_huge_numbers_is_finite():
    x = np.array([[1e30, 1e30, -1e30], [-1e30, -1e30, -1e30], [3e38, 0, -np.inf]], np.float32)
    np.testing.assert_allclose(ops.softmax(x), [[0.5, 0.5, 0], [1 / 3] * 3, [1, 0, 0]], rtol=1e-6)


def test_softmax_does_not_change_when_all_scores_rise():
    x = np.random.default_rng(0).standard_normal((5, 7))
    np.testing.assert_allclose(ops.softmax(x + 1000), ops.softmax(x), rtol=1e-11)


def test_layer_norm_is_the_tutorials():
    y = ops.layer_norm(np.array([[2, 2, 3], [-5, 0, 1]]), g=np.ones(3), b=np.zeros(3))
    np.testing.assert_allclose(y, [[-0.70709, -0.70709, 1.41418], [-1.397, 0.508, 0.889]], atol=5e-6)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), 1, atol=1e-4)


def test_layer_norm_of_a_constant_row_is_its_bias():
    b = np.array([1, 2, 3], np.float32)
    assert (
        ops.layer_norm(np.full((2, 3), 7, np.float32), np.ones(3, np.float32), b).tolist() == [[1, 2, 3]] * 2
    )


def test_linear_works_without_a_bias_and_on_a_transposed_matrix():
    took = examples(np.float64)["linear"]
    x, w, b = took["x"], took["w"], took["b"]
    np.testing.assert_allclose(ops.linear(x, w) + b, ops.linear(x, w, b))
    np.testing.assert_allclose(ops.linear(x, np.ascontiguousarray(w.T).T), np.einsum("btc,cv->btv", x, w))


def test_a_query_gives_exactly_no_attention_to_what_is_hidden():
    took = examples(np.float32)["attention_probs"]
    for pad in (None, np.array([0, 2])):
        mask = ops.causal_mask(T, S, np.float32, pad)
        probs = ops.attention_probs(took["q"] * 100, took["k"] * 100, mask)
        assert np.all(probs[np.broadcast_to(mask, probs.shape) < 0] == 0)
        np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-6)


def test_positions_count_from_the_cache_and_after_the_padding():
    assert ops.positions(0, 4).tolist() == [0, 1, 2, 3]
    assert ops.positions(5, 2).tolist() == [5, 6]
    assert ops.positions(0, 4, np.array([0, 3])).tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert ops.positions(4, 2, np.array([0, 3])).tolist() == [[4, 5], [1, 2]]


def test_the_causal_mask_counts_from_the_lower_right_corner():
    for T, S in [(1, 1), (1, 5), (4, 4), (3, 7)]:
        mask = ops.causal_mask(T, S, np.float32)
        assert mask.shape == (T, S)
        for query in range(T):
            seen = S - T + query + 1
            assert mask[query].tolist() == [0] * seen + [np.float32(-1e10)] * (S - seen)


def test_padding_is_hidden_from_every_query():
    mask = ops.causal_mask(3, 5, np.float32, pad=np.array([0, 2, 4]))
    assert mask.shape == (3, 1, 3, 5)
    causal = ops.causal_mask(3, 5, np.float32) < 0
    for b, pad in enumerate([0, 2, 4]):
        assert np.array_equal(mask[b, 0] < 0, causal | (np.arange(5) < pad))


def test_a_query_of_padding_has_finite_probabilities():
    took = examples(np.float32)["attention_probs"]
    probs = ops.attention_probs(took["q"], took["k"], ops.causal_mask(T, S, np.float32, np.array([S, S])))
    np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-6)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_vocabulary():
    for n_vocab in (3, 17, 50257):
        loss = ops.cross_entropy(np.zeros((2, 3, n_vocab)), np.array([[0, 1, 2], [-1, 2, -1]]))
        assert abs(loss - math.log(n_vocab)) < 1e-12


def test_cross_entropy_of_huge_logits_is_finite():
    logits = np.array([[1e30, 0, -1e30], [-1e4, 1e4, 0]], np.float32)
    assert ops.cross_entropy(logits, np.array([0, 1])) == 0
    assert ops.cross_entropy(logits, np.array([-1, 0])) == 20000


def test_dropout_keeps_the_expected_value():
    keep = ops.dropout_mask((1000, 1000), np.float32, 0.2, np.random.default_rng(0))
    assert np.unique(keep).tolist() == [0, 1.25]
    assert abs((keep == 0).mean() - 0.2) < 2e-3  # five standard deviations
    assert abs(keep.mean() - 1) < 2.5e-3
    x = np.full((1000, 1000), 3, np.float32)
    assert abs(ops.dropout(x, keep).mean() - 3) < 7.5e-3


def test_dropout_of_zero_draws_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert ops.dropout_mask((3, 4), np.float32, 0, rng) is None
    assert ops.dropout_mask((3, 4), np.float32, 0.0, rng) is None
    assert rng.bit_generator.state == before
    x = np.ones(3)
    assert ops.dropout(x, None) is x


def test_dropout_with_the_same_seed_is_the_same():
    first, again, other = (
        ops.dropout_mask((20, 20), np.float32, 0.5, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
