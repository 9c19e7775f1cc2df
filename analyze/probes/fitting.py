"""Fitting probes of every kind to samples in memory, by scikit-learn."""

import warnings
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np

from vadprobe.analyze.probes.kinds.distance import DistanceProbe
from vadprobe.analyze.probes.kinds.linear import LinearSvmProbe
from vadprobe.analyze.probes.kinds.mlp import MlpProbe
from vadprobe.analyze.probes.kinds.registry import own_fit
from vadprobe.analyze.probes.kinds.samples import FitSamples
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.probe import Probe
from vadprobe.analyze.probes.samples import checked_samples, sample_weights, scaled_samples
from vadprobe.analyze.probes.terms import DEFAULT_PENALTY, HIDDEN, Convention, Penalty, ProbeKind, Scaling
from vadprobe.store.errors import VadprobeError

_TOLERANCE = 1e-4  # scikit-learn's default: relative to the gradient at 0 for liblinear, absolute for L-BFGS
_EVALUATIONS = 15  # largest number of evaluations of the loss per iteration, as in scikit-learn; one or two are usual


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    kind: ProbeKind = "logistic",
    penalty: Penalty = DEFAULT_PENALTY,
    hidden: int = HIDDEN,
    seed: int = 0,
    convention: Convention = "paper",
    scaling: Scaling = "standard",
    options: Mapping[str, float] | None = None,
    unlabelled: np.ndarray | None = None,
) -> Probe:
    """Fit a probe of any kind; both papers fit logistic regression (eq. 8 (HiProbe-VAD), eq. 10 (HeadHunt-VAD)).

    Args:
        features: (n, k), finite; converted to float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two samples of each.
        kind: "logistic", "linear-svm", "mlp" (one hidden layer), "distance" (to the class means), or one that fits
            itself (`kinds.samples.Scorer`).
        penalty: ignored by "distance"; for the linear SVM its C must be finite.
        hidden: number of hidden units of "mlp", >= 1.
        seed: of the initial weights of "mlp", >= 0; the other kinds are not random.
        convention: of "logistic", see `logistic_fitting.fit_logistic`.
        scaling: of the features, for every kind. "Standardised" features in the functions below are scaled in this way.
        options: of a kind that fits itself; the others have none.
        unlabelled: (m, k) rows that a kind with statistics without labels sees too (transductive); None for none.

    Raises:
        VadprobeError: if a shape or label does not fit, a feature is not finite, a class has fewer than two samples, or
            a penalised fit does not converge within its iterations (but "mlp" only sets `converged` to False).
    """
    fits: dict[str, Callable[[], Probe]] = {
        "logistic": lambda: fit_logistic(features, labels, penalty, convention=convention, scaling=scaling),
        "linear-svm": lambda: fit_linear_svm(features, labels, penalty, scaling=scaling),
        "mlp": lambda: fit_mlp(features, labels, penalty, hidden=hidden, seed=seed, scaling=scaling),
        "distance": lambda: fit_distance(features, labels, scaling=scaling),
    }
    if kind in fits:
        return fits[kind]()
    return fit_own(kind, features, labels, scaling=scaling, options=options, unlabelled=unlabelled)


def fit_own(
    kind: ProbeKind,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    scaling: Scaling = "standard",
    options: Mapping[str, float] | None = None,
    unlabelled: np.ndarray | None = None,
) -> Probe:
    """Fit a kind of probe that fits itself, on features scaled by all rows that it sees; arguments as for `fit_probe`.

    Raises:
        VadprobeError: as `fit_probe`, or if the kind has no fit.
    """
    scorer = own_fit(kind)
    if scorer is None:
        raise VadprobeError(f"the kind {kind!r} must have a fit, as docs/how-to/extend/method.md shows; it has none.")
    features, labels = checked_samples(features, labels)
    rows = features
    if unlabelled is not None:
        rows = np.concatenate([features, unlabelled[np.isfinite(unlabelled).all(axis=1)]])
    scaled, mean, scale = scaled_samples(rows, scaling)
    samples = FitSamples(scaled[: len(features)], labels, scaled, mean, scale, {**scorer.options, **(options or {})})
    return cast(Probe, scorer.fit(samples))


def fit_linear_svm(
    features: np.ndarray, labels: np.ndarray, penalty: Penalty = DEFAULT_PENALTY, *, scaling: Scaling = "standard"
) -> LinearSvmProbe:
    """Fit a linear SVM on standardised features: minimise `|coef|^2 / 2 + C * sum of squared hinge losses`.

    liblinear solves the primal problem, which needs no random numbers. It penalises the intercept like a coefficient.

    The probe equals scikit-learn's `StandardScaler` with `LinearSVC(dual=False)`. A constant feature has scale 1 and
    coefficient 0. Arguments and errors as for `fit_probe`; C must be finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    features, labels = checked_samples(features, labels)
    scaled, mean, scale = scaled_samples(features, scaling)
    model = LinearSVC(
        C=penalty.C, max_iter=penalty.max_iter, tol=_TOLERANCE, class_weight=penalty.class_weight, dual=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # convergence is judged by the iterations below
        model.fit(scaled, labels)
    n_iterations = int(model.n_iter_)
    if n_iterations >= penalty.max_iter:
        raise VadprobeError(
            f"the linear SVM did not converge in {n_iterations} iterations. Raise max_iter (now {penalty.max_iter}) or "
            f"lower C (now {penalty.C:g})."
        )
    return LinearSvmProbe(
        mean=mean,
        scale=scale,
        coef=np.asarray(model.coef_[0]),
        intercept=float(model.intercept_[0]),
        C=float(penalty.C),
        class_weight=penalty.class_weight,
        n_iterations=n_iterations,
    )


def fit_mlp(
    features: np.ndarray,
    labels: np.ndarray,
    penalty: Penalty = DEFAULT_PENALTY,
    *,
    hidden: int = HIDDEN,
    seed: int = 0,
    scaling: Scaling = "standard",
) -> MlpProbe:
    """Fit a perceptron of one hidden layer on standardised features by L-BFGS from seeded random weights.

    It minimises the mean log loss plus `|weights|^2 / (2 C n)` without a penalty on biases, the same penalty as in the
    logistic probe. The loss has many minima, so another seed gives another probe; repeat over seeds before you compare.
    Rectified units also make the loss non-smooth at some points, where the gradient does not vanish: a fit that stops
    at `max_iter` is as good a probe, but is not `converged`.

    The probe equals scikit-learn's `StandardScaler` with `MLPClassifier`. A constant feature has scale 1; its weights
    have no effect while it stays constant. Arguments and errors as for `fit_probe`; C = inf means no penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    features, labels = checked_samples(features, labels)
    scaled, mean, scale = scaled_samples(features, scaling)
    model = MLPClassifier(
        (hidden,),
        solver="lbfgs",
        alpha=1 / penalty.C,
        max_iter=penalty.max_iter,
        max_fun=_EVALUATIONS * penalty.max_iter,
        tol=_TOLERANCE,
        random_state=seed,
    )
    weights = None if penalty.class_weight is None else sample_weights(labels, penalty.class_weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported by `converged`
        model.fit(scaled, labels, sample_weight=weights)
    n_iterations = int(model.n_iter_)
    return MlpProbe(
        mean=mean,
        scale=scale,
        hidden_weights=np.ascontiguousarray(model.coefs_[0].T),
        hidden_biases=np.asarray(model.intercepts_[0]),
        output_weights=np.ascontiguousarray(model.coefs_[1][:, 0]),
        output_bias=float(model.intercepts_[1][0]),
        C=float(penalty.C),
        class_weight=penalty.class_weight,
        seed=seed,
        n_iterations=n_iterations,
        converged=n_iterations < penalty.max_iter,
    )


def fit_distance(features: np.ndarray, labels: np.ndarray, *, scaling: Scaling = "standard") -> DistanceProbe:
    """Return the probe of the class means of standardised features.

    A constant feature has scale 1 and two means of 0, so it has no effect while it stays constant. Arguments and errors
    as for `fit_probe`.
    """
    features, labels = checked_samples(features, labels)
    standardised, mean, scale = scaled_samples(features, scaling)
    return DistanceProbe(
        mean=mean,
        scale=scale,
        normal=standardised[labels == 0].mean(axis=0),
        anomalous=standardised[labels == 1].mean(axis=0),
    )
