"""Saliency of attention heads: the four metrics of HeadHunt-VAD, equations 3 to 6.

The choices that the paper leaves open are listed in docs/explanation/readings.md. Shifting, rotating or scaling a
head's features changes none of the four metrics, so heads of any magnitude can be compared. They are calibration
numbers: with few samples every head looks separable, so never quote a chosen head's value as a result.
"""

from collections.abc import Mapping

import numpy as np

from vadprobe.analyze.saliency.kernels import gaussian, gaussian_dual, head_blocks
from vadprobe.analyze.saliency.kernels.head_blocks import Gaussian, mapped
from vadprobe.analyze.saliency.kernels.mmd import mmd, squared_mmd
from vadprobe.analyze.saliency.kernels.nmi import MEANS
from vadprobe.analyze.saliency.kernels.reference_code import reference_code_metrics
from vadprobe.analyze.saliency.kernels.within_class import lda_of
from vadprobe.analyze.saliency.readings import HEADS, Convention, HeadReadings

_SYMMETRIC_KL = (gaussian_dual.symmetric_divergence, gaussian.symmetric_divergence)


def gaussian_metrics(readings: HeadReadings) -> Mapping[str, Gaussian]:
    """Return LDA and symmetric KL by name, each as a pair of functions: from inner products, and from moments."""
    return {"lda": lda_of(readings.lda_covariance), "symmetric_kl": _SYMMETRIC_KL}


def lda(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return Fisher's discriminant ratio of every head (LDA, eq. 3 (HeadHunt-VAD)).

    It is `(mu_a - mu_n)' S^-1 (mu_a - mu_n)`, the squared distance of the class means in units of S. S is the
    covariance of the class-centred samples of both classes, shrunk by Ledoit and Wolf. scikit-learn's
    `shrinkage="auto"` differs: it shrinks each standardised class alone.

    Args:
        features: (..., n, d), any real dtype, finite; computed in float64 after centring. n < d is fine.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 >= 0. 0 if all samples are equal. NaN if S has no inverse although the samples differ: both
        classes are constant, or, for d > 1, all class-centred samples are plus or minus one vector.

    Raises:
        VadprobeError: if shapes or labels do not fit, a class has fewer than two samples, or a feature is not finite.
    """
    return mapped(features, labels, {"": lda_of("ledoit-wolf")}, {})[""]


def symmetric_kl(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of both KL divergences between the classes' Gaussians, in nats (KL, eq. 4 (HeadHunt-VAD)).

    It is `[tr(Sn^-1 Sa) + tr(Sa^-1 Sn) - 2d + D'(Sn^-1 + Sa^-1) D] / 4`, with the classes' covariances Sn and Sa, each
    shrunk by Ledoit and Wolf, and the difference D of their means. The log-determinants of the two directions cancel.

    Args:
        features: (..., n, d), as for `lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 >= 0. 0 if all samples are equal. NaN if a class's covariance has no inverse although the samples
        differ: the class is constant or, for d > 1, takes two values equally often. So every head is NaN if a class has
        two samples; at least three per class are needed.

    Raises:
        VadprobeError: as `lda`.
    """
    return mapped(features, labels, {"": _SYMMETRIC_KL}, {})[""]


def maximum_mean_discrepancy(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the distance of the class means in the space of a Gaussian kernel (MMD, eq. 5 (HeadHunt-VAD)).

    It is the square root of the V-statistic `mean K_aa + mean K_nn - 2 mean K_an`, which includes self-pairs and so is
    biased upwards. The kernel is `K = exp(-|x - y|^2 / (2 m^2))`, with the median distance m of all pairs of samples,
    both classes pooled.

    Args:
        features: (..., n, d), as for `lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 in [0, sqrt(2)], exact to about 1e-8 near 0. 0 if all samples are equal. If more than half of the
        pairs are equal samples, m is 0 and the kernel is its limit for m to 0: 1 for equal samples, 0 for others.

    Raises:
        VadprobeError: as `lda`.
    """
    return mapped(features, labels, {}, {"": mmd})[""]


def clustering_nmi(
    features: np.ndarray, labels: np.ndarray, seed: int, n_init: int = HEADS.kmeans_starts
) -> np.ndarray:
    """Return the normalised mutual information of labels and two-means clusters (NMI, eq. 6 (HeadHunt-VAD)).

    It is the mutual information divided by the geometric mean of both entropies. The clustering is `kmeans2.kmeans2` on
    the raw features.

    Args:
        features: (..., n, d), as for `lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        seed: of the k-means++ starts. Every head gets the same random numbers. The starts depend on the seed and on the
            order of the samples.
        n_init: number of starts, of which the one with the lowest inertia is used.

    Returns:
        (...,) float64 in [0, 1]. 0 if all samples are equal, since they form a single cluster.

    Raises:
        VadprobeError: as `lda`.
    """
    return mapped(features, labels, {}, {"": head_blocks.nmi_kernel(seed, n_init)})[""]


def head_metrics(
    features: np.ndarray,
    labels: np.ndarray,
    seed: int,
    convention: Convention = "paper",
    readings: HeadReadings = HEADS,
) -> dict[str, np.ndarray]:
    """Return all four metrics of HeadHunt-VAD (eqs. 3 to 6), with their common parts computed once.

    Args:
        features: (..., n, d), for example (blocks, heads, n, head_dim); see `lda`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        seed: of the two-means clustering; see `clustering_nmi`. "headhunt-code" has its own and ignores it.
        convention: "paper", the equations as in the functions above; or "headhunt-code", the constants of the method's
            public code (`reference_code.reference_code_metrics`).
        readings: of the equations, for "paper"; "headhunt-code" has its own.

    Returns:
        "lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information": each (...,) float64, whatever blocks
        the leading axes are cut into. For "paper" with the default readings they equal the functions above bit by bit.

    Raises:
        VadprobeError: as `lda`.
    """
    if convention == "headhunt-code":
        return reference_code_metrics(features, labels)
    kernels = {
        "maximum_mean_discrepancy": mmd if readings.mmd == "root" else squared_mmd,
        "cluster_information": head_blocks.nmi_kernel(seed, readings.kmeans_starts, MEANS[readings.nmi_mean]),
    }
    return mapped(features, labels, gaussian_metrics(readings), kernels)
