"""The papers' probe: logistic regression on the features of the selected layer or heads (HP8, HH10-11)."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vadprobe.analyze.probes.linear import LinearProbe
from vadprobe.analyze.probes.probe import check_penalty, checked_samples, sample_weights
from vadprobe.analyze.probes.settings import ClassWeight, Convention, ProbeKind, contradiction
from vadprobe.store.errors import VadprobeError

FLAT = 1e-5
"""Gradient at which L-BFGS may stop early: the loss no longer changes in double precision."""


@dataclass(frozen=True, eq=False)
class LogisticProbe(LinearProbe):
    """A linear probe whose score is the probability that a sample is anomalous (HP8, HH11).

    ``convention`` says how it was fitted. ``n_left_out`` counts the rows with a value that is not finite, which a
    streamed fit leaves out; a fit in memory refuses them.
    """

    kind: ClassVar[ProbeKind] = "logistic"

    convention: Convention = "paper"
    n_left_out: int = 0


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    C: float = 1.0,
    max_iter: int = 1000,
    class_weight: ClassWeight | None = None,
    tolerance: float = 1e-4,
    convention: Convention = "paper",
    selection: dict[str, Any] | None = None,
) -> LogisticProbe:
    """Fit logistic regression with an L2 penalty (HP8, HH10).

    The papers print no penalty and "1000 epochs of LBFGS", which defines nothing on separable data: the loss then has
    no minimiser, and the answer is wherever the solver stops. So C = 1 is the default. ``C = inf`` is "as printed": its
    result is scikit-learn's stopping point, and ``converged`` says whether that was the tolerance or ``max_iter``.

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        C: inverse strength of the penalty, > 0.
        max_iter: iterations of the solver. A limit only: a fit that needs more is an error.
        class_weight: "balanced" weights samples by n / (2 n_class).
        tolerance: largest gradient component of the mean loss at which the fit counts as converged (scikit-learn's);
            with "headhunt-code" liblinear's, which is relative to the gradient at 0.
        convention: "paper" standardises the features, leaves the intercept unpenalised and minimises by L-BFGS.
            "headhunt-code" takes the features as they are, by liblinear, which penalises the intercept too; that code
            has C = 1 and at most 2000 iterations.
        selection: carried into the probe.

    Returns:
        A probe equal to scikit-learn's ``LogisticRegression``, after ``StandardScaler`` or not. A constant feature has
        scale 1 and, standardised, coefficient 0.

    Raises:
        VadprobeError: if a shape, label or setting is not as above, a feature is not finite, a class has fewer than two
            samples, or a penalised fit does not converge.
    """
    features, labels = checked_samples(features, labels)
    check_penalty(C, max_iter)
    refused = contradiction("logistic", C=C, convention=convention)
    if refused:
        raise VadprobeError(refused + ".")
    fitted = _by_liblinear if convention == "headhunt-code" else _by_lbfgs
    model = LogisticRegression(C=C, max_iter=max_iter, tol=tolerance, class_weight=class_weight)
    return fitted(model, features, labels, dict(selection or {}))


def _by_lbfgs(
    model: LogisticRegression, features: np.ndarray, labels: np.ndarray, selection: dict[str, Any]
) -> LogisticProbe:
    scaler = StandardScaler().fit(features)
    standardised = scaler.transform(features)
    _fit_quietly(model.set_params(solver="lbfgs"), standardised, labels)
    coef, intercept = model.coef_[0], float(model.intercept_[0])
    slope = _largest_gradient(standardised, labels, coef, intercept, model.C, model.class_weight)
    n_iterations = int(model.n_iter_[0])
    converged = has_converged(slope, model.tol, exhausted=n_iterations >= model.max_iter)
    if not converged and np.isfinite(model.C):
        raise VadprobeError(
            f"the probe did not converge in {n_iterations} iterations: the gradient is {slope:.2g}, "
            f"{model.tol:.2g} is wanted. Raise max_iter (now {model.max_iter}) or lower C (now {model.C:g})."
        )
    return LogisticProbe(
        mean=np.asarray(scaler.mean_),
        scale=np.asarray(scaler.scale_),
        coef=np.asarray(coef),
        intercept=intercept,
        C=float(model.C),
        class_weight=model.class_weight,
        n_iterations=n_iterations,
        converged=converged,
        selection=selection,
    )


def _by_liblinear(
    model: LogisticRegression, features: np.ndarray, labels: np.ndarray, selection: dict[str, Any]
) -> LogisticProbe:
    _fit_quietly(model.set_params(solver="liblinear"), features, labels)
    n_iterations = int(model.n_iter_[0])
    if n_iterations >= model.max_iter:
        raise VadprobeError(
            f"the probe did not converge in {n_iterations} iterations of liblinear. Raise max_iter (now "
            f"{model.max_iter}; that code has 2000), or lower C (now {model.C:g})."
        )
    return LogisticProbe(
        mean=np.zeros(features.shape[1]),
        scale=np.ones(features.shape[1]),
        coef=np.asarray(model.coef_[0]),
        intercept=float(model.intercept_[0]),
        C=float(model.C),
        class_weight=model.class_weight,
        n_iterations=n_iterations,
        selection=selection,
        convention="headhunt-code",
    )


def has_converged(slope: float, tolerance: float, *, exhausted: bool) -> bool:
    """Whether a gradient's largest component says "at the minimum": below the tolerance, or flat before the limit."""
    return slope <= 1.01 * tolerance or (not exhausted and slope <= FLAT)


def _fit_quietly(model: LogisticRegression, features: np.ndarray, labels: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # decided from the gradient or the iterations instead
        model.fit(features, labels)


def _largest_gradient(
    standardised: np.ndarray,
    labels: np.ndarray,
    coef: np.ndarray,
    intercept: float,
    C: float,
    class_weight: ClassWeight | None,
) -> float:
    """Largest absolute gradient component of the weighted mean loss plus |coef|^2 / (2 C n), what L-BFGS minimises.

    Recomputed rather than read from scikit-learn's warning: recording warnings is not safe in Dask's threads.
    """
    n = len(labels)
    residuals = sample_weights(labels, class_weight) * (expit(standardised @ coef + intercept) - labels) / n
    gradient = np.append(standardised.T @ residuals + coef / (C * n), residuals.sum())
    return float(np.abs(gradient).max())
