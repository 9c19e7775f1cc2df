"""Silhouette of the two classes in every layer's hidden states (figure 3 of HiProbe-VAD)."""

import math

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels, checked_units


def silhouettes(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean silhouette coefficient of the true labels, by Euclidean distances of raw states, for every layer.

    A sample's coefficient is `(b - a) / max(a, b)`, a its mean distance to the other samples of its class, b to those
    of the other class. It is no part of the layer saliency S(l). scikit-learn's is used: it is as fast as can be.

    Args:
        features: (..., n, D), for example (layers, n, D); any real dtype, finite.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 in [-1, 1]. NaN where all samples are equal: they have no distances to compare.

    Raises:
        VadprobeError: if shapes or labels do not fit, a class has fewer than two samples, or a feature is not finite.
    """
    units = checked_units(features)
    anomalous = checked_labels(labels, units.shape[1])
    return np.array([_one(unit, anomalous) for unit in units], dtype=np.float64).reshape(np.shape(features)[:-2])


def _one(unit: np.ndarray, anomalous: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    if (unit == unit[0]).all():
        return math.nan
    values = unit.astype(np.float64)
    # A power of two changes no digit, and no square can overflow or vanish afterwards.
    values = np.ldexp(values, -np.frexp(np.abs(values).max())[1])
    return float(silhouette_score(values - values[0], anomalous))
