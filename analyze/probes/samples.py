"""Samples that a probe is fitted on: their checks, scaling, weights and random draw."""

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels
from vadprobe.analyze.probes.terms import ClassWeight, Resampling, Scaling
from vadprobe.store.errors import VadprobeError


def checked_samples(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features as (n, k) float64 in C order, always a copy, and labels as (n,) int64.

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


def scaled_samples(features: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scaled features (n, k), and the mean and the scale, (k,) each, that scaled them."""
    from sklearn.preprocessing import StandardScaler

    if scaling == "none":
        return features, np.zeros(features.shape[1]), np.ones(features.shape[1])
    scaler = StandardScaler().fit(features)
    return scaler.transform(features), np.asarray(scaler.mean_), np.asarray(scaler.scale_)


def drawn_samples(labels: np.ndarray, fraction: float, resampling: Resampling, seed: int) -> np.ndarray:
    """Draw the samples that a probe is fitted on; returns their positions, (m,) int64.

    A `fraction` below 1 takes the training part of scikit-learn's stratified `train_test_split`; the public code of
    HeadHunt-VAD takes 0.6 with the seed 42. "balanced" then repeats samples of the rarer class until both classes have
    the same number of samples; the repeats of two samples differ by one at most.

    Args:
        labels: (n,) 1 (anomalous) or 0 (normal).
        fraction: in (0, 1].
        resampling: "balanced" repeats drawn samples of the rarer class; "none" does not.
        seed: of both draws, >= 0.

    Raises:
        VadprobeError: if the fraction leaves fewer than two samples of a class.
    """
    from sklearn.model_selection import train_test_split

    drawn = np.arange(len(labels))
    if fraction < 1:
        try:
            drawn, _ = train_test_split(drawn, test_size=1 - fraction, random_state=seed, stratify=labels)
            left = np.bincount(labels[drawn].astype(np.int64), minlength=2)
        except ValueError:  # fewer samples than classes in a part
            left = np.zeros(2, dtype=np.int64)
        if left.min() < 2:
            raise VadprobeError(
                f"probe.fraction {fraction:g} of {len(labels)} calibration samples leaves {left[0]} normal and "
                f"{left[1]} anomalous ones to fit on; there must be two of each. Calibrate on more videos, or raise it."
            )
    if resampling == "balanced":
        classes = [drawn[labels[drawn] == label] for label in (0, 1)]
        rarer, other = sorted(classes, key=len)
        again = np.resize(np.random.default_rng(seed).permutation(rarer), len(other) - len(rarer))
        drawn = np.concatenate([drawn, again])
    return drawn
