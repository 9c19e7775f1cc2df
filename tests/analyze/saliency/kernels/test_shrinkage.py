"""Ledoit and Wolf's intensity against scikit-learn and the lemma, in a basis, and where it says singular."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from tests.support.oracles import reference
from vadprobe.analyze.saliency.kernels.gaussian import moments, shrinkage


def ledoit_wolf(rows, dimension):
    """Shrunk covariances of heads (heads, n, r) in a basis of their space, and the intensities."""
    found = moments(rows)
    square = (found.scatter**2).sum(axis=(1, 2))
    intensity, variance = shrinkage(found.n, found.norms, found.fourth, square, dimension)
    weights = intensity[:, None, None]
    identity = np.eye(rows.shape[2]) * variance[:, None, None]
    return (1 - weights) * found.scatter / found.n + weights * identity, intensity


@pytest.mark.parametrize(("n", "d"), [(2, 3), (3, 5), (10, 4), (5, 60), (200, 7), (9, 1)])
def test_shrinkage_is_scikit_learns_and_lemma_3_3(n, d):
    rows = np.random.default_rng(n).normal(size=(4, n, d)) * np.linspace(1, 5, d)
    covariances, intensities = ledoit_wolf(rows, d)
    for head, covariance, intensity in zip(rows, covariances, intensities, strict=True):
        for expected, alpha in (sklearn_ledoit_wolf(head, assume_centered=True), reference.shrunk_covariance(head)):
            np.testing.assert_allclose(covariance, expected, rtol=1e-10, atol=1e-13)
            assert d == 1 or intensity == pytest.approx(alpha, rel=1e-10)


def test_shrinkage_in_a_basis_is_the_same_matrix():
    """Four samples of nine dimensions, rotated into the four they span: outside is the shrunk mean variance."""
    rows = np.random.default_rng(1).normal(size=(1, 4, 9))
    full, alpha = ledoit_wolf(rows, 9)
    basis = np.linalg.qr(rows[0].T)[0]
    inside, same = ledoit_wolf(rows @ basis, 9)
    np.testing.assert_allclose(same, alpha, rtol=1e-12)
    np.testing.assert_allclose(inside[0], basis.T @ full[0] @ basis, rtol=1e-12, atol=1e-14)
    outside = np.sort(np.linalg.eigvalsh(full[0]))[:5]
    np.testing.assert_allclose(outside, np.full(5, float(alpha[0]) * (rows**2).sum() / 4 / 9), rtol=1e-12)


def test_singular_shrunk_covariances_are_recognised():
    vector = np.random.default_rng(2).normal(size=5)
    other = np.random.default_rng(3).normal(size=5)
    rows = np.array([[vector, -vector] * 3, [0 * vector] * 6, [vector, -vector, other, -other, 0 * other, 0 * other]])
    assert (ledoit_wolf(rows, 5)[1] > 0).tolist() == [False, False, True]
    isotropic = np.array([[[1.0, 0], [-1, 0], [0, 1], [0, -1]]])
    covariance, intensity = ledoit_wolf(isotropic, 2)
    assert covariance.tolist() == [[[0.5, 0], [0, 0.5]]]
    assert (intensity > 0).all()
    assert (ledoit_wolf(np.array([[[1.0], [-1.0]], [[0.0], [0.0]]]), 1)[1] > 0).tolist() == [True, False]
