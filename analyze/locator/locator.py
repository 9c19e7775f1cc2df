"""The locator of anomalies in time: smoothing of clip scores and a threshold."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadprobe.analyze.locator.smoothing import smoothing_radius
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class Locator:
    """Smoothing with `sigma` (clips), and the `threshold` strictly above which a clip is anomalous."""

    sigma: float
    threshold: float

    def __post_init__(self) -> None:
        smoothing_radius(self.sigma)  # raises if it is no sigma
        if not np.isfinite(self.threshold):
            raise VadprobeError(f"the locator's threshold must be a finite number, got {self.threshold}.")

    def to_json(self) -> dict[str, Any]:
        """Return the locator as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Locator":
        """Restore a locator from `to_json`."""
        return Locator(**value)


def adaptive_threshold(probabilities: np.ndarray, kappa: float) -> float:
    """Return the adaptive threshold of eq. 10 (HiProbe-VAD): mean + kappa * deviation of calibration probabilities.

    The deviation is the population's (ddof 0) over **all** samples. The threshold mostly encodes the fraction of
    anomalous samples: say so where it is printed. It may exceed 1 and then finds nothing; a constant probability is its
    own threshold, and nothing is strictly above it.

    Args:
        probabilities: (n,) float64, of both classes together.
        kappa: in standard deviations.
    """
    return float(probabilities.mean() + kappa * probabilities.std())
