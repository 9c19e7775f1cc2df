"""The whitened probe: distance of a sample to the mean in units of the spread of all samples, without labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from vadprobe.analyze.probes.kinds.samples import FitSamples
from vadprobe.analyze.probes.probe import Probe


@dataclass(frozen=True, eq=False)
class WhitenedProbe(Probe):
    """Probe with score = m / (1 + m), where m is the mean square of a sample's whitened features.

    The mean of m over the fitted rows is about 1, a score of 0.5. The covariance is that of probabilistic PCA:
    `variances` (c,) along the orthonormal `directions` (c, k), and `rest`, the mean of all other variances, in all
    directions orthogonal to them. `centre` (k,) is the mean. All are float64.
    """

    kind: ClassVar[str] = "whitened"
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale", "centre", "directions", "variances")
    options: ClassVar[Mapping[str, float]] = {"components": 32}
    sees_labels: ClassVar[bool] = False
    sees_rows: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    centre: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest: float = 1.0

    @classmethod
    def fit(cls, samples: FitSamples) -> Self:
        """Fit mean and covariance of all rows, with at most options["components"] components and half of their rank."""
        rows = samples.rows
        centre = rows.mean(axis=0)
        _, singular, directions = np.linalg.svd(rows - centre, full_matrices=False)
        variances = singular**2 / len(rows)
        width = rows.shape[1]
        known = int((singular > singular[:1] * 1e-10).sum())
        count = min(int(samples.options["components"]), known // 2)
        rest = float(variances[count:].sum() / (width - count))
        return cls(
            samples.mean, samples.scale, centre, directions[:count], variances[:count], rest if rest > 0 else 1.0
        )

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        block -= self.centre
        along = np.einsum("nk,ck->nc", block, self.directions) ** 2
        across = np.maximum((block * block).sum(axis=1) - along.sum(axis=1), 0.0)
        mean = ((along / self.variances).sum(axis=1) + across / self.rest) / block.shape[1]
        return np.asarray(mean / (1 + mean))

    def _check_shapes(self) -> None:
        super()._check_shapes()
        if not self.directions.size:  # JSON loses the shape of an empty array
            object.__setattr__(self, "directions", np.empty((0, *self.mean.shape)))
        if self.centre.shape != self.mean.shape or self.directions.shape != self.variances.shape + self.mean.shape:
            raise self._misshapen()
