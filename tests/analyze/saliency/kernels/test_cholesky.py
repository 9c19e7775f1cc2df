"""Inverse factors and quadratic forms of matrices against their inverses; a stack with an indefinite one."""

import numpy as np
import pytest

from vadprobe.analyze.saliency.kernels.cholesky import inverse_factor, quadratic_form


def matrices(seed, size, heads=3, condition=1e4):
    """Symmetric positive definite, with eigenvalues from 1 to `condition`."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(heads, size, size)))[0]
    values = condition ** generator.uniform(0, 1, (heads, 1, size))
    return (basis * values) @ basis.swapaxes(1, 2)


@pytest.mark.parametrize("size", [1, 2, 9, 40, 128])
def test_equal_to_the_inverse(size):
    given = matrices(0, size)
    factor = inverse_factor(given)
    expected = np.linalg.inv(given)
    np.testing.assert_allclose(factor.swapaxes(1, 2) @ factor, expected, rtol=1e-9, atol=1e-10)
    vectors = np.random.default_rng(1).normal(size=(3, size))
    np.testing.assert_allclose(
        quadratic_form(given, vectors), np.einsum("hi,hij,hj->h", vectors, expected, vectors), rtol=1e-9
    )


def test_no_heads():
    assert inverse_factor(np.empty((0, 20, 20))).shape == (0, 20, 20)
    assert quadratic_form(np.empty((0, 30, 30)), np.empty((0, 30))).shape == (0,)


@pytest.mark.parametrize("size", [5, 30])
def test_a_matrix_that_is_not_definite_is_unknown_and_spoils_no_other(size):
    given = matrices(4, size)
    vectors = np.random.default_rng(5).normal(size=(3, size))
    expected, factors = quadratic_form(given, vectors), inverse_factor(given)
    given[1] = np.outer(vectors[1], vectors[1]) - np.eye(size)
    assert quadratic_form(given, vectors)[[0, 2]].tolist() == expected[[0, 2]].tolist()
    assert np.isnan(quadratic_form(given, vectors)[1])
    assert inverse_factor(given)[[0, 2]].tolist() == factors[[0, 2]].tolist()
    assert np.isnan(inverse_factor(given)[1]).all()
