"""The metrics of heads mapped over blocks that fit the processor's cache; :mod:`.head_saliency` says what they are."""

from collections.abc import Callable, Mapping

import numpy as np

from vadprobe.analyze.discrepancy import ALL_AT_ONCE
from vadprobe.analyze.gaussian import ClassMoments, class_moments, joined
from vadprobe.analyze.samples import Separated, checked_labels, checked_units, separate
from vadprobe.analyze.two_means import clusters_of_products, clusters_of_rows

BLOCK_BYTES = 1 << 23
"""Working memory of a block of heads; larger blocks leave the processor's cache, smaller ones are all overhead."""

_FACTORED_HEADS = 32
"""Heads whose covariances are inverted together, if samples are more than dimensions."""

Kernel = Callable[[Separated], np.ndarray]
"""From a block of heads to one value per head."""

Gaussian = tuple[Kernel, Callable[[ClassMoments, int], np.ndarray]]
"""A metric of both classes' Gaussians: from a block of few samples, and from moments and d for many samples."""


def mapped(
    features: np.ndarray, labels: np.ndarray, gaussians: Mapping[str, Gaussian], kernels: Mapping[str, Kernel]
) -> dict[str, np.ndarray]:
    """Metrics of every head: name to (...,) float64; 0 where all samples of a head are equal.

    Equal samples differ in no respect, and 0 is their exact value even of what is unknown otherwise.
    """
    features = np.asarray(features)
    units = checked_units(features)
    n, dimension = units.shape[1:]
    anomalous = checked_labels(labels, n)
    step = _step(n, dimension)
    few = n <= dimension
    batch = step if few else -(-_FACTORED_HEADS // step) * step
    results = {name: np.empty(len(units)) for name in (*gaussians, *kernels)}
    constant = np.empty(len(units), dtype=bool)
    for start in range(0, len(units), batch):
        parts = []
        for first in range(start, min(start + batch, len(units)), step):
            here = slice(first, first + step)
            block = separate(units[here], anomalous)
            constant[here] = block.constant
            for name, kernel in kernels.items():
                results[name][here] = kernel(block)
            if few:
                for name, (from_block, _) in gaussians.items():
                    results[name][here] = from_block(block)
            elif gaussians:
                parts.append(class_moments(block.vectors, block.n_normal, block.exponents))
        if parts:
            classes = joined(parts)
            for name, (_, from_moments) in gaussians.items():
                results[name][start : start + batch] = from_moments(classes, dimension)
    return {name: np.where(constant, 0.0, values).reshape(features.shape[:-2]) for name, values in results.items()}


def _step(n: int, dimension: int) -> int:
    """How many heads fit a block."""
    products = 5 * n * n if n <= ALL_AT_ONCE else n * n
    return max(1, BLOCK_BYTES // (8 * (2 * n * dimension + products)))


def cluster_information(seed: int, n_init: int) -> Kernel:
    """Normalised mutual information of the classes and a two-means clustering of a block's samples."""
    draws = np.random.default_rng(seed).random((n_init, 2))

    def kernel(block: Separated) -> np.ndarray:
        if block.n_samples <= ALL_AT_ONCE:
            clusters = clusters_of_products(block.centred_gram, block.half_squared_distances, draws, block.order)
        else:
            clusters = clusters_of_rows(block.centred, draws, block.order)
        return normalised_information(clusters, block.n_normal, geometric_mean)

    return kernel


def normalised_information(
    clusters: np.ndarray, n_normal: int, mean: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Mutual information of classes and clusters (heads, n) bool, normal samples first, over a mean of the entropies.

    0 where there is one cluster only.
    """
    n = clusters.shape[1]
    second = np.stack([clusters[:, :n_normal].sum(axis=-1), clusters[:, n_normal:].sum(axis=-1)])
    of_class = np.array([[n_normal], [n - n_normal]])
    shared = np.stack([of_class - second, second], axis=1)  # (class, cluster, heads)
    of_cluster = shared.sum(axis=0)
    # Whole numbers inside the logarithm: independent labels and clusters give exactly 0.
    ratio = n * shared / np.maximum(of_class[:, None] * of_cluster[None], 1)
    information = (shared * np.log(np.where(shared > 0, ratio, 1.0))).sum(axis=(0, 1))
    entropies = [-(counts * np.log(np.maximum(counts, 1) / n)).sum(axis=0) for counts in (of_class, of_cluster)]
    scale = np.where(entropies[1] > 0, mean(*entropies), 0.0)
    return np.asarray(np.clip(information / np.where(scale > 0, scale, 1.0), 0.0, 1.0))


def geometric_mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of two entropies."""
    return np.asarray(np.sqrt(one * other))
