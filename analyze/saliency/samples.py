"""Samples of two classes for the kernels: each class centred, with inner products and distances.

The kernels take features with leading axes, `(..., n, d)`: n samples of d dimensions for every layer or head, and one
label per sample. Every layer and head is computed from its own values alone, in an order of operations that does not
depend on the others, so cutting the leading axes into blocks changes no bit of a result. This is why `take` is used
instead of `[:, index]`, which interleaves the heads in memory and so sums them in another order.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_SAME = 1e-13
"""Fraction of the squared norms below which a squared distance is rounding and counts as 0 (3e-7 for distances)."""

_EXPONENTS = 200
"""Largest absolute exponent of 2 of features that need no scaling: their fourth powers are normal numbers."""


@dataclass(frozen=True, eq=False)
class ClassCentred:
    """Class-centred samples of a block of heads, the normal ones first.

    Attributes:
        vectors: (heads, n + 1, d) float64, the samples minus their class means and, last, the mean of the anomalous
            class minus that of the normal one; all in one unit per head, 2 ** exponent.
        order: (n,) int64, the original number of each sample; each class keeps its original order.
        n_normal: number of normal samples.
        units: (heads, n, d), the features as given.
        exponents: (heads,) int64, exponent of each head's unit: features are 2 ** exponent times as large as `vectors`.
        constant: (heads,) bool, True if all samples of a head are equal.
    """

    vectors: np.ndarray
    order: np.ndarray
    n_normal: int
    units: np.ndarray
    exponents: np.ndarray
    constant: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Class-centred samples, (heads, n, d), a view."""
        return np.asarray(self.vectors[:, :-1])

    @property
    def difference(self) -> np.ndarray:
        """Mean of the anomalous class minus that of the normal one, (heads, d), a view."""
        return np.asarray(self.vectors[:, -1])

    @property
    def n_samples(self) -> int:
        """Number n of samples, of both classes together."""
        return len(self.order)

    @property
    def dimension(self) -> int:
        """Number d of dimensions."""
        return int(self.vectors.shape[2])

    @property
    def weights(self) -> np.ndarray:
        """Multiple of the difference, (n,), to be added to a class-centred row to centre it by the mean of all."""
        fraction = 1 - self.n_normal / self.n_samples
        return np.where(np.arange(self.n_samples) < self.n_normal, -fraction, 1 - fraction)

    @property
    def centred(self) -> np.ndarray:
        """Samples minus the mean of all samples, (heads, n, d)."""
        return np.asarray(self.rows + self.weights[:, None] * self.difference[:, None, :])

    @cached_property
    def _products(self) -> np.ndarray:
        # n + 1 by n, since small products of a matrix with its own transpose are slower than others.
        return np.asarray(self.vectors @ self.rows.swapaxes(1, 2))

    @property
    def gram(self) -> np.ndarray:
        """Inner products of the class-centred samples, (heads, n, n)."""
        return np.asarray(self._products[:, :-1])

    @property
    def along(self) -> np.ndarray:
        """Inner products of the class-centred samples with the difference, (heads, n)."""
        return np.asarray(self._products[:, -1])

    @cached_property
    def distance(self) -> np.ndarray:
        """Squared length of the difference, (heads,)."""
        return np.asarray(np.einsum("hi,hi->h", self.difference, self.difference))

    @cached_property
    def half_squared_distances(self) -> np.ndarray:
        """Half of the squared distances of all samples, (heads, n, n), with rounding errors of inner products."""
        half = self.gram.diagonal(axis1=1, axis2=2) / 2
        one = np.ones(half.shape)
        normal = one * (np.arange(self.n_samples) < self.n_normal)
        anomalous = one - normal
        # Samples of different classes also differ by the difference of the means.
        away, along = normal * (self.distance[:, None] / 2 - self.along), anomalous * self.along
        # Sums of outer products are fastest as one matrix product.
        left = np.stack([half, one, away, normal, along, anomalous], axis=2)
        right = np.stack([one, half, anomalous, along, normal, away], axis=1)
        result = left @ right
        result -= self.gram
        return np.asarray(result)

    @property
    def centred_gram(self) -> np.ndarray:
        """Inner products of the samples minus the mean of all samples, (heads, n, n)."""
        weights = np.broadcast_to(self.weights, self.along.shape)
        along = self.along + (self.distance / 2)[:, None] * weights
        result = np.stack([along, weights], axis=2) @ np.stack([weights, along], axis=1)
        result += self.gram
        return np.asarray(result)


def centre_classes(units: np.ndarray, anomalous: np.ndarray) -> ClassCentred:
    """Subtract the class means from a block of checked units (heads, n, d), in float64."""
    order = np.argsort(anomalous, kind="stable")
    n_normal = len(order) - int(np.count_nonzero(anomalous))
    # Samples first in memory: the steps below are then few long vector operations.
    samples = units.swapaxes(0, 1).take(order, axis=0).astype(np.float64)
    exponents = _scale(samples.swapaxes(0, 1), units.dtype)
    vectors = np.empty((len(units), len(order) + 1, units.shape[2]))
    rows, difference = vectors.swapaxes(0, 1)[:-1], vectors[:, -1]
    first = _centre(samples[:n_normal], rows[:n_normal])
    second = _centre(samples[n_normal:], rows[n_normal:])
    np.subtract(second[0], first[0], out=difference)
    difference += second[1] - first[1]
    return ClassCentred(vectors, order, n_normal, units, exponents, _constant(units, vectors))


def _centre(samples: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write samples (n, heads, d) minus their mean to `rows`; return two arrays whose sum is the mean.

    The samples are overwritten.
    """
    # A sample is subtracted first, so that equal samples become exactly 0 in spite of rounding.
    first = samples[0].copy()
    samples -= first
    # Summed in order in every case: NumPy sums a single column pairwise, but several columns row by row.
    total = samples.sum(axis=0) if samples.shape[2] > 1 else samples.cumsum(axis=0)[-1]
    mean = total / len(samples)
    np.subtract(samples, mean, out=rows)
    return first, mean


def scaled(units: np.ndarray) -> np.ndarray:
    """Return units (heads, n, d) as a new float64 array, each head in the unit of `centre_classes`."""
    samples = units.astype(np.float64)
    _scale(samples, units.dtype)
    return samples


def _scale(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Divide by a power of two per head, in place, and return the exponents, (heads,).

    Afterwards no square or fourth power can overflow or become 0. Values of shorter float types need no scaling: their
    fourth powers are normal numbers of float64.
    """
    if dtype.kind == "f" and dtype.itemsize < 8:
        return np.zeros(len(samples), dtype=np.int64)
    largest = np.maximum(samples.max(axis=(1, 2), initial=0.0), -samples.min(axis=(1, 2), initial=0.0))
    exponents = np.frexp(largest)[1]
    exponents[np.abs(exponents) <= _EXPONENTS] = 0
    if exponents.any():
        np.ldexp(samples, -exponents[:, None, None], out=samples)
    return np.asarray(exponents, dtype=np.int64)


def _constant(units: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return (heads,) bool, True if all samples of a head are equal; only likely heads are compared in full."""
    constant = np.asarray(~vectors[:, [0, -1]].any(axis=(1, 2)))
    for head in np.flatnonzero(constant):
        constant[head] = (units[head] == units[head, :1]).all()
    return constant


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances (heads, m, n) between the rows of (heads, m, r) and (heads, n, r), float64.

    They are exactly 0 for equal rows: distances below 3e-7 of the rows' norms may be rounding errors, and count as 0.
    """
    norms = (left**2).sum(axis=-1)[:, :, None] + (right**2).sum(axis=-1)[:, None, :]
    distances = norms - 2 * (left @ right.swapaxes(1, 2))
    distances[distances <= _SAME * norms] = 0.0
    return np.asarray(distances)
