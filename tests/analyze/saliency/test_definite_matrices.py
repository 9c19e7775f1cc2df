"""Batched inverse factors of positive definite matrices against LAPACK, and of matrices that are not definite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from vadprobe.analyze.saliency.kernels.cholesky import inverse_factor, inverse_form

SIZES = (1, 2, 7, 8, 9, 16, 17, 20, 21, 33, 40, 64, 100, 128)


def matrices(seed, size, heads=3, condition=1e4):
    """Symmetric positive definite, with eigenvalues from 1 to ``condition``."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(heads, size, size)))[0]
    values = condition ** generator.uniform(0, 1, (heads, 1, size))
    return (basis * values) @ basis.swapaxes(1, 2)


def inverse(given_):
    factor = inverse_factor(given_)
    assert (np.triu(factor, 1) == 0).all()
    return factor.swapaxes(1, 2) @ factor


@pytest.mark.parametrize("size", SIZES)
def test_equal_to_lapack(size):
    found, given_ = inverse(matrices(0, size)), matrices(0, size)
    np.testing.assert_allclose(found, np.linalg.inv(given_), rtol=1e-9, atol=1e-10)
    vectors = np.random.default_rng(1).normal(size=(3, size))
    solved = np.linalg.solve(given_, vectors[:, :, None])[:, :, 0]
    np.testing.assert_allclose(inverse_form(given_, vectors), (vectors * solved).sum(axis=-1), rtol=1e-9)


@profiles.laws(30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(-150, 150))
def test_scaling_and_cutting_change_no_digit(seed, size, exponent):
    given_ = matrices(seed, size)
    vectors = np.random.default_rng(seed).normal(size=(3, size))
    whole, forms = inverse(given_), inverse_form(given_, vectors)
    assert (np.ldexp(inverse(np.ldexp(given_, 2 * exponent)), 2 * exponent) == whole).all()
    for head in range(3):
        one = slice(head, head + 1)
        assert (inverse(given_[one]) == whole[one]).all()
        assert (inverse_form(given_[one], vectors[one]) == forms[one]).all()


@pytest.mark.parametrize("size", [1, 8, 20, 41])
def test_the_argument_is_left_as_it_was(size):
    given_ = matrices(2, size)
    copy = given_.copy()
    inverse(given_)
    inverse_form(given_, np.ones((3, size)))
    assert (given_ == copy).all()


def test_no_heads_and_views():
    assert inverse(np.empty((0, 20, 20))).shape == (0, 20, 20)
    assert inverse_form(np.empty((0, 30, 30)), np.empty((0, 30))).shape == (0,)
    given_ = matrices(3, 24)
    np.testing.assert_allclose(inverse(given_[:, 2:13, 2:13]), np.linalg.inv(given_[:, 2:13, 2:13]), rtol=1e-9, atol=0)


@pytest.mark.parametrize("size", [5, 30])
def test_a_matrix_that_is_not_definite_is_unknown_and_spoils_no_other(size):
    given_ = matrices(4, size)
    vectors = np.random.default_rng(5).normal(size=(3, size))
    expected = inverse_form(given_, vectors)
    given_[1] = np.outer(vectors[1], vectors[1]) - np.eye(size)
    found = inverse_form(given_, vectors)
    assert found[[0, 2]].tolist() == expected[[0, 2]].tolist()
    assert np.isnan(found[1])
