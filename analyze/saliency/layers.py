"""How much every layer's hidden state tells of anomalies: HiProbe-VAD's three layer metrics (HP1 to HP6).

Source: HiProbe-VAD (arXiv 2507.17394), equations 1 to 6, with the choices the paper leaves open made as in the
convention "paper". Each metric is the mean over the D dimensions of a number per dimension, so a layer's value says
nothing about how the dimensions work together. DLSP ranks layers by the sum of the three (``.selection``).
"""

from collections.abc import Callable

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels, checked_units
from vadprobe.analyze.saliency.layer_moments import (
    N_BINS,
    Direction,
    Moments,
    dimension_moments,
    discriminants,
    divergences,
    histogram_entropies,
    n_floored,
)
from vadprobe.store.errors import VadprobeError

FLOORED_DIMENSIONS = "floored_dimensions"
"""Key of the count that ``layer_metrics`` returns beside the metrics; it is not ranked."""


def gaussian_kl(features: np.ndarray, labels: np.ndarray, direction: Direction = "normal||anomalous") -> np.ndarray:
    """Kullback-Leibler divergence of Gaussians fitted to both classes, mean over dimensions, in nats (HP1, HP2).

    Per dimension ``D(p || q) = [ln(v_q / v_p) + (v_p + (m_p - m_q)^2) / v_q - 1] / 2`` with the classes' means and
    variances (divided by n). As printed p is the normal class. A class variance below 1e-3 of the dimension's variance
    over all samples is raised to that; ``floored_dimensions`` counts how often.

    Args:
        features: (..., n, D), for example (layers, n, D); any real dtype, finite, computed in float64 after centring.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        direction: "normal||anomalous" as printed, or the other way round.

    Returns:
        (...,) float64 >= 0. A dimension that is constant over all samples counts as 0.

    Raises:
        VadprobeError: if shapes, labels or direction do not fit, a class has fewer than two samples, or a feature is
            not finite.
    """
    _check_direction(direction)
    return _per_unit(features, labels, lambda moments: divergences(moments, direction))


def discriminant_ratio(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Local discriminant ratio (LDR): squared mean difference over summed variances, mean over dimensions (HP3, HP4).

    Per dimension ``(m_a - m_n)^2 / (v_a + v_n + 1e-12)``, variances divided by n. The paper's epsilon has no value; it
    is in squared units of the features, so the ratio is free of scale only for variances far above 1e-12.

    Args:
        features: (..., n, D), as for ``gaussian_kl``.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 >= 0. A dimension that is constant over all samples counts as 0. One that is constant within both
        classes but differs between them counts as its squared difference times 1e12, and outweighs all others.

    Raises:
        VadprobeError: as ``gaussian_kl``.
    """
    return _per_unit(features, labels, discriminants)


def binned_entropy(features: np.ndarray, n_bins: int = N_BINS) -> np.ndarray:
    """Entropy of each dimension's histogram, mean over dimensions, in bits (HP5a, HP6a). It knows no labels.

    The bins cut [min, max] over all samples into ``n_bins`` of equal width, half-open but for the last, which is
    closed: x is in bin ``min(floor((x - min) n_bins / (max - min)), n_bins - 1)``. The entropy is at most
    ``log2(min(n_bins, n))``: with n = 16 samples it tells little.

    Args:
        features: (..., n, D), as for ``gaussian_kl``.
        n_bins: bins per dimension, >= 1.

    Returns:
        (...,) float64 >= 0. A dimension that is constant over all samples counts as 0.

    Raises:
        VadprobeError: if the shape does not fit, n_bins < 1, or a feature is not finite.
    """
    if n_bins < 1:
        raise VadprobeError(f"n_bins is {n_bins}; at least 1 is wanted.")
    units = checked_units(features)
    values = [histogram_entropies(unit, n_bins).mean() for unit in units]
    return np.array(values, dtype=np.float64).reshape(np.shape(features)[:-2])


def floored_dimensions(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many dimensions had the variance of at least one class raised to the floor in ``gaussian_kl``.

    Many floored dimensions mean that the divergence says more about the floor than about the samples.

    Args:
        features: (..., n, D), as for ``gaussian_kl``.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) int64, from 0 to D. A dimension that is constant over all samples is not floored.

    Raises:
        VadprobeError: as ``gaussian_kl``.
    """
    return _per_unit(features, labels, n_floored).astype(np.int64)


def layer_metrics(features: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The three metrics of DLSP for every layer (HP1 to HP6), and how many dimensions were floored.

    Args:
        features: (..., n, D), for example (layers, n, D). Pass the block outputs, layers 1 to L: layer 0, the
            embedding, is the same token for every sample at the last prompt position, and is not ranked.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        "gaussian_kl", "discriminant_ratio", "binned_entropy": (...,) float64; and "floored_dimensions": (...,) int64.
        Each is the same to the last bit as the function of that name, for any cut of the leading axes.

    Raises:
        VadprobeError: as ``gaussian_kl``.
    """
    features = np.asarray(features)
    units = checked_units(features)
    anomalous = checked_labels(labels, units.shape[1])
    rows = [_one_unit(unit, anomalous) for unit in units]
    names = ("gaussian_kl", "discriminant_ratio", "binned_entropy", FLOORED_DIMENSIONS)
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(names)).T
    metrics = {name: column.reshape(features.shape[:-2]) for name, column in zip(names, columns, strict=True)}
    return metrics | {FLOORED_DIMENSIONS: metrics[FLOORED_DIMENSIONS].astype(np.int64)}


def _one_unit(unit: np.ndarray, anomalous: np.ndarray) -> tuple[float, float, float, float]:
    moments = dimension_moments(unit, anomalous)
    return (
        float(divergences(moments, "normal||anomalous").mean()),
        float(discriminants(moments).mean()),
        float(histogram_entropies(unit, N_BINS).mean()),
        float(n_floored(moments)),
    )


def _per_unit(features: np.ndarray, labels: np.ndarray, metric: Callable[[Moments], np.ndarray]) -> np.ndarray:
    """Layer by layer: a layer's value cannot depend on its neighbours."""
    features = np.asarray(features)
    units = checked_units(features)
    anomalous = checked_labels(labels, units.shape[1])
    values = [metric(dimension_moments(unit, anomalous)).mean() for unit in units]
    return np.array(values, dtype=np.float64).reshape(features.shape[:-2])


def _check_direction(direction: str) -> None:
    if direction not in ("normal||anomalous", "anomalous||normal"):
        raise VadprobeError(
            f"direction is {direction!r}; 'normal||anomalous', as printed, or 'anomalous||normal' is wanted."
        )
