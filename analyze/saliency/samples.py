"""Samples of two classes for the kernels: the classes centred apart, their inner products and distances.

The kernels take features with leading axes, `(..., n, d)`: n samples of d dimensions for every layer or head, and one
label per sample. Every layer and head is computed from its own values alone, in the same order of operations whatever
stands beside it, so that cutting the leading axes into blocks changes no bit of an answer. Hence `take` in place of
`[:, index]`, which interleaves the heads in memory and sums them in another order.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_SAME = 1e-13
"""Squared distances below this fraction of the squared norms are rounding, and count as 0 (distances: 3e-7)."""

_EXPONENTS = 200
"""Features within 2 to the power of plus or minus this need no scaling: their fourth powers are ordinary numbers."""


@dataclass(frozen=True, eq=False)
class ClassCentred:
    """Samples of a block of heads, the normal ones first, with their class means taken out.

    `vectors` (heads, n + 1, d) float64 are the class-centred samples and, last, the mean of the anomalous class minus
    that of the normal one, all in one unit per head (a power of two). `order` (n,) int64 are the samples' numbers as
    given, normal ones first, each class in the given order; `n_normal` is how many those are. `units`
    (heads, n, d) are the features as given; they are 2 to the power of `exponents` (heads,) int64 times as large as
    the vectors. `constant` (heads,) bool: all samples are equal.
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
        """Multiples (n,) of the difference that, added to its own row, make a sample minus the mean of all."""
        fraction = 1 - self.n_normal / self.n_samples
        return np.where(np.arange(self.n_samples) < self.n_normal, -fraction, 1 - fraction)

    @property
    def centred(self) -> np.ndarray:
        """Samples minus the mean of all of them, (heads, n, d)."""
        return np.asarray(self.rows + self.weights[:, None] * self.difference[:, None, :])

    @cached_property
    def _products(self) -> np.ndarray:
        # n + 1 by n: products of a matrix with its own transpose are slower than others while they are small.
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
        """Half of the squared distances of all samples, (heads, n, n), with the rounding of inner products."""
        half = self.gram.diagonal(axis1=1, axis2=2) / 2
        one = np.ones(half.shape)
        normal = one * (np.arange(self.n_samples) < self.n_normal)
        anomalous = one - normal
        # Two samples of different classes differ by the difference of the means as well.
        away, along = normal * (self.distance[:, None] / 2 - self.along), anomalous * self.along
        # Sums of outer products are fastest as one matrix product.
        left = np.stack([half, one, away, normal, along, anomalous], axis=2)
        right = np.stack([one, half, anomalous, along, normal, away], axis=1)
        result = left @ right
        result -= self.gram
        return np.asarray(result)

    @property
    def centred_gram(self) -> np.ndarray:
        """Inner products of the samples minus the mean of all of them, (heads, n, n)."""
        weights = np.broadcast_to(self.weights, self.along.shape)
        along = self.along + (self.distance / 2)[:, None] * weights
        result = np.stack([along, weights], axis=2) @ np.stack([weights, along], axis=1)
        result += self.gram
        return np.asarray(result)


def centre_classes(units: np.ndarray, anomalous: np.ndarray) -> ClassCentred:
    """Take the class means out of a block of checked units (heads, n, d), in float64."""
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
    """Write samples (n, heads, d), overwritten, less their mean to rows; the mean is the sum of the two results."""
    # Minus a sample first: samples that are equal become exactly 0, whatever the mean rounds to.
    first = samples[0].copy()
    samples -= first
    # In order in every case: NumPy sums a single column in pairs, but several columns row by row.
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

    So no square or fourth power can overflow or vanish. Those of shorter floats are ordinary numbers of float64.
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
    """Tell where all samples of a head are equal; only heads whose first sample leaves nothing are read in full."""
    constant = np.asarray(~vectors[:, [0, -1]].any(axis=(1, 2)))
    for head in np.flatnonzero(constant):
        constant[head] = (units[head] == units[head, :1]).all()
    return constant


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances (heads, m, n) between the rows of (heads, m, r) and (heads, n, r), float64.

    Exactly 0 for equal rows: distances below 3e-7 of the rows' norms cannot be told from rounding, and count as 0.
    """
    norms = (left**2).sum(axis=-1)[:, :, None] + (right**2).sum(axis=-1)[:, None, :]
    distances = norms - 2 * (left @ right.swapaxes(1, 2))
    distances[distances <= _SAME * norms] = 0.0
    return np.asarray(distances)
