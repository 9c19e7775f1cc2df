"""The linear support vector machine as a probe."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from vadprobe.analyze.probes.linear import LinearProbe
from vadprobe.analyze.probes.probe import check_penalty, checked_samples
from vadprobe.analyze.probes.settings import ClassWeight, ProbeKind, contradiction
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class LinearSvmProbe(LinearProbe):
    """A linear probe whose score is the sigmoid of the SVM's decision value.

    That is no calibrated probability: the hinge loss estimates none. The order of the scores is what counts; 0.5 is
    the decision boundary.
    """

    kind: ClassVar[ProbeKind] = "linear-svm"


def fit_linear_svm(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    C: float = 1.0,
    max_iter: int = 1000,
    class_weight: ClassWeight | None = None,
    tolerance: float = 1e-4,
    selection: dict[str, Any] | None = None,
) -> LinearSvmProbe:
    """Fit a linear SVM on standardised features: ``|coef|^2 / 2 + C sum of squared hinge losses`` at its least.

    liblinear solves the primal problem, which draws no random numbers. It penalises the intercept like a coefficient.

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        C: inverse strength of the penalty, > 0 and finite.
        max_iter: iterations of liblinear. A limit only: a fit that needs more is an error.
        class_weight: "balanced" weights samples by n / (2 n_class).
        tolerance: liblinear's, relative to the gradient at 0.
        selection: carried into the probe.

    Returns:
        A probe equal to scikit-learn's ``StandardScaler`` and ``LinearSVC(dual=False)``. A constant feature has scale 1
        and coefficient 0.

    Raises:
        VadprobeError: if a shape, label or setting is not as above, a feature is not finite, a class has fewer than two
            samples, or the fit does not converge.
    """
    features, labels = checked_samples(features, labels)
    check_penalty(C, max_iter)
    refused = contradiction("linear-svm", C=C)
    if refused:
        raise VadprobeError(refused + ".")
    scaler = StandardScaler().fit(features)
    model = LinearSVC(C=C, max_iter=max_iter, tol=tolerance, class_weight=class_weight, dual=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # decided from the iterations below
        model.fit(scaler.transform(features), labels)
    n_iterations = int(model.n_iter_)
    if n_iterations >= max_iter:
        raise VadprobeError(
            f"the linear SVM did not converge in {n_iterations} iterations. Raise max_iter (now {max_iter}) or lower C "
            f"(now {C:g})."
        )
    return LinearSvmProbe(
        mean=np.asarray(scaler.mean_),
        scale=np.asarray(scaler.scale_),
        coef=np.asarray(model.coef_[0]),
        intercept=float(model.intercept_[0]),
        C=float(C),
        class_weight=class_weight,
        n_iterations=n_iterations,
        selection=dict(selection or {}),
    )
