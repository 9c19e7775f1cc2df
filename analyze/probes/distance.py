"""A probe without a fitted boundary: distances to the means of the classes."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.preprocessing import StandardScaler

from vadprobe.analyze.probes.probe import Probe, checked_samples
from vadprobe.analyze.probes.settings import ProbeKind


@dataclass(frozen=True, eq=False)
class DistanceProbe(Probe):
    """score = d_n^2 / (d_n^2 + d_a^2): squared distances to the normal and the anomalous mean, standardised.

    ``normal`` and ``anomalous`` are the class means in the standardised space, (k,) float64. 0 at the normal mean, 1 at
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


def fit_distance(features: np.ndarray, labels: np.ndarray, *, selection: dict[str, Any] | None = None) -> DistanceProbe:
    """Take the class means of standardised features.

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        selection: carried into the probe.

    Returns:
        The probe. A constant feature has scale 1 and both means at 0, so it adds nothing while it stays constant.

    Raises:
        VadprobeError: if a shape or label is not as above, a feature is not finite, or a class has fewer than two
            samples.
    """
    features, labels = checked_samples(features, labels)
    scaler = StandardScaler().fit(features)
    standardised = scaler.transform(features)
    return DistanceProbe(
        mean=np.asarray(scaler.mean_),
        scale=np.asarray(scaler.scale_),
        normal=standardised[labels == 0].mean(axis=0),
        anomalous=standardised[labels == 1].mean(axis=0),
        selection=dict(selection or {}),
    )
