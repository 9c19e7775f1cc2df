"""Metrics of heads, mapped over blocks of heads that fit the processor's cache."""

from collections.abc import Callable, Mapping

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels, checked_units
from vadprobe.analyze.saliency.kernels.gaussian import ClassMoments, class_moments, joined
from vadprobe.analyze.saliency.kernels.gaussian_dual import Products
from vadprobe.analyze.saliency.kernels.kmeans2 import clusters_of_products, clusters_of_rows
from vadprobe.analyze.saliency.kernels.mmd import ALL_AT_ONCE
from vadprobe.analyze.saliency.kernels.nmi import Mean, geometric_mean, nmi
from vadprobe.analyze.saliency.samples import ClassCentred, centre_classes

BLOCK_BYTES = 1 << 23
"""Working memory of a block of heads in bytes: larger blocks leave the cache, smaller ones are mostly overhead."""

_FACTORED_HEADS = 32
"""Number of heads whose covariances are inverted together, if there are more samples than dimensions."""

Kernel = Callable[[ClassCentred], np.ndarray]
"""Function from a block of heads to one value per head."""

Gaussian = tuple[Callable[[Products], np.ndarray], Callable[[ClassMoments, int], np.ndarray]]
"""A metric of both classes' Gaussians as two functions: from inner products of few samples, and from moments and d.

Heads for which the first gives NaN are computed by the second.
"""


def mapped(
    features: np.ndarray, labels: np.ndarray, gaussians: Mapping[str, Gaussian], kernels: Mapping[str, Kernel]
) -> dict[str, np.ndarray]:
    """Return metrics of every head, (...,) float64 by name.

    If all samples of a head are equal, every metric is 0, also one that is NaN in other degenerate cases.
    """
    features = np.asarray(features)
    units = checked_units(features)
    n, dimension = units.shape[1:]
    anomalous = checked_labels(labels, n)
    step = block_heads(n, dimension)
    few = n <= dimension
    batch = step if few else -(-_FACTORED_HEADS // step) * step
    results = {name: np.empty(len(units)) for name in (*gaussians, *kernels)}
    constant = np.empty(len(units), dtype=bool)
    for start in range(0, len(units), batch):
        parts = []
        for first in range(start, min(start + batch, len(units)), step):
            here = slice(first, first + step)
            block = centre_classes(units[here], anomalous)
            constant[here] = block.constant
            for name, kernel in kernels.items():
                results[name][here] = kernel(block)
            if few:
                for name, gaussian in gaussians.items():
                    results[name][here] = of_few(block, gaussian)
            elif gaussians:
                parts.append(class_moments(block.vectors, block.n_normal, block.exponents))
        if parts:
            classes = joined(parts)
            for name, (_, from_moments) in gaussians.items():
                results[name][start : start + batch] = from_moments(classes, dimension)
    return {name: np.where(constant, 0.0, values).reshape(features.shape[:-2]) for name, values in results.items()}


def of_few(block: ClassCentred, gaussian: Gaussian) -> np.ndarray:
    """Return a metric of both classes' Gaussians, (heads,), if there are no more samples than dimensions."""
    from_products, from_moments = gaussian
    values = from_products(products(block))
    for head in np.flatnonzero(np.isnan(values)):
        # Householder QR is accurate for each vector, so a class much narrower than the other keeps its digits.
        coordinates = np.asarray(np.linalg.qr(block.vectors[head].T, mode="r")).T[None]
        classes = class_moments(coordinates, block.n_normal, block.exponents[[head]])
        values[head] = from_moments(classes, block.dimension)[0]
    return values


def products(block: ClassCentred) -> Products:
    """Return a block's inner products as `gaussian_dual` takes them."""
    return Products(block.gram, block.along, block.distance, block.n_normal, block.dimension, block.exponents)


def block_heads(n: int, dimension: int) -> int:
    """Return the number of heads that fit a block."""
    products = 5 * n * n if n <= ALL_AT_ONCE else n * n
    return max(1, BLOCK_BYTES // (8 * (2 * n * dimension + products)))


def start_draws(seed: int, n_init: int) -> np.ndarray:
    """Draw the random numbers of `kmeans2.kmeans2`, (n_init, 2): the same for every head."""
    return np.random.default_rng(seed).random((n_init, 2))


def clusters(block: ClassCentred, draws: np.ndarray) -> np.ndarray:
    """Split a block's samples into two clusters, (heads, n) bool, in the block's order.

    The cluster of the first given sample is False, so that rounding cannot exchange the names of the clusters.
    """
    if block.n_samples <= ALL_AT_ONCE:
        found = clusters_of_products(block.centred_gram, block.half_squared_distances, draws, block.order)
    else:
        found = clusters_of_rows(block.centred, draws, block.order)
    return np.asarray(found ^ found[:, [int(block.order.argmin())]])


def nmi_kernel(seed: int, n_init: int, mean: Mean = geometric_mean) -> Kernel:
    """Return the kernel that computes the NMI of a block's classes and two-means clusters."""
    draws = start_draws(seed, n_init)
    return lambda block: nmi(clusters(block, draws), block.n_normal, mean)
