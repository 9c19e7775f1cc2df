"""Cholesky factors of many symmetric positive definite matrices at once, inverted.

LAPACK factorises one matrix at a time, and for the small ones of saliency (8 to 128 rows) it reaches a tenth of the
speed of a matrix product. Halving the matrix again and again leaves nearly all of the work to products. With the
inverse K of the factor L, ``A = L L'``, the inverse of A is ``K'K``, and ``v' A^-1 v = |K v|^2``.
"""

import numpy as np

_LEAF = 8
"""Matrices up to this size are eliminated row by row; larger ones are halved."""

_FACTORED = 20
"""Quadratic forms of matrices up to this size are left to LAPACK; larger ones are halved."""


_NOT_DEFINITE = np.errstate(divide="ignore", invalid="ignore", over="ignore")


@_NOT_DEFINITE
def inverse_factor(matrices: np.ndarray) -> np.ndarray:
    """K, lower triangular, with ``K'K`` the inverse of each symmetric positive definite matrix.

    With halves ``[[A, B], [B', C]]``, ``P = K_A B`` and the Schur complement ``S = C - P'P`` it is
    ``[[K_A, 0], [-K_S P' K_A, K_S]]``. The errors are those of Cholesky's factorisation: A^-1 itself is never formed.

    Args:
        matrices: (heads, m, m) float64, both triangles filled, any strides.

    Returns:
        (heads, m, m) float64, C-contiguous. NaN or infinities for a matrix that is not positive definite, which spoils
        no other head.
    """
    size = matrices.shape[-1]
    if size <= _LEAF:
        return _eliminated(matrices)
    half = _half(size)
    first = inverse_factor(matrices[:, :half, :half])
    across = first @ matrices[:, :half, half:]
    result = np.zeros(matrices.shape)
    result[:, :half, :half] = first
    last = inverse_factor(_complement(matrices[:, half:, half:], across))
    result[:, half:, half:] = last
    below = last @ (across.swapaxes(1, 2) @ first)
    np.negative(below, out=result[:, half:, :half])
    return result


@_NOT_DEFINITE
def inverse_form(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``v' A^-1 v`` for symmetric positive definite matrices A (heads, m, m) and vectors v (heads, m): (heads,).

    NaN for a matrix that is not positive definite.
    """
    size = matrices.shape[-1]
    if size <= _FACTORED:
        return _bordered_form(matrices, vectors)
    half = _half(size)
    columns = np.concatenate([matrices[:, :half, half:], vectors[:, :half, None]], axis=2)
    across = inverse_factor(matrices[:, :half, :half]) @ columns
    across, solved = across[:, :, :-1], across[:, :, -1]
    rest = vectors[:, half:] - (solved[:, None, :] @ across)[:, 0]
    form = inverse_form(_complement(matrices[:, half:, half:], across), rest)
    return np.asarray(form + np.einsum("hi,hi->h", solved, solved))


def _bordered_form(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The last row of the factor of ``[[A, v], [v', large]]`` is ``K v``: one call of LAPACK, fast for small ones."""
    heads, size = vectors.shape
    bordered = np.empty((heads, size + 1, size + 1))
    bordered[:, :size, :size] = matrices
    bordered[:, size, :size] = bordered[:, :size, size] = vectors
    bordered[:, size, size] = np.inf
    try:
        solved = np.linalg.cholesky(bordered)[:, size, :size]
    except np.linalg.LinAlgError:
        if heads == 1:
            return np.array([np.nan])
        return np.concatenate([_bordered_form(matrices[[head]], vectors[[head]]) for head in range(heads)])
    return np.asarray(np.einsum("hi,hi->h", solved, solved))


def _complement(last: np.ndarray, across: np.ndarray) -> np.ndarray:
    product = across.swapaxes(1, 2) @ across
    return np.asarray(np.subtract(last, product, out=product))


def _half(size: int) -> int:
    """Where to cut: products of multiples of eight rows are the fastest."""
    return size // 2 if size <= 2 * _LEAF else -(-size // (2 * _LEAF)) * _LEAF


def _eliminated(matrices: np.ndarray) -> np.ndarray:
    """Elimination of ``[A, I]`` with the heads last in memory, so that every step is a long vector operation."""
    heads, size = matrices.shape[:2]
    work = np.zeros((size, 2 * size, heads))
    work[:, :size] = matrices.transpose(1, 2, 0)
    work[np.arange(size), size + np.arange(size)] = 1.0
    for k in range(size):
        row = work[k, k : size + k + 1]
        row /= np.sqrt(row[0])
        work[k + 1 :, k : size + k + 1] -= row[1 : size - k, None] * row
    return np.ascontiguousarray(work[:, size:].transpose(2, 0, 1))
