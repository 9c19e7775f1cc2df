"""Checks of labels and features before they are used."""

import math

import numpy as np

from vadprobe.store.errors import VadprobeError

CLASS_NAMES = {0: "normal", 1: "anomalous"}


def check_binary(labels: np.ndarray) -> None:
    """Raise `VadprobeError` unless every label is 1 (anomalous) or 0 (normal)."""
    if not np.isin(labels, (0, 1)).all():
        raise VadprobeError(
            f"labels must be 1 (anomalous) or 0 (normal), got {np.unique(labels).tolist()[:8]}; correct them."
        )


def check_classes(counts: np.ndarray) -> None:
    """Raise `VadprobeError` unless both classes have two samples; `counts` (2,) has the numbers of labels 0 and 1."""
    for label, name in CLASS_NAMES.items():
        if counts[label] < 2:
            raise VadprobeError(
                f"there are {counts[label]} {name} samples (label {label}) among {sum(counts)}, and each class must "
                "have at least two. Draw a larger fraction, or check the labels."
            )


def checked_labels(labels: np.ndarray, n_samples: int) -> np.ndarray:
    """Return labels as (n,) bool, True for anomalous.

    Raises:
        VadprobeError: if there is not one label per sample, a label is neither 0 nor 1, or a class has fewer than two
            samples; the message names the class and its count.
    """
    labels = np.asarray(labels)
    if labels.shape != (n_samples,):
        raise VadprobeError(f"labels must have the shape ({n_samples},), one per sample, got {labels.shape}.")
    check_binary(labels)
    anomalous = labels.astype(bool)
    check_classes(np.bincount(anomalous, minlength=2))
    return anomalous


def checked_units(features: np.ndarray) -> np.ndarray:
    """Return features with all leading axes merged into one: (..., n, d) to (units, n, d), of the same dtype.

    Raises:
        VadprobeError: if there is no sample or dimension, or a value is not finite; the message names the position in
            the leading axes.
    """
    features = np.asarray(features)
    if features.ndim < 2 or 0 in features.shape[-2:]:
        raise VadprobeError(
            "features must have the shape (..., n, d), n samples of d dimensions for every layer or head, got "
            f"{features.shape}."
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
