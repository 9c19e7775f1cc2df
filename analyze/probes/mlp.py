"""A two-layer perceptron as a probe: one hidden layer of rectified units."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from vadprobe.analyze.probes.probe import Probe, check_penalty, checked_samples, sample_weights
from vadprobe.analyze.probes.settings import HIDDEN, ClassWeight, ProbeKind
from vadprobe.store.errors import VadprobeError

_EVALUATIONS = 15  # of the loss per iteration at most, as scikit-learn's defaults have it; one or two are usual


@dataclass(frozen=True, eq=False)
class MlpProbe(Probe):
    """score = sigmoid(output_weights · max(hidden_weights z + hidden_biases, 0) + output_bias), z standardised.

    ``hidden_weights`` is (hidden, k), ``hidden_biases`` and ``output_weights`` are (hidden,), all float64;
    ``output_bias`` is a float. The score is a probability as far as the fit does not overfit, which few samples make it
    do. ``C``, ``class_weight``, ``seed``, ``n_iterations`` and ``converged`` say how it was fitted.
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
                f"the probe's numbers are not all finite: the output bias is {self.output_bias}. Was the file edited?"
            )

    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        # Not a matrix product: BLAS sums a row in another order when other rows stand beside it.
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


def fit_mlp(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    C: float = 1.0,
    max_iter: int = 1000,
    class_weight: ClassWeight | None = None,
    hidden: int = HIDDEN,
    seed: int = 0,
    tolerance: float = 1e-4,
    selection: dict[str, Any] | None = None,
) -> MlpProbe:
    """Fit the perceptron on standardised features by L-BFGS from seeded random weights.

    The mean log loss plus ``|weights|^2 / (2 C n)``, biases unpenalised: the same penalty as the logistic probe's. It
    has many minima, so another seed is another probe; repeat it over seeds before comparing. Rectified units also put
    kinks into the loss, where no gradient vanishes: a fit that stops at ``max_iter`` is as good a probe, only not
    ``converged``.

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        C: inverse strength of the penalty, > 0; inf for none.
        max_iter: L-BFGS iterations at most.
        class_weight: "balanced" weights samples by n / (2 n_class).
        hidden: units of the hidden layer, >= 1.
        seed: of the first weights, >= 0.
        tolerance: largest gradient component at which L-BFGS stops.
        selection: carried into the probe.

    Returns:
        A probe equal to scikit-learn's ``StandardScaler`` and ``MLPClassifier``. A constant feature has scale 1; its
        weights count for nothing while it stays constant.

    Raises:
        VadprobeError: if a shape, label or setting is not as above, a feature is not finite, a class has fewer than two
            samples.
    """
    features, labels = checked_samples(features, labels)
    check_penalty(C, max_iter)
    if hidden < 1 or seed < 0:
        raise VadprobeError(f"hidden is {hidden} and seed {seed}; hidden >= 1 and seed >= 0 are wanted.")
    scaler = StandardScaler().fit(features)
    model = MLPClassifier(
        (hidden,),
        solver="lbfgs",
        alpha=1 / C,
        max_iter=max_iter,
        max_fun=_EVALUATIONS * max_iter,
        tol=tolerance,
        random_state=seed,
    )
    weights = {} if class_weight is None else {"sample_weight": sample_weights(labels, class_weight)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ``converged`` says it
        model.fit(scaler.transform(features), labels, **weights)
    n_iterations = int(model.n_iter_)
    return MlpProbe(
        mean=np.asarray(scaler.mean_),
        scale=np.asarray(scaler.scale_),
        hidden_weights=np.ascontiguousarray(model.coefs_[0].T),
        hidden_biases=np.asarray(model.intercepts_[0]),
        output_weights=np.ascontiguousarray(model.coefs_[1][:, 0]),
        output_bias=float(model.intercepts_[1][0]),
        C=float(C),
        class_weight=class_weight,
        seed=seed,
        n_iterations=n_iterations,
        converged=n_iterations < max_iter,
        selection=dict(selection or {}),
    )
