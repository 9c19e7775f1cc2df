"""Moments and histograms of every dimension of a layer, and the metrics per dimension (HiProbe-VAD, eqs. 1 to 6)."""

import math
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.saliency.readings import LAYERS, LayerReadings

_BLOCK_VALUES = 1 << 17
"""Number of values of a block of dimensions, which fits the processor's cache."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of every dimension of one layer, each (..., D), in units of 2 ** exponent of the dimension.

    `difference` is the anomalous mean minus the normal one. `normal`, `anomalous` and `total` are the variances of the
    normal, the anomalous and all samples, divided by their numbers.
    """

    difference: np.ndarray
    normal: np.ndarray
    anomalous: np.ndarray
    total: np.ndarray
    exponent: np.ndarray


def dimension_moments(unit: np.ndarray, anomalous: np.ndarray) -> Moments:
    """Return the moments of samples (n, D), any real dtype, of two classes; `anomalous` is (n,) bool."""
    blocks = [_block_moments(values, exponent, anomalous) for values, exponent in scaled_blocks(unit)]
    return Moments(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def scaled_blocks(unit: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut a layer (n, D) into blocks of dimensions, each as float64 values in units of 2 ** exponent and exponents."""
    step = max(1, _BLOCK_VALUES // len(unit))
    blocks = []
    for start in range(0, unit.shape[1], step):
        values = unit[:, start : start + step].astype(np.float64)
        # Scaling by a power of two per dimension changes no digit; afterwards no square can overflow or become 0.
        exponent = np.frexp(np.maximum(values.max(axis=0), -values.min(axis=0)))[1]
        blocks.append((np.ldexp(values, -exponent, out=values), exponent))
    return blocks


def _block_moments(values: np.ndarray, exponent: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, ...]:
    first, mean, variance = [], [], []
    for mine in (~anomalous, anomalous):
        # A sample of the class is subtracted first, so equal samples have a variance of exactly 0 in spite of rounding.
        offset = values.compress(mine, axis=0)
        first.append(offset[0].copy())
        offset -= first[-1]
        mean.append(offset.mean(axis=0))
        offset -= mean[-1]
        variance.append(np.einsum("ij,ij->j", offset, offset) / len(offset))
    difference = (first[1] - first[0]) + (mean[1] - mean[0])
    fraction = float(anomalous.mean())
    within = (1 - fraction) * variance[0] + fraction * variance[1]
    total = within + fraction * (1 - fraction) * difference**2
    return difference, variance[0], variance[1], total, exponent


def divergences(moments: Moments, readings: LayerReadings = LAYERS) -> np.ndarray:
    """Return the KL divergence of every dimension, eqs. 1 and 2 (HiProbe-VAD); 0 for a constant dimension.

    Without a floor it is infinite where one class alone is constant, or both are constant and differ.
    """
    floor = np.where(moments.total > 0, readings.variance_floor * moments.total, 1.0)
    variances = np.maximum(moments.normal, floor), np.maximum(moments.anomalous, floor)
    first, second = variances if readings.kl_direction == "normal-anomalous" else variances[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (np.log(second / first) + (first + moments.difference**2) / second - 1) / 2
    return np.where(np.minimum(first, second) > 0, values, np.inf)


def discriminants(moments: Moments, readings: LayerReadings = LAYERS) -> np.ndarray:
    """Return the discriminant ratio of every dimension, eqs. 3 and 4 (HiProbe-VAD); 0 for a constant dimension.

    Without an epsilon it is infinite where both classes are constant and differ.
    """
    spread = moments.anomalous + moments.normal
    if readings.ratio_epsilon == 0:
        constant = np.where(moments.difference == 0, 0.0, np.inf)
        return np.where(spread > 0, moments.difference**2 / np.where(spread > 0, spread, 1.0), constant)
    with np.errstate(over="ignore", under="ignore"):  # in the unit of tiny features epsilon overflows: ratio 0
        epsilon = np.maximum(np.ldexp(readings.ratio_epsilon, -2 * moments.exponent), np.finfo(np.float64).tiny)
    return np.asarray(moments.difference**2 / (spread + epsilon))


def n_floored(moments: Moments, readings: LayerReadings = LAYERS) -> np.ndarray:
    """Count the dimensions, along the last axis, with a class variance below the floor."""
    floor = readings.variance_floor * moments.total
    return np.asarray(np.count_nonzero((moments.normal < floor) | (moments.anomalous < floor), axis=-1))


def histogram_entropies(unit: np.ndarray, n_bins: int = LAYERS.entropy_bins) -> np.ndarray:
    """Return the entropy in bits of every dimension of samples (n, D), first eq. 5 (HiProbe-VAD), (D,).

    A constant dimension has entropy 0.
    """
    n = len(unit)
    surprise = np.array([0.0] + [count / n * math.log2(n / count) for count in range(1, n + 1)])
    entropies = []
    for values, _ in scaled_blocks(unit):
        dimensions = values.shape[1]
        bins = _bins(values, n_bins) + n_bins * np.arange(dimensions)
        counts = np.bincount(bins.ravel(), minlength=n_bins * dimensions)
        entropies.append(surprise[counts].reshape(dimensions, n_bins).sum(axis=-1))
    return np.concatenate(entropies)


def _bins(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the bin of every value (n, D) within its dimension's range, int64; the values are overwritten."""
    lowest = values.min(axis=0)
    width = values.max(axis=0) - lowest
    values -= lowest
    values *= n_bins
    values /= np.where(width > 0, width, 1.0)
    bins = values.astype(np.int64)  # the cast rounds down, since no value is negative
    return np.minimum(bins, n_bins - 1, out=bins)
