"""A linear probe: one weight per standardised feature and an intercept, through the sigmoid."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.settings import ClassWeight
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class LinearProbe(Probe):
    """score = sigmoid(coef · (features - mean) / scale + intercept).

    ``coef`` is (k,) float64, ``intercept`` a float. ``C`` (inf: no penalty), ``class_weight``, ``n_iterations`` and
    ``converged`` say how it was fitted; ``converged`` can be False with C = inf only.
    """

    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale", "coef")

    coef: np.ndarray
    intercept: float
    C: float = 1.0
    class_weight: ClassWeight | None = None
    n_iterations: int = 0
    converged: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.intercept):
            raise VadprobeError(
                f"the probe's numbers are not all finite: the intercept is {self.intercept}. Was the file edited?"
            )

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        block *= self.coef
        return np.asarray(expit(block.sum(axis=1) + self.intercept))

    def _check_shapes(self) -> None:
        if self.coef.ndim != 1 or not self.mean.shape == self.scale.shape == self.coef.shape:
            raise self._misshapen()
