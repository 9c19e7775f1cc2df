"""Saliency of layers: the three metrics of HiProbe-VAD (arXiv 2507.17394), equations 1 to 6.

Choices that the paper leaves open are listed in docs/explanation/readings.md. Each metric is the mean over the D
dimensions of a number per dimension, so it ignores dependence between dimensions. DLSP ranks layers by the sum of the
three metrics' z-scores (`.ranking`).
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels, checked_units
from vadprobe.analyze.saliency import layer_moments
from vadprobe.analyze.saliency.layer_moments import Moments
from vadprobe.analyze.saliency.readings import LAYERS, LayerReadings

FLOORED_DIMENSIONS = "floored_dimensions"
"""Key of the count of floored dimensions that `layer_metrics` returns beside the ranked metrics."""


def gaussian_kl(features: np.ndarray, labels: np.ndarray, readings: LayerReadings = LAYERS) -> np.ndarray:
    """Return the Kullback-Leibler divergence of the classes' Gaussians, eqs. 1 and 2 (HiProbe-VAD), in nats.

    It is the mean over dimensions of `D(n || a) = [ln(v_a / v_n) + (v_n + (m_n - m_a)^2) / v_a - 1] / 2` with the means
    and variances (divided by the number of samples) of the normal and the anomalous class. A class variance below a
    floor, by default 1e-3 of the dimension's variance over all samples, is raised to the floor.

    Args:
        features: (..., n, D), for example (layers, n, D); any real dtype, finite, computed in float64 after centring.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        readings: direction and floor.

    Returns:
        (...,) float64 >= 0. A dimension that is constant over all samples counts as 0. With a floor of 0, the value is
        infinite if a class is constant in a dimension.

    Raises:
        VadprobeError: if shapes or labels do not fit, a class has fewer than two samples, or a feature is not finite.
    """
    return _per_unit(features, labels, partial(layer_moments.divergences, readings=readings))


def discriminant_ratio(features: np.ndarray, labels: np.ndarray, readings: LayerReadings = LAYERS) -> np.ndarray:
    """Return the local discriminant ratio (LDR), eqs. 3 and 4 (HiProbe-VAD).

    It is the mean over dimensions of `(m_a - m_n)^2 / (v_a + v_n + epsilon)`, variances divided by the number of
    samples. The paper gives no epsilon; the default is 1e-12. It is in squared units of the features, so the ratio is
    independent of their scale only for variances far above epsilon.

    Args:
        features: (..., n, D), as for `gaussian_kl`.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        readings: epsilon.

    Returns:
        (...,) float64 >= 0. A dimension that is constant over all samples counts as 0. A dimension that is constant
        within both classes but differs between them counts as its squared difference divided by epsilon, and dominates
        all others.

    Raises:
        VadprobeError: as `gaussian_kl`.
    """
    return _per_unit(features, labels, partial(layer_moments.discriminants, readings=readings))


def binned_entropy(features: np.ndarray, n_bins: int = LAYERS.entropy_bins) -> np.ndarray:
    """Return the mean entropy of the dimensions' histograms, first eqs. 5 and 6 (HiProbe-VAD), in bits.

    It uses no labels. [min, max] over all samples is cut into B bins of equal width, half-open except for the last,
    which is closed: x is in bin `min(floor((x - min) B / (max - min)), B - 1)`. The entropy is at most `log2(min(B,
    n))`, so with n = 16 samples it says little.

    Args:
        features: (..., n, D), as for `gaussian_kl`.
        n_bins: the number B of bins, at least 2; the paper does not print it, the default is 32.

    Returns:
        (...,) float64 >= 0. A dimension that is constant over all samples counts as 0.

    Raises:
        VadprobeError: if the shape does not fit, or a feature is not finite.
    """
    units = checked_units(features)
    values = [layer_moments.histogram_entropies(unit, n_bins).mean() for unit in units]
    return np.array(values, dtype=np.float64).reshape(np.shape(features)[:-2])


def layer_metrics(features: np.ndarray, labels: np.ndarray, readings: LayerReadings = LAYERS) -> dict[str, np.ndarray]:
    """Return the three metrics of DLSP for every layer, eqs. 1 to 6 (HiProbe-VAD), and the count of floored dimensions.

    Args:
        features: (..., n, D), for example (layers, n, D). Pass the block outputs, layers 1 to L: layer 0, the
            embedding, is the same token for every sample at the last prompt position, and is not ranked.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        readings: of the equations.

    Returns:
        "gaussian_kl", "discriminant_ratio", "binned_entropy": (...,) float64, each equal bit by bit to the function of
        that name, whatever blocks the leading axes are cut into. "floored_dimensions": (...,) int64, the number of
        dimensions with a class variance that `gaussian_kl` raised to its floor. If they are many, the divergence says
        more about the floor than about the samples.

    Raises:
        VadprobeError: as `gaussian_kl`.
    """
    features = np.asarray(features)
    units = checked_units(features)
    anomalous = checked_labels(labels, units.shape[1])
    rows = [_one_unit(unit, anomalous, readings) for unit in units]
    names = ("gaussian_kl", "discriminant_ratio", "binned_entropy", FLOORED_DIMENSIONS)
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(names)).T
    metrics = {name: column.reshape(features.shape[:-2]) for name, column in zip(names, columns, strict=True)}
    return metrics | {FLOORED_DIMENSIONS: metrics[FLOORED_DIMENSIONS].astype(np.int64)}


def _one_unit(unit: np.ndarray, anomalous: np.ndarray, readings: LayerReadings) -> tuple[float, float, float, float]:
    moments = layer_moments.dimension_moments(unit, anomalous)
    return (
        float(layer_moments.divergences(moments, readings).mean()),
        float(layer_moments.discriminants(moments, readings).mean()),
        float(layer_moments.histogram_entropies(unit, readings.entropy_bins).mean()),
        float(layer_moments.n_floored(moments, readings)),
    )


def _per_unit(features: np.ndarray, labels: np.ndarray, metric: Callable[[Moments], np.ndarray]) -> np.ndarray:
    """Compute a metric layer by layer, so that a layer's value cannot depend on its neighbours."""
    features = np.asarray(features)
    units = checked_units(features)
    anomalous = checked_labels(labels, units.shape[1])
    values = [metric(layer_moments.dimension_moments(unit, anomalous)).mean() for unit in units]
    return np.array(values, dtype=np.float64).reshape(features.shape[:-2])
