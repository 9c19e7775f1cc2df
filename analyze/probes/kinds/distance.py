"""The distance probe: squared distances to the means of the classes, without a fitted boundary."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.terms import ProbeKind


@dataclass(frozen=True, eq=False)
class DistanceProbe(Probe):
    """Probe with score = d_n^2 / (d_n^2 + d_a^2), with the distances of a standardised sample to both class means.

    `normal` and `anomalous` are the class means of standardised features, (k,) float64. The score is 0 at the normal
    mean, 1 at the anomalous mean, and 0.5 halfway; it is 0.5 too if both means and the sample are equal. It is no
    probability.
    """

    kind: ClassVar[ProbeKind] = "distance"
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale", "normal", "anomalous")

    normal: np.ndarray
    anomalous: np.ndarray

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        to_normal, to_anomalous = (((block - centre) ** 2).sum(axis=1) for centre in (self.normal, self.anomalous))
        total = to_normal + to_anomalous
        return np.where(total == 0, 0.5, to_normal / np.where(total == 0, 1.0, total))

    def _check_shapes(self) -> None:
        super()._check_shapes()
        if not self.normal.shape == self.anomalous.shape == self.mean.shape:
            raise self._misshapen()
