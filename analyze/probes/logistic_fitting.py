"""Fitting the papers' probe, logistic regression, to samples in memory."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.probes.samples import checked_samples, sample_weights, scaled_samples
from vadprobe.analyze.probes.terms import DEFAULT_PENALTY, Convention, Penalty, Scaling
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_TOLERANCE = 1e-4
"""Largest gradient component of the mean loss at a converged fit; for liblinear relative to the gradient at 0."""

_FLAT = 1e-5
"""Largest gradient component at which L-BFGS may end early, since the loss no longer changes in float64."""


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    penalty: Penalty = DEFAULT_PENALTY,
    *,
    convention: Convention = "paper",
    scaling: Scaling = "standard",
) -> LogisticProbe:
    """Fit logistic regression with an L2 penalty (eq. 8 (HiProbe-VAD), eq. 10 (HeadHunt-VAD)).

    The papers print no penalty, and "1000 epochs of LBFGS". On separable data this defines no result: the loss has no
    minimum, and the result is where the solver stops. So the default is C = 1. `C = inf` is the reading "as printed":
    the result is scikit-learn's stopping point, and `converged` is False if it was `max_iter`.

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        penalty: strength, class weights, and limit of iterations; a penalised fit that needs more iterations is an
            error.
        convention: "paper" standardises the features, does not penalise the intercept, and minimises by L-BFGS.
            "headhunt-code" uses unscaled features and liblinear, which penalises the intercept too; that code has C = 1
            and at most 2000 iterations.
        scaling: "none" uses unscaled features under "paper" as well, as HiProbe-VAD prints it; L-BFGS may then need
            many iterations.

    Returns:
        A probe equal to scikit-learn's `LogisticRegression`, with or without `StandardScaler`. A constant feature has
        scale 1 and, if standardised, coefficient 0.

    Raises:
        VadprobeError: if a shape or label does not fit, a feature is not finite, a class has fewer than two samples, or
            a penalised fit does not converge.
    """
    features, labels = checked_samples(features, labels)
    if convention == "headhunt-code":
        return _by_liblinear(features, labels, penalty)
    return _by_lbfgs(features, labels, penalty, scaling)


def _by_lbfgs(features: np.ndarray, labels: np.ndarray, penalty: Penalty, scaling: Scaling) -> LogisticProbe:
    standardised, mean, scale = scaled_samples(features, scaling)
    model = _fitted(standardised, labels, penalty, "lbfgs")
    coef, intercept = np.asarray(model.coef_[0]), float(model.intercept_[0])
    slope = _largest_gradient(standardised, labels, coef, intercept, penalty)
    n_iterations = int(model.n_iter_[0])
    converged = has_converged(slope, _TOLERANCE, exhausted=n_iterations >= penalty.max_iter)
    if not converged and np.isfinite(penalty.C):
        raise VadprobeError(
            f"the probe did not converge in {n_iterations} iterations: the gradient must fall to {_TOLERANCE:.2g}, it "
            f"is {slope:.2g}. Raise max_iter (now {penalty.max_iter}) or lower C (now {penalty.C:g})."
        )
    return LogisticProbe(
        mean=mean,
        scale=scale,
        coef=coef,
        intercept=intercept,
        C=float(penalty.C),
        class_weight=penalty.class_weight,
        n_iterations=n_iterations,
        converged=converged,
    )


def _by_liblinear(features: np.ndarray, labels: np.ndarray, penalty: Penalty) -> LogisticProbe:
    model = _fitted(features, labels, penalty, "liblinear")
    n_iterations = int(model.n_iter_[0])
    if n_iterations >= penalty.max_iter:
        raise VadprobeError(
            f"the probe did not converge in {n_iterations} iterations of liblinear. Raise max_iter (now "
            f"{penalty.max_iter}; that code has 2000), or lower C (now {penalty.C:g})."
        )
    return LogisticProbe(
        mean=np.zeros(features.shape[1]),
        scale=np.ones(features.shape[1]),
        coef=np.asarray(model.coef_[0]),
        intercept=float(model.intercept_[0]),
        C=float(penalty.C),
        class_weight=penalty.class_weight,
        n_iterations=n_iterations,
        convention="headhunt-code",
    )


def has_converged(slope: float, tolerance: float, *, exhausted: bool) -> bool:
    """Return whether a gradient's largest component `slope` is that of a minimum.

    It is at most `tolerance`, or at most the flat limit if the solver ended by itself (not `exhausted`).
    """
    return slope <= 1.01 * tolerance or (not exhausted and slope <= _FLAT)


def _fitted(features: np.ndarray, labels: np.ndarray, penalty: Penalty, solver: str) -> "LogisticRegression":
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=penalty.C, max_iter=penalty.max_iter, tol=_TOLERANCE, class_weight=penalty.class_weight, solver=solver
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # convergence is judged by the gradient or the iterations
        return model.fit(features, labels)


def _largest_gradient(
    standardised: np.ndarray, labels: np.ndarray, coef: np.ndarray, intercept: float, penalty: Penalty
) -> float:
    """Return the largest component of the gradient of the weighted mean loss plus |coef|^2 / (2 C n).

    It is recomputed because scikit-learn only warns, and recording warnings is not safe in Dask's threads.
    """
    from scipy.special import expit

    n = len(labels)
    residuals = sample_weights(labels, penalty.class_weight) * (expit(standardised @ coef + intercept) - labels) / n
    gradient = np.append(standardised.T @ residuals + coef / (penalty.C * n), residuals.sum())
    return float(np.abs(gradient).max())
