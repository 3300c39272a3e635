import math

import numpy as np
import pytest
from compare import NoFloat64

from picogpt.descendants.erf import gelu_erf, gelu_erf_backward, normal_cdf

X = np.linspace(-12, 12, 24_001)
EXACT = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in X])


def test_the_cdf_is_the_exact_one_within_1e_7():
    assert np.abs(normal_cdf(X) - EXACT).max() < 1e-7
    assert np.abs(normal_cdf(X.astype(np.float32)) - EXACT).max() < 5e-7


def test_gelu_erf_is_x_times_the_cdf_within_3e_7():
    assert np.abs(gelu_erf(X) - X * EXACT).max() < 3e-7


def test_gelu_erf_is_the_tutorials():
    expected = [[0.84134, 1.9545], [-0.0455, 0.34573]]
    np.testing.assert_allclose(gelu_erf(np.array([[1.0, 2], [-2, 0.5]])), expected, atol=5e-6)


def test_gelu_erf_is_pytorchs():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X).requires_grad_()
    y = torch.nn.functional.gelu(x)
    y.sum().backward()
    np.testing.assert_allclose(gelu_erf(X), y.detach().numpy(), atol=3e-7)
    np.testing.assert_allclose(gelu_erf_backward(1.0, X), x.grad.numpy(), atol=2e-7)


def test_gelu_erf_backward_is_the_derivative():
    slope = EXACT + X * np.exp(-X * X / 2) / math.sqrt(2 * math.pi)
    assert np.abs(gelu_erf_backward(2.0, X) - 2 * slope).max() < 2e-7


def test_gelu_erf_of_large_numbers_is_the_number_or_zero():
    for dtype in (np.float32, np.float64):
        x = np.array([-1e4, -50, 0, 50, 1e4], dtype)
        assert gelu_erf(x).tolist() == [0, 0, 0, 50, 1e4]
        assert gelu_erf_backward(np.ones(5, dtype), x) == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-7)


def test_no_operation_works_in_float64_or_changes_its_arguments():
    x = X.astype(np.float32)
    before = x.copy()
    for y in (gelu_erf(x.view(NoFloat64)), gelu_erf_backward(x.view(NoFloat64), x.view(NoFloat64))):
        assert y.dtype == np.float32
    np.testing.assert_array_equal(x, before)
