"""The locator, which finds anomalies in time by smoothing clip scores and a threshold."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.locator.smoothing import Edge, Smoothing
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class Locator:
    """Smoothing with `sigma`, in clips, and the `threshold` strictly above which a clip is anomalous.

    `edge` and `truncate` are those of `smoothing.Smoothing`; a file without them means the defaults.
    """

    sigma: float
    threshold: float
    edge: Edge = "reflect"
    truncate: float = 4.0

    def __post_init__(self) -> None:
        self.smoothing.radius(self.sigma)  # raises if it is no sigma
        if not np.isfinite(self.threshold):
            raise VadprobeError(f"the locator's threshold must be a finite number, got {self.threshold}.")

    @property
    def smoothing(self) -> Smoothing:
        """Edge and reach of the smoothing."""
        return Smoothing(self.edge, self.truncate)

    def to_json(self) -> dict[str, Any]:
        """Return the locator as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Locator":
        """Restore a locator from `to_json`."""
        return Locator(**value)


def adaptive_threshold(probabilities: np.ndarray, kappa: float) -> float:
    """Return the adaptive threshold of eq. 10 (HiProbe-VAD): mean + kappa * deviation of calibration probabilities.

    The paper takes kappa = 0.2. The deviation is the population's (ddof 0). Computed over **all** samples, the
    threshold mostly encodes the fraction of anomalous samples; say so wherever it is printed. It may exceed 1, and then
    nothing is detected. If all probabilities are equal, it equals them, and none is strictly above it.

    Args:
        probabilities: (n,) float64, of both classes together, or of the anomalous samples alone.
        kappa: number of standard deviations.
    """
    return float(probabilities.mean() + kappa * probabilities.std())
