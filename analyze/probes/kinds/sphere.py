"""Directions on the unit sphere: centring, spherical k-means and a von Mises-Fisher score (SphereVAD's analysis)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from vadprobe.analyze.probes.kinds.samples import FitSamples
from vadprobe.analyze.probes.probe import Probe

_ITERATIONS = 200  # largest number of iterations of the mean and of k-means; about ten are usual
_CONVERGED = 1e-12  # radians


@dataclass(frozen=True, eq=False)
class SphereProbe(Probe):
    """Probe with score = sigmoid(concentration * (d_n - d_a)), from angles to the nearest prototype of each class.

    A sample is divided by its length, mapped by the logarithm at the Frechet mean `centre` (k,) to the tangent space,
    and divided by its length again. `normal` (p, k) and `anomalous` (q, k) are the prototypes, unit vectors of that
    tangent space; d_n and d_a are angles in radians. All are float64.
    """

    kind: ClassVar[str] = "von-mises-fisher"
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale", "centre", "normal", "anomalous")
    options: ClassVar[Mapping[str, float]] = {
        "normal_prototypes": 3,
        "anomalous_prototypes": 25,
        "concentration": 1 / 0.3,
    }
    sees_labels: ClassVar[bool] = True
    sees_rows: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    centre: np.ndarray
    normal: np.ndarray
    anomalous: np.ndarray
    concentration: float = 1 / 0.3

    @classmethod
    def fit(cls, samples: FitSamples) -> Self:
        """Fit the Frechet mean of all rows and the prototypes of each class, at most as many as its samples."""
        centre = frechet_mean(unit_vectors(samples.rows))
        moved = centred(samples.features, centre)
        prototypes = [
            spherical_kmeans(moved[samples.labels == label], int(samples.options[f"{name}_prototypes"]))
            for label, name in ((0, "normal"), (1, "anomalous"))
        ]
        concentration = float(samples.options["concentration"])
        return cls(samples.mean, samples.scale, centre, prototypes[0], prototypes[1], concentration)

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        moved = centred(block, self.centre)
        to_normal, to_anomalous = (angles(moved, kept).min(axis=1) for kept in (self.normal, self.anomalous))
        return np.asarray(expit(self.concentration * (to_normal - to_anomalous)))

    def _check_shapes(self) -> None:
        super()._check_shapes()
        width = self.mean.shape
        if self.centre.shape != width or any(
            kept.ndim != 2 or len(kept) == 0 or kept.shape[1:] != width for kept in (self.normal, self.anomalous)
        ):
            raise self._misshapen()


def unit_vectors(rows: np.ndarray) -> np.ndarray:
    """Return rows (n, k) divided by their lengths; a row of zeros stays."""
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(lengths == 0, 1.0, lengths))


def angles(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the angles between unit vectors (n, k) and (m, k) in radians, (n, m)."""
    # Not a matrix product: BLAS sums a row in another order when other rows stand beside it.
    return np.asarray(np.arccos(np.clip(np.einsum("nk,mk->nm", rows, others), -1.0, 1.0)))


def tangents(rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return logarithms of unit vectors (n, k) at `centre` (k,): tangents towards each row, as long as its angle."""
    cosines = np.clip((rows * centre).sum(axis=1, keepdims=True), -1.0, 1.0)
    return np.asarray(unit_vectors(rows - cosines * centre) * np.arccos(cosines))


def centred(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return features (n, k) as unit vectors of the tangent space at `centre` (k,); the centre becomes zeros."""
    return unit_vectors(tangents(unit_vectors(features), centre))


def frechet_mean(rows: np.ndarray) -> np.ndarray:
    """Return the unit vector, (k,), with the least sum of squared angles to unit vectors (n, k), by iteration."""
    centre = _direction(rows.sum(axis=0), rows)
    for _ in range(_ITERATIONS):
        step = tangents(rows, centre).mean(axis=0)
        length = float(np.sqrt((step * step).sum()))
        if length < _CONVERGED:
            break
        centre = unit_vectors((np.cos(length) * centre + np.sin(length) * step / length)[None])[0]
    return centre


def spherical_kmeans(rows: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` prototypes of unit vectors (n, k), each the direction of the sum of its own rows.

    The first start is the row nearest the mean direction, each further one the row farthest from all earlier starts.
    Then rows are assigned and prototypes updated in turn until nothing changes. No random numbers are used. Equal rows
    share one prototype.
    """
    distinct = np.unique(rows, axis=0)
    chosen = [int(angles(distinct, _direction(rows.sum(axis=0), rows)[None]).argmin())]
    nearest = angles(distinct, distinct[chosen])[:, 0]
    while len(chosen) < min(count, len(distinct)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, angles(distinct, distinct[chosen[-1:]])[:, 0])
    prototypes, owners = distinct[chosen], np.full(len(rows), -1)
    for _ in range(_ITERATIONS):
        found = angles(rows, prototypes).argmin(axis=1)
        if (found == owners).all():
            break
        owners = found
        for number in np.unique(owners):
            own = rows[owners == number]
            prototypes[number] = _direction(own.sum(axis=0), own)
    return np.asarray(prototypes[np.unique(owners)])


def _direction(total: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the direction of a sum of rows; if they cancel, that of the first row in the order of values."""
    found = unit_vectors(total[None])[0]
    return found if found.any() else np.asarray(np.unique(rows, axis=0)[0])
