"""Normalised mutual information (NMI) of two classes and two clusters, divided by a mean of their entropies."""

from collections.abc import Callable, Mapping

import numpy as np

from vadprobe.analyze.saliency.readings import NmiMean

Mean = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Mean of two entropies."""


def nmi(clusters: np.ndarray, n_normal: int, mean: Mean) -> np.ndarray:
    """Return the NMI, (heads,) in [0, 1], of classes and clusters (heads, n) bool, normal samples first.

    It is 0 for a head whose samples are all in one cluster.
    """
    second = np.stack([clusters[:, :n_normal].sum(axis=-1), clusters[:, n_normal:].sum(axis=-1)])
    of_class = np.array([[n_normal], [clusters.shape[1] - n_normal]])
    return nmi_of_counts(second, of_class, mean)


def nmi_of_counts(second: np.ndarray, of_class: np.ndarray, mean: Mean) -> np.ndarray:
    """Return the NMI from counts (2, ...) int64: by class, its samples in the second cluster, and all its samples."""
    n = of_class.sum(axis=0)
    shared = np.stack([of_class - second, second], axis=1)  # (class, cluster, ...)
    of_cluster = shared.sum(axis=0)
    # Integers inside the logarithm: independent labels and clusters give exactly 0.
    ratio = n * shared / np.maximum(of_class[:, None] * of_cluster[None], 1)
    information = (shared * np.log(np.where(shared > 0, ratio, 1.0))).sum(axis=(0, 1))
    entropies = [-(counts * np.log(np.maximum(counts, 1) / n)).sum(axis=0) for counts in (of_class, of_cluster)]
    scale = np.where(entropies[1] > 0, mean(*entropies), 0.0)
    return np.asarray(np.clip(information / np.where(scale > 0, scale, 1.0), 0.0, 1.0))


def geometric_mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the geometric mean (NMI, eq. 6 (HeadHunt-VAD))."""
    return np.asarray(np.sqrt(one * other))


def arithmetic_mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the arithmetic mean, scikit-learn's default, which the method's public code uses."""
    return np.asarray((one + other) / 2)


MEANS: Mapping[NmiMean, Mean] = {"geometric": geometric_mean, "arithmetic": arithmetic_mean}
"""The means by name."""
