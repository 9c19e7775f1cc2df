"""LDA with other within-class covariances than Ledoit and Wolf's: shrunk by OAS or a fixed intensity, or unshrunk."""

from functools import partial

import numpy as np

from vadprobe.analyze.saliency.kernels import gaussian, gaussian_dual
from vadprobe.analyze.saliency.kernels.gaussian import ISOTROPIC, ClassMoments, Intensity
from vadprobe.analyze.saliency.kernels.gaussian_dual import Products
from vadprobe.analyze.saliency.kernels.head_blocks import Gaussian
from vadprobe.analyze.saliency.readings import LdaCovariance

LEAST_EIGENVALUE = 1e-12
"""Smallest ratio of an eigenvalue to the largest one; smaller eigenvalues count as 0 in the pseudo-inverse."""


def lda_of(covariance: LdaCovariance) -> Gaussian:
    """Return LDA with a kind of covariance, as two functions: from inner products and from moments."""
    if covariance == "pseudo-inverse":
        return _pseudo_discriminant, _pseudo_discriminant_of_moments
    intensity = _intensity(covariance)
    return partial(gaussian_dual.discriminant, intensity=intensity), partial(gaussian.discriminant, intensity=intensity)


def _intensity(covariance: LdaCovariance) -> Intensity:
    if covariance == "ledoit-wolf":
        return gaussian.shrinkage
    if covariance == "oas":
        return oracle_approximating
    return partial(_fixed, float(covariance))


def oracle_approximating(
    n: int, norms: np.ndarray, fourth: np.ndarray, square: np.ndarray, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the intensity of oracle approximating shrinkage (OAS), as computed by scikit-learn.

    It is `(tr S^2 + (tr S)^2) / ((n + 1) (tr S^2 - (tr S)^2 / d))`, at most 1: eq. 23 of Chen et al. (IEEE Transactions
    on Signal Processing 58, 2010) without its terms 2 / d. Arguments and results as for `gaussian.shrinkage`.
    """
    variance = norms / (n * dimension)
    square = square / n**2
    distance = square - dimension * variance**2
    isotropic = distance <= ISOTROPIC * square
    intensity = (square + (dimension * variance) ** 2) / ((n + 1) * np.where(isotropic, 1.0, distance))
    intensity = np.where(isotropic, 1.0, np.minimum(intensity, 1.0))
    return np.where(variance == 0, 0.0, intensity), np.asarray(variance)


def _fixed(
    intensity: float, n: int, norms: np.ndarray, fourth: np.ndarray, square: np.ndarray, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    return np.full(norms.shape, intensity), np.asarray(norms / (n * dimension))


def _pseudo_discriminant(block: Products) -> np.ndarray:
    """Return `D' S^+ D` with S = R'R / n of class-centred rows R, as `n D'R' (RR')^+2 R D` by eigenvectors of RR'."""
    values, vectors = np.linalg.eigh(block.gram)
    inverse = _inverted(values)
    along = np.einsum("hij,hi->hj", vectors, block.along)
    return np.asarray(block.gram.shape[1] * np.einsum("hj,hj->h", along * inverse, along * inverse))


def _pseudo_discriminant_of_moments(classes: ClassMoments, dimension: int) -> np.ndarray:
    whole = classes.normal + classes.anomalous
    values, vectors = np.linalg.eigh(whole.scatter)
    along = np.einsum("hij,hi->hj", vectors, classes.difference)
    return np.asarray(whole.n * np.einsum("hj,hj->h", along**2, _inverted(values)))


def _inverted(values: np.ndarray) -> np.ndarray:
    """Invert ascending eigenvalues (heads, m); those that count as 0 stay 0."""
    kept = values > LEAST_EIGENVALUE * values[:, -1:]
    return np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
