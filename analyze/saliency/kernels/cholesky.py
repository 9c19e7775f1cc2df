"""Cholesky's factorisation of many symmetric positive definite matrices, NaN for one that is not definite.

NumPy raises for the whole stack when one of its matrices has no factor; here that matrix alone is unknown.
"""

import numpy as np


def inverse_factor(matrices: np.ndarray) -> np.ndarray:
    """Return K, the inverse of Cholesky's factor of each matrix: ``K'K`` is the inverse of the matrix.

    Args:
        matrices: (heads, m, m) float64.

    Returns:
        (heads, m, m) float64; NaN for a matrix that is not positive definite.
    """
    return np.asarray(np.linalg.inv(_factor(matrices)))


def quadratic_form(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return ``v' A^-1 v`` of matrices A (heads, m, m) and vectors v (heads, m): (heads,), NaN as above."""
    heads, size = vectors.shape
    # The last row of the factor of [[A, v], [v', inf]] is L^-1 v, and v' A^-1 v = |L^-1 v|^2: no system to solve.
    bordered = np.full((heads, size + 1, size + 1), np.inf)
    bordered[:, :size, :size] = matrices
    bordered[:, size, :size] = bordered[:, :size, size] = vectors
    solved = _factor(bordered)[:, size, :size]
    return np.asarray(np.einsum("hi,hi->h", solved, solved))


def _factor(matrices: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(np.linalg.cholesky(matrices))
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full(matrices.shape, np.nan)
        return np.concatenate([_factor(matrices[[head]]) for head in range(len(matrices))])
