"""Silhouette of the two classes in every layer's hidden states (figure 3 of HiProbe-VAD)."""

import math

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels, checked_units


def silhouettes(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean silhouette coefficient of the true labels, by Euclidean distances of raw states, for every layer.

    A sample's coefficient is `(b - a) / max(a, b)`, where a is its mean distance to the other samples of its class and
    b to those of the other class. It is no part of the layer saliency S(l). It is computed by scikit-learn, which is as
    fast as code of our own.

    Args:
        features: (..., n, D), for example (layers, n, D); any real dtype, finite.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.

    Returns:
        (...,) float64 in [-1, 1]. NaN if all samples are equal.

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
    # Scaling by a power of two changes no digit; afterwards no square can overflow or become 0.
    values = np.ldexp(values, -np.frexp(np.abs(values).max())[1])
    return float(silhouette_score(values - values[0], anomalous))
