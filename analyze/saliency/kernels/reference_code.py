"""The four metrics of heads with the constants of HeadHunt-VAD's public code, so that its users get the same heads.

They differ from equations 3 to 6 as printed, and from `saliency.heads`: the covariance of LDA is a sum of scatters
with 1e-6 on the diagonal, in squared units of the features; divergences are cut off at 1e6; the discrepancy is squared;
and the clustering has a single start. The code works on arrays of float32, so it agrees to their digits only.

Four rare cases need care. The first two are computed as the code computes them; in the others it may still differ:

1. Two samples in a class: Ledoit and Wolf's intensity is then the rounding noise of float32, and the divergence 0 or
   1e6. It is taken from the same operations on float32.
2. A covariance without an inverse (`LinAlgError`): the divergence is 0.
3. Scatters with an eigenvalue above about 1e9: there the pseudo-inverse drops the ridge of 1e-6, here it stays.
4. A metric that is NaN under a prompt is left out of the mean there, and the head is left out here; of equal heads the
   one of the higher number is chosen there, the lower here; and there RHI needs two prompts, here one is enough.
"""

import numpy as np

from vadprobe.analyze.saliency.kernels import gaussian, gaussian_dual
from vadprobe.analyze.saliency.kernels.cholesky import quadratic_form
from vadprobe.analyze.saliency.kernels.gaussian import ClassMoments, in_unit
from vadprobe.analyze.saliency.kernels.gaussian_dual import Products
from vadprobe.analyze.saliency.kernels.head_blocks import mapped
from vadprobe.analyze.saliency.kernels.mmd import reference_mmd
from vadprobe.analyze.saliency.kernels.nmi import arithmetic_mean, nmi
from vadprobe.analyze.saliency.kernels.sklearn_kmeans import sklearn_kmeans
from vadprobe.analyze.saliency.samples import ClassCentred

SCATTER_RIDGE = 1e-6
"""Added to the diagonal of the scatter in LDA, in squared units of the features."""

COVARIANCE_RIDGE = 1e-10
"""Added to the diagonal of both covariances in the divergence, in squared units of the features."""

LARGEST_DIVERGENCE = 1e6
"""Divergences above this count as this."""

LEAST_SCATTER = 1e-9
"""LDA is 0 where the scatter along its direction is below this."""

RANDOM_STATE = 42
"""scikit-learn's random state of the clustering."""

_LEAST_REST = 1e-5
"""Fraction of the squared difference of the means that the samples' spread must leave for inner products to tell it."""


def reference_code_metrics(features: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return all four metrics of HeadHunt-VAD (eqs. 3 to 6) with the constants of its public code, in float64.

    With the samples of both classes one after the other, anomalous ones first, as the code has them: LDA
    `D' (W + 1e-6 I)^+ D` with the sum W of both scatters; the mean of both divergences with Ledoit and Wolf's
    covariances plus 1e-10 I, at most 1e6; the squared discrepancy, the kernel as wide as the median of the squared
    distances that are not 0; and mutual information over the arithmetic mean of the entropies, of scikit-learn's
    `KMeans(2, random_state=42, n_init="auto")`.

    Args:
        features: (..., n, d), any real dtype, finite. LDA and the divergence depend on their unit.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class; where there are fewer the code gives 0.

    Returns:
        "lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information": each (...,) float64. 0 where all
        samples of a head are equal.

    Raises:
        VadprobeError: if shapes or labels do not fit, a class has fewer than two samples, or a feature is not finite.
    """
    kernels = {"maximum_mean_discrepancy": reference_mmd, "cluster_information": _cluster_information}
    metrics = mapped(features, labels, CODE_GAUSSIANS, kernels)
    return completed(metrics, np.asarray(features), np.asarray(labels).astype(bool))


def completed(metrics: dict[str, np.ndarray], features: np.ndarray, anomalous: np.ndarray) -> dict[str, np.ndarray]:
    """Apply the code's limits to metrics, and its own formulas to features (..., n, d) where ours do not tell.

    That is where a metric is NaN, and the divergence where a class has two samples that differ.
    """
    lda, divergence = metrics["lda"].copy(), metrics["symmetric_kl"].copy()
    noise = min(anomalous.sum(), (~anomalous).sum()) == 2
    literal = np.isnan(divergence) | (noise & (divergence > 0))
    with np.errstate(all="ignore"):  # of singular matrices, where the code's values are noise too
        for index in map(tuple, np.argwhere(np.isnan(lda))):
            lda[index] = _literal_lda(features[index].astype(np.float64), anomalous)
        for index in map(tuple, np.argwhere(literal)):
            divergence[index] = _literal_symmetric_kl(features[index].astype(np.float32), anomalous)
    lda[lda < LEAST_SCATTER] = 0.0
    return metrics | {"lda": lda, "symmetric_kl": np.clip(divergence, 0.0, LARGEST_DIVERGENCE)}


def _lda(block: Products) -> np.ndarray:
    """Return LDA, NaN where the difference of the means lies nearly within the spread of the samples."""
    ridge = in_unit(SCATTER_RIDGE, block.exponents)
    kernel = np.array(block.gram)
    diagonal = np.arange(kernel.shape[1])
    kernel[:, diagonal, diagonal] += ridge[:, None]
    rest = block.distance - quadratic_form(kernel, block.along)
    known = (rest >= _LEAST_REST * block.distance) & (ridge > 0) & np.isfinite(ridge)
    return np.where(known, rest / np.where(known, ridge, 1.0), np.nan)


def _lda_of_moments(classes: ClassMoments, _: int) -> np.ndarray:
    scatter = classes.normal.scatter + classes.anomalous.scatter
    diagonal = np.arange(scatter.shape[1])
    scatter[:, diagonal, diagonal] += in_unit(SCATTER_RIDGE, classes.exponents)[:, None]
    return quadratic_form(scatter, classes.difference)


def _symmetric_kl(block: Products) -> np.ndarray:
    return gaussian_dual.symmetric_divergence(block, COVARIANCE_RIDGE)


def _symmetric_kl_of_moments(classes: ClassMoments, dimension: int) -> np.ndarray:
    return gaussian.symmetric_divergence(classes, dimension, COVARIANCE_RIDGE)


CODE_GAUSSIANS = {"lda": (_lda, _lda_of_moments), "symmetric_kl": (_symmetric_kl, _symmetric_kl_of_moments)}
"""The metrics of both classes' Gaussians, from inner products and from moments."""


def _cluster_information(block: ClassCentred) -> np.ndarray:
    anomalous_first = np.roll(np.arange(block.n_samples), -block.n_normal)
    clusters = sklearn_kmeans(block.centred, anomalous_first, RANDOM_STATE)
    return nmi(clusters, block.n_normal, arithmetic_mean)


def _literal_lda(head: np.ndarray, anomalous: np.ndarray) -> float:
    """Return LDA of one head (n, d), with a pseudo-inverse as in the code."""
    classes = head[anomalous], head[~anomalous]
    difference = classes[0].mean(axis=0) - classes[1].mean(axis=0)
    centred = np.concatenate([mine - mine.mean(axis=0) for mine in classes])
    scatter = centred.T @ centred + SCATTER_RIDGE * np.eye(head.shape[1])
    direction = np.linalg.pinv(scatter) @ difference
    spread = float(direction @ scatter @ direction)
    return float(direction @ difference) ** 2 / spread if spread >= LEAST_SCATTER else 0.0


def _literal_symmetric_kl(head: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the divergence of one head (n, d) float32, operation by operation as in the code; 0 without an inverse.

    The covariances are estimated in float32: of two samples their smallest eigenvalues are nothing but its rounding,
    below zero as often as above.
    """
    from sklearn.covariance import LedoitWolf

    if not np.isfinite(head).all():  # beyond float32 the code's estimate fails, which is 0 there
        return 0.0
    classes = head[anomalous], head[~anomalous]
    difference = classes[0].mean(axis=0) - classes[1].mean(axis=0)
    ridge = COVARIANCE_RIDGE * np.eye(head.shape[1])
    covariances = [LedoitWolf(store_precision=False).fit(mine).covariance_ + ridge for mine in classes]
    try:
        inverses = [np.linalg.inv(covariance) for covariance in covariances]
    except np.linalg.LinAlgError:
        return 0.0
    traces = np.trace(inverses[0] @ covariances[1]) + np.trace(inverses[1] @ covariances[0])
    return float(traces - 2 * head.shape[1] + difference @ (inverses[0] + inverses[1]) @ difference) / 4
