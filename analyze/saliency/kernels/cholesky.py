"""Inverse Cholesky factors and quadratic forms of many symmetric positive definite matrices, by LAPACK.

LAPACK is called once per matrix: NumPy's stacked `cholesky` raises for all matrices if one has no factor, and its `inv`
and `solve` make no use of triangular matrices and take twice as long.
"""

import numpy as np


def inverse_factor(matrices: np.ndarray) -> np.ndarray:
    """Return K, the inverse of the lower Cholesky factor of each matrix: `K'K` is the inverse of the matrix.

    Args:
        matrices: (heads, m, m) float64.

    Returns:
        (heads, m, m) float64; NaN for a matrix that is not positive definite.
    """
    from scipy.linalg.lapack import dpotrf, dtrtri

    result = np.full(matrices.shape, np.nan)
    for head, matrix in enumerate(matrices):
        factor, failed = dpotrf(matrix, lower=1)
        if not failed:
            result[head] = dtrtri(factor, lower=1)[0]
    return result


def quadratic_form(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return `v' A^-1 v`, (heads,), of A (heads, m, m) and v (heads, m); NaN if A is not positive definite."""
    from scipy.linalg.lapack import dpotrf, dtrtrs

    solved = np.full(vectors.shape, np.nan)
    for head, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True)):
        factor, failed = dpotrf(matrix, lower=1)
        if not failed:
            solved[head] = dtrtrs(factor, vector, lower=1)[0]  # L^-1 v, whose squared length is v' A^-1 v
    return np.asarray(np.einsum("hi,hi->h", solved, solved))
