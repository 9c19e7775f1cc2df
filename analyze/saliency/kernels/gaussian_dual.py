"""Gaussians with Ledoit and Wolf's shrunk covariance for fewer samples than dimensions, from inner products alone.

With n rows R of d >= n dimensions, the inverse of `S* = b R'R + c I` is `(I - b R' M^-1 R) / c`, with the n by n matrix
`M = c I + b RR'` (Woodbury). So quadratic forms and traces need no matrix of d by d.
"""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.saliency.kernels.cholesky import inverse_factor, quadratic_form
from vadprobe.analyze.saliency.kernels.gaussian import Intensity, in_unit, shrinkage

_LARGEST_RATIO = 1e6
"""Largest ratio of the trace of b R'R to c; above it the two terms of Woodbury's inverse may cancel too many digits."""


@dataclass(frozen=True, eq=False)
class Products:
    """Inner products of class-centred samples, normal ones first, and of the difference D of the classes' means.

    `gram` (heads, n, n) are those of the samples, `along` (heads, n) those of the samples with D, `distance` (heads,)
    those of D with itself. The features have `dimension` d. All are in a unit of their head: the features themselves
    are larger by the factor 2 ** `exponents` (heads,).
    """

    gram: np.ndarray
    along: np.ndarray
    distance: np.ndarray
    n_normal: int
    dimension: int
    exponents: np.ndarray


@dataclass(frozen=True, eq=False)
class _Shrunk:
    """`S* = factor R'R + added I` of some rows, factor and added (heads,), and `kernel` M (heads, n, n).

    `variance` is tr S* / d. Where `safe` is False, factor and added are harmless placeholders.
    """

    factor: np.ndarray
    added: np.ndarray
    variance: np.ndarray
    kernel: np.ndarray
    safe: np.ndarray


def discriminant(block: Products, intensity: Intensity = shrinkage) -> np.ndarray:
    """Return LDA, `D' S*^-1 D`, (heads,), with S* of all class-centred rows.

    It is NaN where S* is singular, or so nearly singular that inner products have too few digits.
    """
    shrunk = _shrunk(block.gram, block.dimension, intensity=intensity)
    explained = shrunk.factor * quadratic_form(shrunk.kernel, block.along)
    return np.where(shrunk.safe, (block.distance - explained) / shrunk.added, np.nan)


def symmetric_divergence(block: Products, ridge: float = 0.0) -> np.ndarray:
    """Return the mean of both KL divergences between the classes' Gaussians, (heads,); NaN as for `discriminant`.

    `ridge` is added to the diagonals of both covariances, in squared units of the features.
    """
    first, second = slice(0, block.n_normal), slice(block.n_normal, block.gram.shape[1])
    added = in_unit(ridge, block.exponents)
    classes = [_shrunk(block.gram[:, mine, mine], block.dimension, added) for mine in (first, second)]
    values = np.full(len(block.gram), -2.0 * block.dimension)
    for (mine, own), (other, theirs) in (
        ((first, classes[0]), (second, classes[1])),
        ((second, classes[1]), (first, classes[0])),
    ):
        # tr(S*^-1 (T* + DD')) with T* = b R'R + c I of the other class; and b tr(M^-1 RR') = n - c tr(M^-1).
        factor = inverse_factor(own.kernel)
        across = np.concatenate(
            [np.sqrt(theirs.factor)[:, None, None] * block.gram[:, mine, other], block.along[:, mine, None]], axis=2
        )
        solved = factor @ across
        explained = own.factor * np.einsum("hij,hij->h", solved, solved)
        explained += theirs.added * (len(factor[0]) - own.added * np.einsum("hij,hij->h", factor, factor))
        values += (block.dimension * theirs.variance + block.distance - explained) / own.added
    return np.where(classes[0].safe & classes[1].safe, np.maximum(values, 0.0) / 4, np.nan)


def _shrunk(
    gram: np.ndarray, dimension: int, ridge: np.ndarray | float = 0.0, intensity: Intensity = shrinkage
) -> _Shrunk:
    """Shrink the covariance of class-centred rows with these inner products, (heads, n, n)."""
    n = gram.shape[1]
    norms = np.ascontiguousarray(gram.diagonal(axis1=1, axis2=2))
    square, fourth = np.einsum("hij,hij->h", gram, gram), np.einsum("hi,hi->h", norms, norms)
    weight, variance = intensity(n, norms.sum(axis=-1), fourth, square, dimension)
    added = weight * variance + ridge
    safe = (added * _LARGEST_RATIO >= dimension * (1 - weight) * variance) & (added > 0)
    factor = np.where(safe, (1 - weight) / n, 0.0)
    added = np.where(safe, added, 1.0)
    kernel = factor[:, None, None] * gram
    diagonal = np.arange(n)
    kernel[:, diagonal, diagonal] += added[:, None]
    return _Shrunk(factor, added, variance + ridge, kernel, safe)
