"""Every kind of probe: its definition against scikit-learn or by hand, and the laws all kinds obey."""

import json
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.support import profiles
from vadprobe.analyze.configuration import ProbeConfig
from vadprobe.analyze.probes import fitting, logistic_fitting
from vadprobe.analyze.probes.fitting import fit_distance, fit_linear_svm, fit_mlp, fit_probe
from vadprobe.analyze.probes.kinds.distance import DistanceProbe
from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.probes.kinds.mlp import MlpProbe
from vadprobe.analyze.probes.kinds.registry import probe_from_json
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.terms import Penalty
from vadprobe.store.errors import VadprobeError

KINDS = ("logistic", "linear-svm", "mlp", "distance")
FITS = [{"kind": kind} for kind in KINDS] + [{"kind": "logistic", "convention": "headhunt-code"}]
laws = profiles.laws(15)


def samples(n=60, k=5, seed=0, share=0.4):
    """Overlapping classes; (features, labels)."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) < round(share * n)).astype(int)
    generator.shuffle(labels)
    return generator.normal(size=(n, k)) + labels[:, None] * generator.normal(size=k), labels


def every_kind(function):
    return pytest.mark.parametrize("settings", FITS, ids=lambda given: "-".join(given.values()))(function)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
def test_the_svm_is_scikit_learns_behind_a_sigmoid(seed, class_weight, C):
    features, labels = samples(seed=seed)
    model = make_pipeline(StandardScaler(), LinearSVC(C=C, class_weight=class_weight, dual=False))
    expected = model.fit(features, labels).decision_function(features)
    probe = fit_linear_svm(features, labels, Penalty(C, class_weight))
    np.testing.assert_allclose(probe.score(features), expit(expected), rtol=0, atol=1e-12)
    assert ((probe.score(features) > 0.5) == model.predict(features)).all()


def test_a_tight_svm_is_the_minimum_by_definition(monkeypatch):
    monkeypatch.setattr(fitting, "_TOLERANCE", 1e-10)
    features, labels = samples(n=80, k=3)
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)

    def loss(parameters):
        margins = np.where(labels == 1, 1, -1) * (standardised @ parameters[:-1] + parameters[-1])
        return parameters @ parameters / 2 + 0.5 * (np.maximum(1 - margins, 0) ** 2).sum()

    best = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 20000})
    probe = fit_linear_svm(features, labels, Penalty(0.5))
    np.testing.assert_allclose([*probe.coef, probe.intercept], best.x, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("hidden", "seed", "class_weight"), [(64, 0, None), (3, 7, None), (1, 0, "balanced")])
def test_the_perceptron_is_scikit_learns(hidden, seed, class_weight):
    features, labels = samples(n=50, seed=seed)
    scaled = StandardScaler().fit_transform(features)
    # So strong a penalty that every fit converges in some forty steps: a weaker one may walk along kinks for ever.
    model = MLPClassifier((hidden,), solver="lbfgs", alpha=1 / 0.1, max_iter=1000, max_fun=15000, random_state=seed)
    weights = np.where(labels == 1, 50 / 2 / labels.sum(), 50 / 2 / (50 - labels.sum())) if class_weight else None
    expected = model.fit(scaled, labels, sample_weight=weights).predict_proba(scaled)[:, 1]
    probe = fit_mlp(features, labels, Penalty(0.1, class_weight), hidden=hidden, seed=seed)
    np.testing.assert_allclose(probe.score(features), expected, rtol=0, atol=1e-10)
    assert (probe.hidden_weights.shape, probe.converged) == ((hidden, 5), True)
    assert np.ptp(expected) > 0.2, "a penalty that leaves nothing to compare"


def test_the_perceptron_learns_what_no_line_can():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 2))
    labels = (features[:, 0] * features[:, 1] > 0).astype(int)
    fresh = generator.normal(size=(400, 2))
    truth = fresh[:, 0] * fresh[:, 1] > 0
    right = {kind: ((fit_probe(features, labels, kind=kind).score(fresh) > 0.5) == truth).mean() for kind in KINDS}
    assert right["mlp"] > 0.9
    assert max(right[kind] for kind in KINDS if kind != "mlp") < 0.65


def test_a_perceptron_of_another_seed_is_another_and_of_the_same_is_the_same():
    features, labels = samples()
    first, again, other = (fit_mlp(features, labels, seed=seed, hidden=8) for seed in (3, 3, 4))
    assert first.hidden_weights.tobytes() == again.hidden_weights.tobytes()
    assert not np.allclose(first.hidden_weights, other.hidden_weights)


def test_distances_by_hand():
    features = np.array([[0.0], [2.0], [4.0], [6.0]])
    probe = fit_distance(features, np.array([0, 0, 1, 1]))
    # The means are 1 and 5; a common scale cancels.
    np.testing.assert_allclose(probe.score(np.array([[1.0], [5.0], [3.0], [2.0], [-3.0]])), [0, 1, 0.5, 0.1, 0.2])


def test_distances_are_to_the_means_of_the_standardised_classes():
    features, labels = samples(seed=3)
    scaler = StandardScaler().fit(features)
    rows, normal, anomalous = (
        scaler.transform(part) for part in (features, features[labels == 0], features[labels == 1])
    )
    squared = [[math.dist(row, part.mean(axis=0)) ** 2 for part in (normal, anomalous)] for row in rows]
    expected = [near / (near + far) for near, far in squared]
    np.testing.assert_allclose(fit_distance(features, labels).score(features), expected, rtol=1e-12)


def test_a_sample_at_both_means_is_a_half():
    alike = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [2.0, 3.0]])
    probe = fit_distance(alike, np.array([0, 0, 1, 1]))
    assert probe.score(np.array([[1.0, 2.0], [0.0, 1.0]])).tolist() == [0.5, 0.5]
    assert fit_distance(np.ones((4, 2)), np.array([0, 0, 1, 1])).score(np.ones((1, 2))).tolist() == [0.5]


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_codes_convention_is_liblinear_without_scaling(C, class_weight):
    features, labels = samples()
    features = features * [1, 10, 0.1, 3, 1] + 4
    model = LogisticRegression(C=C, solver="liblinear", max_iter=2000, class_weight=class_weight).fit(features, labels)
    probe = fit_logistic(features, labels, Penalty(C, class_weight, 2000), convention="headhunt-code")
    np.testing.assert_allclose(probe.score(features), model.predict_proba(features)[:, 1], rtol=0, atol=1e-12)
    assert (probe.convention, probe.mean.tolist(), probe.scale.tolist()) == ("headhunt-code", [0.0] * 5, [1.0] * 5)


def test_the_codes_convention_penalises_the_intercept(monkeypatch):
    """With C small the penalised intercept stays near 0, where the free one is the log odds of the classes."""
    labels = np.array([1] * 30 + [0] * 10)
    features = np.random.default_rng(0).normal(size=(40, 2)) * 1e-6
    monkeypatch.setattr(logistic_fitting, "_TOLERANCE", 1e-9)
    free, penalised = (
        fit_logistic(features, labels, Penalty(1e-4), convention=convention).intercept
        for convention in ("paper", "headhunt-code")
    )
    assert free == pytest.approx(math.log(3), abs=1e-3)
    assert abs(penalised) < 0.01


@every_kind
def test_json_restores_every_bit(settings):
    features, labels = samples(k=7)
    probe = fit_probe(features, labels, **settings)
    text = json.dumps(probe.to_json(), allow_nan=False)
    again = probe_from_json(json.loads(text))
    assert type(again) is type(probe)
    assert again.kind == settings["kind"]
    assert json.dumps(again.to_json()) == text
    assert again.score(features).tobytes() == probe.score(features).tobytes()
    for name in probe.arrays:
        assert getattr(again, name).tobytes() == getattr(probe, name).tobytes()


def test_a_file_without_a_kind_is_a_logistic_probe():
    """As written before there were other kinds, with a selection that a probe no longer carries."""
    value = {
        "mean": [1.0, 2.0],
        "scale": [0.5, 4.0],
        "coef": [0.1, -0.2],
        "intercept": 0.3,
        "C": "inf",
        "class_weight": "balanced",
        "n_iterations": 12,
        "converged": False,
        "selection": {"unit": "layer", "indices": [4]},
    }
    probe = probe_from_json(value)
    assert (probe.kind, probe.C, probe.convention, probe.n_left_out) == ("logistic", math.inf, "paper", 0)
    assert probe.to_json() == {"kind": "logistic", "convention": "paper", "n_left_out": 0} | {
        name: content for name, content in value.items() if name != "selection"
    }
    expected = expit((np.array([[3.0, 5.0]]) - [1, 2]) / [0.5, 4] @ [0.1, -0.2] + 0.3)
    np.testing.assert_allclose(probe.score(np.array([[3.0, 5.0]])), expected, rtol=1e-15)


@every_kind
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), k=st.integers(1, 20), cuts=st.lists(st.integers(0, 40)))
@laws
def test_a_score_depends_on_its_row_alone_to_the_last_bit(settings, seed, n, k, cuts):
    features, labels = samples(n=12, k=k, seed=seed)
    probe = fit_probe(features, labels, **settings)
    rows = np.random.default_rng(seed).normal(size=(n, k))
    whole = probe.score(rows)
    assert ((whole >= 0) & (whole <= 1)).all()
    assert np.concatenate([probe.score(part) for part in np.split(rows, sorted(cuts))]).tobytes() == whole.tobytes()
    assert probe.score(np.asfortranarray(rows)[::-1])[::-1].tobytes() == whole.tobytes()


@every_kind
def test_a_score_is_the_same_across_the_inner_blocks(settings):
    features, labels = samples(n=5000, k=9)
    probe = fit_probe(features[:200], labels[:200], **settings)
    parts = [probe.score(part) for part in np.array_split(features, [1, 8, 2047, 2050, 4999])]
    assert np.concatenate(parts).tobytes() == probe.score(features).tobytes()


@cache
def fitted_on_samples(**settings):
    return fit_probe(*samples(), **settings)


@every_kind
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_finite_is_unknown_and_the_others_are_not(settings, bad):
    features, labels = samples()
    probe = fitted_on_samples(**settings)
    broken = features.copy()
    broken[3, 1] = bad
    got = probe.score(broken)
    assert np.isnan(got[3])
    assert np.delete(got, 3).tobytes() == np.delete(probe.score(features), 3).tobytes()
    assert probe.score(np.empty((0, 5))).shape == (0,)
    with pytest.raises(VadprobeError, match="1 of 60 samples have features that are not finite, first sample 3"):
        fit_probe(broken, labels, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_shifting_and_scaling_features_by_powers_of_two_changes_no_score(kind):
    features, labels = samples()
    plain = fit_probe(features, labels, kind=kind).score(features)
    moved = fit_probe(features * 8, labels, kind=kind).score(features * 8)
    np.testing.assert_allclose(moved, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["logistic", "linear-svm", "distance"])
def test_a_constant_feature_has_no_say(kind):
    features, labels = samples()
    with_constant = np.insert(features, 2, 1234.5, axis=1)
    probe = fit_probe(with_constant, labels, kind=kind)
    assert (probe.mean[2], probe.scale[2]) == (1234.5, 1.0)
    plain = fit_probe(features, labels, kind=kind).score(features)
    np.testing.assert_allclose(probe.score(with_constant), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_classes_mirrors_the_scores(kind):
    features, labels = samples(n=80)
    scores, mirrored = (fit_probe(features, given, kind=kind).score(features) for given in (labels, 1 - labels))
    # The perceptron's first weights are not symmetric, so only its order is.
    if kind == "mlp":
        assert np.corrcoef(scores, mirrored)[0, 1] < -0.9
    else:
        np.testing.assert_allclose(mirrored, 1 - scores, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "linear-svm", "penalty": Penalty(1e4, max_iter=1)}, "linear SVM did not converge in 1 iterations"),
        (
            {"convention": "headhunt-code", "penalty": Penalty(max_iter=1)},
            "did not converge in 1 iterations of liblinear",
        ),
    ],
)
def test_a_fit_that_does_not_converge_is_refused_in_a_sentence(settings, words):
    features, labels = samples()
    with pytest.raises(VadprobeError, match=words):
        fit_probe(features, labels, **settings)


def test_a_perceptron_says_whether_it_converged():
    features, labels = samples(n=20)
    assert fit_mlp(features, labels, Penalty(max_iter=3), hidden=2).converged is False
    assert fit_mlp(features, labels, Penalty(0.01), hidden=2).converged is True


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "mlp", "convention": "headhunt-code"}, "is that code's logistic regression, and .* 'mlp'"),
        ({"c": math.inf, "convention": "headhunt-code"}, "liblinear, which always has a penalty; C must be finite"),
        ({"kind": "linear-svm", "c": math.inf}, "defined by its penalty, so C must be finite"),
        ({"kind": "logistic", "hidden": 8}, "hidden is 8, and a probe of kind 'logistic' has no hidden units"),
        ({"kind": "distance", "c": 2.0}, "fits no boundary, so C and class_weight change nothing"),
        ({"kind": "distance", "class_weight": "balanced"}, "fits no boundary"),
        ({"kind": "forest"}, "logistic"),
        ({"hidden": 0}, "hidden"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_job_refuses_contradictions_at_birth(settings, words):
    with pytest.raises(ValidationError, match=words):
        ProbeConfig(**settings)


def test_a_job_may_spell_out_every_default():
    for kind in KINDS:
        config = ProbeConfig(kind=kind)
        assert ProbeConfig(**config.model_dump()) == config


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("distance", {"anomalous": [1.0]}, r"mean \(2,\), scale \(2,\), normal \(2,\), anomalous \(1,\)"),
        ("distance", {"normal": [1.0, math.inf]}, "not all finite"),
        ("logistic", {"coef": [1.0]}, "shapes"),
        ("logistic", {"mean": [1.0, math.nan]}, "not all finite"),
        ("logistic", {"intercept": math.inf}, "not all finite"),
        ("mlp", {"hidden_weights": [[1.0, 2.0, 3.0]]}, r"hidden_weights \(1, 3\)"),
        ("mlp", {"output_weights": [1.0, 1.0]}, "do not fit together"),
        ("mlp", {"output_bias": math.nan}, "output bias is nan"),
        ("mlp", {"scale": [1.0, -1.0]}, "a scale is not above 0"),
        ("mlp", {"kind": "forest"}, "the probe's kind must be one of logistic, .* got 'forest'"),
        ("mlp", {"momentum": 1.0}, "and needs .* got .*momentum"),
    ],
)
def test_an_edited_probe_is_refused(kind, change, words):
    probes = {
        "logistic": LogisticProbe(np.zeros(2), np.ones(2), np.ones(2), 0.0),
        "distance": DistanceProbe(np.zeros(2), np.ones(2), np.zeros(2), np.ones(2)),
        "mlp": MlpProbe(np.zeros(2), np.ones(2), np.ones((1, 2)), np.zeros(1), np.ones(1), 0.0),
    }
    with pytest.raises(VadprobeError, match=words):
        probe_from_json(probes[kind].to_json() | change)


def test_a_probe_that_lacks_a_number_is_refused():
    value = DistanceProbe(np.zeros(2), np.ones(2), np.zeros(2), np.ones(2)).to_json()
    del value["normal"]
    with pytest.raises(VadprobeError, match="and needs anomalous, mean, normal, scale; got anomalous, mean, scale"):
        probe_from_json(value)
