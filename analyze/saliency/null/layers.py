"""DLSP's layer metrics under many labellings at once; matrix products give the class moments of all labellings."""

import numpy as np

from vadprobe.analyze.calibration.labels import checked_units
from vadprobe.analyze.saliency import layer_moments
from vadprobe.analyze.saliency.layer_moments import Moments
from vadprobe.analyze.saliency.layers import FLOORED_DIMENSIONS
from vadprobe.analyze.saliency.readings import LAYERS, LayerReadings

_LABELINGS = 32
"""Number of labelings at a time, so that their moments of a block of dimensions fit the processor's cache."""

_CANCELLED = 1e-5
"""Fraction of the total variance below which a class variance has lost digits and is recomputed from the samples."""


def layer_null(features: np.ndarray, labelings: np.ndarray, readings: LayerReadings = LAYERS) -> dict[str, np.ndarray]:
    """Return the metrics of every layer under every labelling, as `layers.layer_metrics` does for one labelling.

    Args:
        features: (..., n, D), as for `layer_metrics`.
        labelings: (n_labelings, n) bool or int, 1 = anomalous, at least two of each class in every row, from
            `permutations.permuted_labels`.
        readings: of the equations.

    Returns:
        The metrics by the names of `layer_metrics`, each (n_labelings, ...): "floored_dimensions" int64, the others
        float64, equal to its values within 1e-8. A variance within 1e-8 of the floor may be counted on its other side.
        The rows of the entropy are equal, since it uses no labels.

    Raises:
        VadprobeError: if a feature is not finite.
    """
    features, labelings = np.asarray(features), np.asarray(labelings).astype(bool)
    units = checked_units(features)
    shape = (len(labelings), len(units))
    names = ("gaussian_kl", "discriminant_ratio", "binned_entropy", FLOORED_DIMENSIONS)
    results = {name: np.zeros(shape) for name in names}
    for number, unit in enumerate(units):
        results["binned_entropy"][:, number] = layer_moments.histogram_entropies(unit, readings.entropy_bins).mean()
        for first in range(0, len(labelings), _LABELINGS):
            here = slice(first, first + _LABELINGS)
            for name, values in _sums(unit, labelings[here], readings).items():
                results[name][here, number] = values
    for name in names[:2]:
        results[name] /= units.shape[2]
    results = {name: values.reshape(len(labelings), *features.shape[:-2]) for name, values in results.items()}
    return results | {FLOORED_DIMENSIONS: results[FLOORED_DIMENSIONS].astype(np.int64)}


def _sums(unit: np.ndarray, labelings: np.ndarray, readings: LayerReadings) -> dict[str, np.ndarray]:
    """Return the metrics of one layer summed over its dimensions, (n_labelings,) by name."""
    totals = np.zeros((3, len(labelings)))
    for values, exponent in layer_moments.scaled_blocks(unit):
        moments = _moments(values, exponent, labelings)
        totals[0] += layer_moments.divergences(moments, readings).sum(axis=-1)
        totals[1] += layer_moments.discriminants(moments, readings).sum(axis=-1)
        totals[2] += layer_moments.n_floored(moments, readings)
    return dict(zip(("gaussian_kl", "discriminant_ratio", FLOORED_DIMENSIONS), totals, strict=True))


def _moments(values: np.ndarray, exponent: np.ndarray, labelings: np.ndarray) -> Moments:
    """Return the moments of a block of dimensions (n, D) under all labelings, each (n_labelings, D)."""
    offset = values - values[0]
    offset -= offset.mean(axis=0)
    square = offset**2
    anomalous, n = labelings.astype(np.float64), len(values)
    counts = anomalous.sum(axis=1, keepdims=True)
    of_sum, of_square = anomalous @ offset, anomalous @ square
    means = [(offset.sum(axis=0) - of_sum) / (n - counts), of_sum / counts]
    variances = [
        np.maximum((square.sum(axis=0) - of_square) / (n - counts) - means[0] ** 2, 0.0),
        np.maximum(of_square / counts - means[1] ** 2, 0.0),
    ]
    difference, fraction = means[1] - means[0], counts / n
    within = (1 - fraction) * variances[0] + fraction * variances[1]
    total = within + fraction * (1 - fraction) * difference**2
    lost = np.minimum(*variances) <= _CANCELLED * total
    for labeling in np.flatnonzero(lost.any(axis=1)):
        where = lost[labeling]
        # the values are in the unit of the exponents already
        exact = layer_moments.dimension_moments(values[:, where], labelings[labeling])
        difference[labeling, where], total[labeling, where] = exact.difference, exact.total
        variances[0][labeling, where], variances[1][labeling, where] = exact.normal, exact.anomalous
    return Moments(difference, variances[0], variances[1], total, np.broadcast_to(exponent, difference.shape))
