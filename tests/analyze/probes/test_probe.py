"""The logistic probe against scikit-learn's pipeline and the definition of its minimum."""

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vadprobe.analyze.probes import logistic_fitting
from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.terms import Penalty
from vadprobe.store.errors import VadprobeError


def samples(n=60, k=5, seed=0, shift=1.0, share=0.4):
    """Overlapping classes on very different scales."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) < round(share * n)).astype(int)
    generator.shuffle(labels)
    features = generator.normal(size=(n, k)) + shift * labels[:, None] * generator.normal(size=k)
    return features * 10.0 ** generator.integers(-3, 4, k) + 100, labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("C", [0.01, 1.0, math.inf])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_equal_to_scikit_learns_pipeline(seed, C, class_weight):
    features, labels = samples(seed=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000, class_weight=class_weight))
    expected = model.fit(features, labels).predict_proba(features)[:, 1]
    probe = fit_logistic(features, labels, Penalty(C, class_weight))
    np.testing.assert_allclose(probe.score(features), expected, rtol=0, atol=1e-12)
    assert probe.converged
    assert probe.n_iterations == model[-1].n_iter_[0]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_tight_fit_is_the_minimum_by_definition(monkeypatch, class_weight):
    """Mean weighted log loss plus |w|^2 / (2 C n), minimised by another solver."""
    monkeypatch.setattr(logistic_fitting, "_TOLERANCE", 1e-9)
    features, labels = samples(n=80, k=3)
    probe = fit_logistic(features, labels, Penalty(0.5, class_weight))
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    weights = np.where(labels == 1, 80 / 2 / labels.sum(), 80 / 2 / (80 - labels.sum())) if class_weight else 1.0

    def loss(parameters):
        signed = np.where(labels == 1, 1, -1) * (standardised @ parameters[:-1] + parameters[-1])
        return np.mean(weights * np.logaddexp(0, -signed)) + parameters[:-1] @ parameters[:-1] / (2 * 0.5 * 80)

    best = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 20000})
    np.testing.assert_allclose([*probe.coef, probe.intercept], best.x, rtol=0, atol=1e-6)


def test_an_infinite_c_is_not_a_large_penalty(monkeypatch):
    monkeypatch.setattr(logistic_fitting, "_TOLERANCE", 1e-10)
    features, labels = samples()
    free, nearly = (fit_logistic(features, labels, Penalty(C)) for C in (math.inf, 1e9))
    default = fit_logistic(features, labels)
    np.testing.assert_allclose(free.coef, nearly.coef, atol=1e-4)
    assert np.linalg.norm(free.coef) > 1.01 * np.linalg.norm(default.coef)


def test_only_constant_features_give_the_class_share():
    probe = fit_logistic(np.ones((8, 3)), np.array([1, 1, 0, 0, 0, 0, 0, 0]))
    np.testing.assert_allclose(probe.score(np.ones((2, 3))), 0.25, atol=1e-4)


def test_low_precision_features_are_scored_in_float64():
    features, labels = samples()
    narrow = features.astype(np.float32)
    probe = fit_logistic(narrow, labels)
    assert probe.score(narrow).dtype == np.float64
    assert probe.score(narrow).tobytes() == probe.score(narrow.astype(np.float64)).tobytes()


def test_extreme_logits_are_zero_and_one_without_a_warning():
    probe = LogisticProbe(mean=np.zeros(1), scale=np.ones(1), coef=np.ones(1), intercept=0.0)
    assert probe.score(np.array([[-1e6], [0.0], [1e6]])).tolist() == [0.0, 0.5, 1.0]


def test_separable_data_without_a_penalty_stop_where_scikit_learn_stops_and_say_so():
    features = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    labels = np.array([0, 0, 1, 1])
    probe = fit_logistic(features, labels, Penalty(math.inf))
    assert probe.converged
    assert abs(probe.coef[0]) > 5, "no finite minimiser: the tolerance decides"
    stopped = fit_logistic(features, labels, Penalty(math.inf, max_iter=2))
    assert not stopped.converged
    assert stopped.n_iterations == 2


def test_a_penalised_fit_that_does_not_converge_is_an_error():
    features, labels = samples(n=200, k=30)
    with pytest.raises(VadprobeError, match=r"did not converge in 2 iterations.*max_iter \(now 2\)"):
        fit_logistic(features, labels, Penalty(1000.0, max_iter=2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_iter", [1, 3, 8, 20, 100])
def test_converged_agrees_with_scikit_learns_warning(seed, max_iter):
    """The flag is recomputed from the gradient, because recording warnings is not safe in threads."""
    features, labels = samples(n=100, k=20, seed=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_pipeline(StandardScaler(), LogisticRegression(C=math.inf, max_iter=max_iter)).fit(features, labels)
    warned = any(issubclass(item.category, ConvergenceWarning) for item in caught)
    assert fit_logistic(features, labels, Penalty(math.inf, max_iter=max_iter)).converged is not warned


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.array([0, 0, 0, 1])}, r"there are 1 anomalous samples \(label 1\) among 4"),
        ({"features": np.zeros(4)}, r"features must have the shape \(n, k\) .* got \(4,\)"),
        ({"features": np.zeros((4, 0))}, "k >= 1"),
        ({"features": np.array([[0, 1], [2, math.nan], [3, 4], [5, math.inf]])}, "2 of 4 .* sample 1, feature 1 .nan"),
    ],
)
def test_unfit_samples_are_refused(change, words):
    case = {"features": np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 2.0], [2.0, 5.0]]), "labels": np.array([0, 0, 1, 1])}
    assert fit_logistic(**case).converged
    with pytest.raises(VadprobeError, match=words):
        fit_logistic(**(case | change))


@pytest.mark.parametrize("shape", [(4, 4), (4, 6), (5,), (1, 4, 5)])
def test_features_of_another_selection_are_refused(shape):
    features, labels = samples()
    with pytest.raises(VadprobeError, match="fitted on 5 features"):
        fit_logistic(features, labels).score(np.zeros(shape))


def test_fitting_leaves_its_input_alone():
    features, labels = samples()
    before = features.copy()
    fit_logistic(features, labels).score(features)
    assert features.tobytes() == before.tobytes()
