"""What every saliency kernel starts from: checked samples of two classes, the classes apart, and distances.

The kernels take features with leading axes, ``(..., n, d)``: n samples of d dimensions for every layer or head, and one
label per sample. Every layer and head is computed from its own values alone, in the same order of operations whatever
stands beside it, so that cutting the leading axes into blocks changes no bit of an answer. Hence ``take`` and
``compress`` in place of ``[:, index]``, which interleaves the heads in memory and sums them in another order.
"""

import math
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.calibration import check_classes
from vadprobe.store.errors import VadprobeError

_SAME = 1e-13
"""Squared distances below this share of the squared norms are rounding, and count as 0 (distances: 3e-7)."""


@dataclass(frozen=True, eq=False)
class Separated:
    """Samples of a block of heads with their class means taken out, in an orthonormal basis of what they span.

    ``rows`` (heads, n, r) float64 are the class-centred samples in the given order, ``difference`` (heads, r) the mean
    of the anomalous class minus that of the normal one, both in one unit per head (a power of two). ``r`` is
    min(n + 1, d), ``dimension`` is d. ``anomalous`` (n,) bool. ``constant`` (heads,) bool: all samples are equal.
    """

    rows: np.ndarray
    difference: np.ndarray
    anomalous: np.ndarray
    dimension: int
    constant: np.ndarray

    @property
    def centred(self) -> np.ndarray:
        """(heads, n, r): the samples minus the mean of all of them."""
        share = float(self.anomalous.mean())
        weights = np.where(self.anomalous, 1 - share, -share)
        return np.asarray(self.rows + weights[:, None] * self.difference[:, None, :])


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


def separate(units: np.ndarray, anomalous: np.ndarray) -> Separated:
    """Take the class means out of a block of checked units (heads, n, d), in float64.

    Only lengths and angles matter to the metrics of heads, so n + 1 < d samples are rotated into the space they span
    (one QR factorisation per head): nothing is lost, and no later step costs more than min(n + 1, d) dimensions.
    """
    values = units.astype(np.float64)
    # A power of two per head changes no digit, and no square or fourth power can overflow or vanish afterwards.
    values = np.ldexp(values, -np.frexp(np.abs(values).max(axis=(1, 2), keepdims=True))[1])
    rows = np.empty_like(values)
    first, mean = [], []
    for mine in (~anomalous, anomalous):
        # Minus a sample of the class first: samples that are equal become exactly 0, whatever the mean rounds to.
        samples = values.compress(mine, axis=1)
        offset = samples - samples[:, :1]
        first.append(samples[:, 0])
        mean.append(offset.mean(axis=1))
        rows[:, mine] = offset - mean[-1][:, None]
    difference = (first[1] - first[0]) + (mean[1] - mean[0])
    constant = (values == values[:, :1]).all(axis=(1, 2))
    n, dimension = values.shape[1:]
    if n + 1 < dimension:
        vectors = np.concatenate([rows, difference[:, None]], axis=1)
        # Householder QR is accurate vector by vector, so a class much tighter than the other keeps its digits.
        coordinates = np.asarray(np.linalg.qr(vectors.swapaxes(1, 2), mode="r")).swapaxes(1, 2)
        rows, difference = coordinates[:, :-1], coordinates[:, -1]
    return Separated(np.ascontiguousarray(rows), difference, anomalous, dimension, constant)


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (heads, m, n) between the rows of (heads, m, r) and (heads, n, r), float64.

    Exactly 0 for equal rows: distances below 3e-7 of the rows' norms cannot be told from rounding, and count as 0.
    """
    norms = (left**2).sum(axis=-1)[:, :, None] + (right**2).sum(axis=-1)[:, None, :]
    distances = norms - 2 * (left @ right.swapaxes(1, 2))
    distances[distances <= _SAME * norms] = 0.0
    return np.asarray(distances)
