"""A two-layer perceptron as a probe: one hidden layer of rectified units."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.terms import ClassWeight, ProbeKind
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class MlpProbe(Probe):
    """Probe with score = sigmoid(output_weights · max(hidden_weights z + hidden_biases, 0) + output_bias).

    z are the standardised features. `hidden_weights` is (hidden, k), `hidden_biases` and `output_weights` are
    (hidden,), all float64; `output_bias` is a float. The score is a probability unless the fit overfits, as it does
    with few samples. `C`, `class_weight`, `seed`, `n_iterations` and `converged` describe the fit.
    """

    kind: ClassVar[ProbeKind] = "mlp"
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale", "hidden_weights", "hidden_biases", "output_weights")

    hidden_weights: np.ndarray
    hidden_biases: np.ndarray
    output_weights: np.ndarray
    output_bias: float
    C: float = 1.0
    class_weight: ClassWeight | None = None
    seed: int = 0
    n_iterations: int = 0
    converged: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.output_bias):
            raise VadprobeError(
                f"the probe's numbers are not all finite: the output bias is {self.output_bias}. The file "
                "may have been edited; use the original."
            )

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        # Not a matrix product: BLAS may sum a row in another order if there are other rows.
        from scipy.special import expit

        hidden = np.einsum("nk,hk->nh", block, self.hidden_weights)
        np.maximum(hidden + self.hidden_biases, 0.0, out=hidden)
        hidden *= self.output_weights
        return np.asarray(expit(hidden.sum(axis=1) + self.output_bias))

    def _check_shapes(self) -> None:
        super()._check_shapes()
        hidden = self.hidden_biases.shape
        if (
            len(hidden) != 1
            or self.output_weights.shape != hidden
            or self.hidden_weights.shape != hidden + self.mean.shape
        ):
            raise self._misshapen()
