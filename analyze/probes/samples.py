"""Samples that a probe is fitted on: their checks, and their weights."""

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels
from vadprobe.analyze.probes.settings import ClassWeight
from vadprobe.store.errors import VadprobeError


def checked_samples(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features as (n, k) float64 in C order, never the caller's own, and labels as (n,) int64.

    Raises:
        VadprobeError: if a shape or label does not fit, a feature is not finite, or a class has fewer than two samples.
    """
    features = np.array(features, dtype=np.float64, order="C")
    if features.ndim != 2 or features.shape[1] == 0:
        raise VadprobeError(f"features must have the shape (n, k) with k >= 1, got {features.shape}.")
    anomalous = checked_labels(labels, len(features))
    bad = ~np.isfinite(features)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise VadprobeError(
            f"{int(bad.any(axis=1).sum())} of {len(features)} samples have features that are not finite, first sample "
            f"{row}, feature {column} ({features[row, column]}). Leave failed clips out; if the model "
            "overflowed, extract in bfloat16."
        )
    return features, anomalous.astype(np.int64)


def sample_weights(labels: np.ndarray, class_weight: ClassWeight | None) -> np.ndarray:
    """Return the weight of each sample, (n,) float64: 1, or with "balanced" n / (2 n_class)."""
    if class_weight is None:
        return np.ones(len(labels))
    return np.asarray(len(labels) / (2 * np.bincount(labels))[labels])
