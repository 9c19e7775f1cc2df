"""Ledoit and Wolf's shrunk covariance, batched: what makes a covariance of fewer samples than dimensions regular."""

import numpy as np

_ISOTROPIC = 1e-14
"""Below this share of its square, a covariance's distance from a multiple of the identity is rounding."""

_SINGULAR = 1e-10
"""Shrinkage below this is rounding: in exact arithmetic it is 0, and the covariance has rank one or zero."""


def ledoit_wolf(rows: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink the covariance S of centred rows towards (tr S / d) I, as scikit-learn's ``ledoit_wolf`` does.

    ``S* = (1 - a) S + a (tr S / d) I`` with S = X'X / n (divided by n) and the intensity a in [0, 1] that minimises the
    expected squared error (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004, lemma 3.3).

    Args:
        rows: (heads, n, r) float64, already centred; coordinates in an orthonormal basis that spans the rows.
        dimension: d >= r, the dimension of the space they come from. Outside the basis S* is a (tr S / d) I.

    Returns:
        S* in the basis, (heads, r, r), and the intensity a, (heads,). A covariance that is a multiple of the identity
        has a = 1 (every intensity gives the same S*). Where S* is singular, a is 0 (see :func:`is_regular`).
    """
    n, basis = rows.shape[1:]
    covariance = rows.swapaxes(1, 2) @ rows / n
    square = (covariance.reshape(len(rows), basis * basis) ** 2).sum(axis=-1)
    variance = np.trace(covariance, axis1=1, axis2=2) / dimension
    spread = ((rows**2).sum(axis=-1) ** 2).mean(axis=-1) - square  # n times the squared error of S
    distance = square - dimension * variance**2  # from S to its target
    isotropic = distance <= _ISOTROPIC * square
    shrinkage = np.clip(spread / n / np.where(isotropic, 1.0, distance), 0.0, 1.0)
    shrinkage[isotropic] = 1.0
    shrinkage[(variance == 0) | (shrinkage <= _SINGULAR)] = 0.0
    shrunk = (1 - shrinkage)[:, None, None] * covariance
    diagonal = np.arange(basis)
    shrunk[:, diagonal, diagonal] += (shrinkage * variance)[:, None]
    return np.asarray(shrunk), np.asarray(shrinkage)


def is_regular(shrinkage: np.ndarray) -> np.ndarray:
    """Whether a shrunk covariance has an inverse, (heads,) bool, from its intensity.

    It has none if the rows are all 0, or, for d > 1, all plus or minus one vector: then shrinking has nothing to
    estimate its error from, and the intensity is 0. Two samples of a class, centred, are such rows.
    """
    return np.asarray(shrinkage > 0)


def invertible(covariance: np.ndarray, regular: np.ndarray) -> np.ndarray:
    """The covariances with the identity in place of the singular ones, whose results the caller replaces."""
    return np.where(regular[:, None, None], covariance, np.eye(covariance.shape[-1]))
