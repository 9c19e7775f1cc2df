"""A probe without a fitted boundary: distances to the means of the classes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.terms import ProbeKind


@dataclass(frozen=True, eq=False)
class DistanceProbe(Probe):
    """score = d_n^2 / (d_n^2 + d_a^2): squared distances to the normal and the anomalous mean, standardised.

    `normal` and `anomalous` are the class means in the standardised space, (k,) float64. 0 at the normal mean, 1 at
    the anomalous one, 0.5 halfway and where both means and the sample are one point. It is no probability.
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
