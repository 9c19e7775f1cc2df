"""Gaussians with Ledoit and Wolf's shrunk covariance, for many heads at once, from the moments of the classes.

Shrinking makes the covariance of few samples regular. Cases with fewer samples than dimensions are computed by
`.gaussian_dual`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.saliency.kernels.cholesky import inverse_factor, quadratic_form

ISOTROPIC = 1e-14
"""Largest squared distance of a covariance from a multiple of the identity, over its square, that is only rounding."""

_SINGULAR = 1e-10
"""Shrinkage below this is rounding of 0, which it is only for a covariance of rank one or zero."""


Intensity = Callable[[int, np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""Function with the arguments and results of `shrinkage`."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over `n` rows X (heads, n, r) from which Ledoit and Wolf's covariance is computed.

    `scatter` (heads, r, r) is X'X. `norms` (heads,) is the sum of the rows' squared lengths, `fourth` (heads,) the sum
    of the squares of these.
    """

    n: int
    scatter: np.ndarray
    norms: np.ndarray
    fourth: np.ndarray

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n + other.n, self.scatter + other.scatter, self.norms + other.norms, self.fourth + other.fourth
        )


def moments(rows: np.ndarray) -> Moments:
    """Return the moments of rows (heads, n, r) float64."""
    squares = np.einsum("hij,hij->hi", rows, rows)
    fourth = np.einsum("hi,hi->h", squares, squares)
    norms = squares.sum(axis=-1)
    # For one dimension this would be a dot product, which some BLAS kernels sum in an order that depends on alignment.
    scatter = rows.swapaxes(1, 2) @ rows if rows.shape[2] > 1 else norms[:, None, None].copy()
    return Moments(rows.shape[1], scatter, norms, fourth)


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Moments of both classes' centred samples, and the `difference` (heads, r) of their means.

    All are in a unit of their head: the features themselves are larger by the factor 2 ** `exponents` (heads,).
    """

    normal: Moments
    anomalous: Moments
    difference: np.ndarray
    exponents: np.ndarray


def class_moments(vectors: np.ndarray, n_normal: int, exponents: np.ndarray) -> ClassMoments:
    """Return moments of vectors (heads, n + 1, r): class-centred rows, normal ones first, and the difference last."""
    normal, anomalous = moments(vectors[:, :n_normal]), moments(vectors[:, n_normal:-1])
    return ClassMoments(normal, anomalous, vectors[:, -1].copy(), exponents)


def joined(parts: Sequence[ClassMoments]) -> ClassMoments:
    """Join the moments of several blocks of heads."""
    normal, anomalous = _joined([part.normal for part in parts]), _joined([part.anomalous for part in parts])
    difference = np.concatenate([part.difference for part in parts])
    return ClassMoments(normal, anomalous, difference, np.concatenate([part.exponents for part in parts]))


def _joined(parts: Sequence[Moments]) -> Moments:
    return Moments(
        parts[0].n,
        np.concatenate([part.scatter for part in parts]),
        np.concatenate([part.norms for part in parts]),
        np.concatenate([part.fourth for part in parts]),
    )


def shrinkage(
    n: int, norms: np.ndarray, fourth: np.ndarray, square: np.ndarray, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return Ledoit and Wolf's intensity (Journal of Multivariate Analysis 88, 2004, lemma 3.3).

    It is the a in [0, 1] for which `S* = (1 - a) S + a (tr S / d) I` has the least expected squared error, where S =
    X'X / n is the covariance of n centred rows X.

    Args:
        n: number of rows.
        norms: (heads,) sum of the rows' squared lengths.
        fourth: (heads,) sum of the squares of these squared lengths.
        square: (heads,) sum of the squared entries of X'X, equal to that of XX'.
        dimension: d of the features.

    Returns:
        a and `tr S / d`, each (heads,). If S is a multiple of the identity, a is 1, since every intensity gives the
        same S*. If S* is singular, a is 0: then all rows are 0 or, for d > 1, plus or minus one vector, from which no
        error can be estimated. Two centred samples of a class are such rows.
    """
    variance = norms / (n * dimension)
    square = square / n**2
    spread = fourth / n - square  # n times the squared error of S
    distance = square - dimension * variance**2  # from S to its target
    isotropic = distance <= ISOTROPIC * square
    intensity = np.clip(spread / n / np.where(isotropic, 1.0, distance), 0.0, 1.0)
    intensity[isotropic] = 1.0
    intensity[(variance == 0) | (intensity <= _SINGULAR)] = 0.0
    return np.asarray(intensity), np.asarray(variance)


def discriminant(classes: ClassMoments, dimension: int, intensity: Intensity = shrinkage) -> np.ndarray:
    """Return LDA, `D' S*^-1 D`, (heads,), with S* of all class-centred rows and the difference D of means.

    It is NaN where S* is singular. `dimension` is d >= r of the features.
    """
    covariance, added = _shrunk(classes.normal + classes.anomalous, dimension, intensity=intensity)
    regular = added > 0
    return np.where(regular, quadratic_form(_invertible(covariance, regular), classes.difference), np.nan)


def symmetric_divergence(classes: ClassMoments, dimension: int, ridge: float = 0.0) -> np.ndarray:
    """Return the mean of both KL divergences between the classes' Gaussians, (heads,).

    It is a quarter of `tr(Sn^-1 (Sa + DD')) + tr(Sa^-1 (Sn + DD')) - 2d`, and NaN where a covariance is singular.
    Outside the space of the rows both covariances are multiples of the identity. `ridge` is added to the diagonals of
    both, in squared units of the features.
    """
    added_ridge = in_unit(ridge, classes.exponents)
    shrunk = [_shrunk(mine, dimension, added_ridge) for mine in (classes.normal, classes.anomalous)]
    regular = (shrunk[0][1] > 0) & (shrunk[1][1] > 0)
    covariances = [_invertible(covariance, regular) for covariance, _ in shrunk]
    # A covariance whose ridge is lost in rounding has no factor: its values are NaN, without a warning.
    with np.errstate(invalid="ignore", over="ignore"):
        factors = [inverse_factor(covariance) for covariance in covariances]
        inverses = [factor.swapaxes(1, 2) @ factor for factor in factors]
        values = np.einsum("hij,hij->h", inverses[0], covariances[1]) + np.einsum(
            "hij,hij->h", inverses[1], covariances[0]
        )
        inverses[0] += inverses[1]  # in place: D'(Sn^-1 + Sa^-1) D in one product
        difference = classes.difference
        values += np.einsum("hi,hi->h", (inverses[0] @ difference[:, :, None])[:, :, 0], difference)
        outside = dimension - difference.shape[1]
        if outside:
            added = [np.where(regular, one, 1.0) for _, one in shrunk]
            values += outside * (added[0] / added[1] + added[1] / added[0])
    return np.where(regular, np.maximum(values - 2 * dimension, 0.0) / 4, np.nan)


def in_unit(ridge: float, exponents: np.ndarray) -> np.ndarray:
    """Convert a ridge from squared units of the features to squared units of each head, 2 ** exponents."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(ridge, -2 * exponents))


def _shrunk(
    mine: Moments, dimension: int, ridge: np.ndarray | float = 0.0, intensity: Intensity = shrinkage
) -> tuple[np.ndarray, np.ndarray]:
    """Return S* with a ridge (heads, r, r), and the multiple of the identity in it (heads,)."""
    square = np.einsum("hij,hij->h", mine.scatter, mine.scatter)
    weight, variance = intensity(mine.n, mine.norms, mine.fourth, square, dimension)
    covariance = ((1 - weight) / mine.n)[:, None, None] * mine.scatter
    added = weight * variance + ridge
    diagonal = np.arange(covariance.shape[1])
    covariance[:, diagonal, diagonal] += added[:, None]
    return covariance, added


def _invertible(covariance: np.ndarray, regular: np.ndarray) -> np.ndarray:
    """Replace singular covariances by the identity, in place."""
    covariance[~regular] = np.eye(covariance.shape[1])
    return covariance
