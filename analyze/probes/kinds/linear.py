"""Linear probes: one weight per standardised feature and an intercept, through the sigmoid."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.terms import ClassWeight, Convention, ProbeKind
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class LinearProbe(Probe):
    """Probe with score = sigmoid(coef · (features - mean) / scale + intercept).

    `coef` is (k,) float64, `intercept` a float. `C` (inf for no penalty), `class_weight`, `n_iterations` and
    `converged` describe the fit; `converged` can be False only if C = inf.
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
                f"the probe's numbers are not all finite: the intercept is {self.intercept}. The file may "
                "have been edited; use the original."
            )

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        block *= self.coef
        return np.asarray(expit(block.sum(axis=1) + self.intercept))

    def _check_shapes(self) -> None:
        if self.coef.ndim != 1 or not self.mean.shape == self.scale.shape == self.coef.shape:
            raise self._misshapen()


@dataclass(frozen=True, eq=False)
class LogisticProbe(LinearProbe):
    """Linear probe whose score is the probability of an anomaly (eq. 8 (HiProbe-VAD), eq. 11 (HeadHunt-VAD)).

    `convention` describes the fit. `n_left_out` counts the rows with a value that is not finite, which a streamed fit
    leaves out; a fit in memory refuses them.
    """

    kind: ClassVar[ProbeKind] = "logistic"

    convention: Convention = "paper"
    n_left_out: int = 0


@dataclass(frozen=True, eq=False)
class LinearSvmProbe(LinearProbe):
    """Linear probe whose score is the sigmoid of the SVM's decision value.

    The score is no calibrated probability, since the hinge loss estimates none. Only the order of scores is meaningful;
    0.5 is the decision boundary.
    """

    kind: ClassVar[ProbeKind] = "linear-svm"
