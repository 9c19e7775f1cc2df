"""The four metrics of heads with the constants of HeadHunt-VAD's public code, so that its users get the same heads.

They differ from equations 3 to 6 as printed, and from `saliency.heads`: the covariance of LDA is a sum of scatters with
1e-6 on the diagonal, in squared units of the features; divergences are limited to 1e6; the discrepancy is squared; and
the clustering has a single start. The public code computes in float32, so results agree to float32's digits only.

Four rare cases need care. The first two are computed as in the public code; in the others results may differ:

1. Two samples in a class: Ledoit and Wolf's intensity is then the rounding noise of float32, and the divergence 0 or
   1e6. It is computed here with the same operations in float32.
2. A covariance without an inverse (`LinAlgError`): the divergence is 0.
3. Scatters with an eigenvalue above about 1e9: the public code's pseudo-inverse drops the ridge of 1e-6; here it stays.
4. Unknown metrics and ties: the public code leaves a metric that is NaN under a prompt out of the mean, and of equal
   heads chooses the one of the higher number; here such a head is left out, and the lower number is chosen. In the
   public code RHI needs two prompts, here one is enough.
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
"""Number added to the diagonal of the scatter in LDA, in squared units of the features."""

COVARIANCE_RIDGE = 1e-10
"""Number added to the diagonals of both covariances in the divergence, in squared units of the features."""

LARGEST_DIVERGENCE = 1e6
"""Upper limit of divergences; larger ones are set to it."""

LEAST_SCATTER = 1e-9
"""Smallest scatter along the direction of LDA; below it LDA is 0."""

RANDOM_STATE = 42
"""Random state of scikit-learn's clustering."""

_LEAST_REST = 1e-5
"""Smallest fraction of the means' squared difference outside the samples' span that inner products resolve."""


def reference_code_metrics(features: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return all four metrics of HeadHunt-VAD (eqs. 3 to 6) with the constants of its public code, in float64.

    As in that code, samples are sorted by class, anomalous ones first. The metrics are: LDA `D' (W + 1e-6 I)^+ D` with
    the sum W of both scatters; the mean of both divergences with Ledoit and Wolf's covariances plus 1e-10 I, at most
    1e6; the squared discrepancy, with the median of the non-zero squared distances as width of the kernel; and the
    mutual information divided by the arithmetic mean of the entropies, with the clusters of scikit-learn's `KMeans(2,
    random_state=42, n_init="auto")`.

    Args:
        features: (..., n, d), any real dtype, finite. LDA and the divergence depend on their unit.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class (for fewer, the public code gives 0).

    Returns:
        "lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information": each (...,) float64. 0 if all samples
        of a head are equal.

    Raises:
        VadprobeError: if shapes or labels do not fit, a class has fewer than two samples, or a feature is not finite.
    """
    kernels = {"maximum_mean_discrepancy": reference_mmd, "cluster_information": _cluster_information}
    metrics = mapped(features, labels, CODE_GAUSSIANS, kernels)
    return completed(metrics, np.asarray(features), np.asarray(labels).astype(bool))


def completed(metrics: dict[str, np.ndarray], features: np.ndarray, anomalous: np.ndarray) -> dict[str, np.ndarray]:
    """Apply the public code's limits to metrics, and its own formulas to features (..., n, d) where those are unknown.

    Its formulas replace metrics that are NaN, and divergences if a class has two samples that differ.
    """
    lda, divergence = metrics["lda"].copy(), metrics["symmetric_kl"].copy()
    noise = min(anomalous.sum(), (~anomalous).sum()) == 2
    literal = np.isnan(divergence) | (noise & (divergence > 0))
    with np.errstate(all="ignore"):  # singular matrices warn; the public code's values are noise too
        for index in map(tuple, np.argwhere(np.isnan(lda))):
            lda[index] = _literal_lda(features[index].astype(np.float64), anomalous)
        for index in map(tuple, np.argwhere(literal)):
            divergence[index] = _literal_symmetric_kl(features[index].astype(np.float32), anomalous)
    lda[lda < LEAST_SCATTER] = 0.0
    return metrics | {"lda": lda, "symmetric_kl": np.clip(divergence, 0.0, LARGEST_DIVERGENCE)}


def _lda(block: Products) -> np.ndarray:
    """Return LDA, (heads,); NaN where the difference of the means lies nearly in the span of the samples."""
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
"""The metrics of both classes' Gaussians by name, each from inner products and from moments."""


def _cluster_information(block: ClassCentred) -> np.ndarray:
    anomalous_first = np.roll(np.arange(block.n_samples), -block.n_normal)
    clusters = sklearn_kmeans(block.centred, anomalous_first, RANDOM_STATE)
    return nmi(clusters, block.n_normal, arithmetic_mean)


def _literal_lda(head: np.ndarray, anomalous: np.ndarray) -> float:
    """Return LDA of one head (n, d) with a pseudo-inverse, as in the public code."""
    classes = head[anomalous], head[~anomalous]
    difference = classes[0].mean(axis=0) - classes[1].mean(axis=0)
    centred = np.concatenate([mine - mine.mean(axis=0) for mine in classes])
    scatter = centred.T @ centred + SCATTER_RIDGE * np.eye(head.shape[1])
    direction = np.linalg.pinv(scatter) @ difference
    spread = float(direction @ scatter @ direction)
    return float(direction @ difference) ** 2 / spread if spread >= LEAST_SCATTER else 0.0


def _literal_symmetric_kl(head: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the divergence of one head (n, d), computed in float32 as in the public code; 0 without an inverse.

    For two samples, the smallest eigenvalues of the covariances are only rounding errors of float32, and may be
    negative.
    """
    from sklearn.covariance import LedoitWolf

    if not np.isfinite(head).all():  # beyond the range of float32 the public code's estimate fails, and its result is 0
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
