"""Checks of labels and features before they are used."""

import math

import numpy as np

from vadprobe.store.errors import VadprobeError

_CLASSES = {0: "normal", 1: "anomalous"}


def check_classes(labels: np.ndarray) -> None:
    """Raise ``VadprobeError`` unless both classes have at least two samples; it names the class that has not."""
    for label, name in _CLASSES.items():
        count = int(np.count_nonzero(labels == label))
        if count < 2:
            raise VadprobeError(
                f"there are {count} {name} samples (label {label}) among {len(labels)}; at least two per class are "
                "wanted. Draw a larger fraction, or check the labels."
            )


def checked_units(features: np.ndarray) -> np.ndarray:
    """Features with their leading axes made one: (..., n, d) to (units, n, d), of the same dtype.

    Raises:
        VadprobeError: if there is no sample or dimension, or a value is not finite; the message names the position in
            the leading axes.
    """
    features = np.asarray(features)
    if features.ndim < 2 or 0 in features.shape[-2:]:
        raise VadprobeError(
            f"features have shape {features.shape}; (..., n, d) is wanted: n samples of d dimensions for every layer "
            "or head."
        )
    bad = ~np.isfinite(features).all(axis=(-2, -1))
    if bad.any():
        position = tuple(np.argwhere(bad)[0].tolist())
        sample, dimension = np.argwhere(~np.isfinite(features[position]))[0].tolist()
        value = features[position][sample, dimension]
        raise VadprobeError(
            f"features are not finite at {np.count_nonzero(bad)} of {bad.size} positions in the leading axes, first at "
            f"{position}, sample {sample}, dimension {dimension} ({value}). Leave failed rows out; if the model "
            "overflowed, extract in bfloat16."
        )
    return features.reshape(math.prod(features.shape[:-2]), *features.shape[-2:])


def checked_labels(labels: np.ndarray, n_samples: int) -> np.ndarray:
    """Labels as (n,) bool, True for anomalous.

    Raises:
        VadprobeError: if there is not one label per sample, a label is neither 0 nor 1, or a class has fewer than two
            samples; the message names the class and its count.
    """
    labels = np.asarray(labels)
    if labels.shape != (n_samples,):
        raise VadprobeError(f"labels have shape {labels.shape}; one per sample, ({n_samples},), is wanted.")
    if not np.isin(labels, (0, 1)).all():
        raise VadprobeError(
            f"labels are {np.unique(labels).tolist()[:8]}; only 1 (anomalous) and 0 (normal) are wanted."
        )
    anomalous = labels.astype(bool)
    check_classes(anomalous)
    return anomalous
