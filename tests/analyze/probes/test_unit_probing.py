"""Probing of many units against scikit-learn one unit and fold at a time, and the laws of cross-validation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support import profiles
from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.probes import unit_probing, unit_solvers
from vadprobe.analyze.probes.unit_probing import cross_fitted_auc, probe_units
from vadprobe.store.errors import VadprobeError

PROBES = ("ridge", "logistic")
laws = profiles.laws(25)


def samples(seed=0, units=(2, 3), n=20, d=5, n_folds=4):
    """Units of any scale, separated more or less; (features, labels, folds)."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 2)
    shift = generator.normal(size=(*units, 1, d)) * generator.uniform(0, 2, (*units, 1, 1))
    features = generator.normal(size=(*units, n, d)) + labels[:, None] * shift
    features = features * 10.0 ** generator.integers(-3, 4, (*units, 1, d)) + generator.normal(size=(*units, 1, d))
    return features, labels, video_folds(labels, np.arange(n), n_folds, seed % 1000)


def one_at_a_time(features, labels, folds, probe):
    """scikit-learn, per unit and fold: (scores, auc)."""
    scores = np.empty(features.shape[:-1])
    for index in np.ndindex(features.shape[:-2]):
        for fold in np.unique(folds):
            rest = folds != fold
            if probe == "ridge":
                model = make_pipeline(StandardScaler(), Ridge())
                scores[(*index, ~rest)] = model.fit(features[index][rest], 2 * labels[rest] - 1).predict(
                    features[index][~rest]
                )
            else:
                solver = LogisticRegression(solver="newton-cholesky", tol=1e-11, max_iter=1000)
                model = make_pipeline(StandardScaler(), solver).fit(features[index][rest], labels[rest])
                scores[(*index, ~rest)] = model.decision_function(features[index][~rest])
    within = np.empty(features.shape[:-2])
    for index in np.ndindex(within.shape):
        concordant, pairs = 0.0, 0
        for fold in np.unique(folds):
            mine = folds == fold
            count = labels[mine].sum() * (1 - labels[mine]).sum()
            concordant += count * roc_auc_score(labels[mine], scores[index][mine])
            pairs += count
        within[index] = concordant / pairs
    return scores, within


@pytest.mark.parametrize(
    ("probe", "shape"), profiles.thinned(PROBES, [(16, 128), (20, 15), (20, 16), (40, 3), (9, 1), (250, 4)])
)
def test_equal_to_scikit_learn_unit_by_unit(probe, shape):
    n, d = shape
    features, labels, folds = samples(seed=n + d, n=n, d=d)
    got = probe_units(features, labels, folds, probe=probe)
    scores, auc = one_at_a_time(features, labels, folds, probe)
    np.testing.assert_allclose(got.scores, scores, rtol=1e-6 if probe == "logistic" else 1e-9, atol=1e-7)
    np.testing.assert_allclose(got.auc, auc, rtol=0, atol=1e-12)
    assert (got.auc.shape, got.scores.shape) == ((2, 3), (2, 3, n))


@pytest.mark.parametrize(("n", "d"), [(20, 1), (60, 4), (60, 30)])
def test_both_ways_to_the_logistic_minimum_agree(monkeypatch, n, d):
    features, labels, folds = samples(n=n, d=d)
    dual = probe_units(features, labels, folds, probe="logistic").scores
    monkeypatch.setattr(unit_solvers, "_DUAL_SAMPLES", 0)
    monkeypatch.setattr(unit_solvers, "_newton_in_the_dual", None)
    np.testing.assert_allclose(
        probe_units(features, labels, folds, probe="logistic").scores, dual, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_separable_samples_of_any_size_reach_the_logistic_minimum(unit):
    """Stationarity in the weights themselves, from its definition."""
    generator = np.random.default_rng(0)
    anomalous = np.arange(24) % 2 == 1
    rows = generator.normal(size=(5, 24, 40)) + 3 * anomalous[:, None]
    rows = unit * (rows - rows.mean(axis=1, keepdims=True))
    weights, intercepts = unit_solvers.logistic(rows, anomalous)
    logits = (rows @ weights[:, :, None])[:, :, 0] + intercepts[:, None]
    residuals = 1 / (1 + np.exp(-logits)) - anomalous
    gradient = weights + (residuals[:, None] @ rows)[:, 0]
    assert np.abs(gradient).max() < 1e-8 * max(unit, 1)
    assert np.abs(residuals.sum(axis=1)).max() < 1e-8


@pytest.mark.parametrize("probe", PROBES)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(8, 30), d=st.integers(1, 40))
@laws
def test_cutting_the_leading_axes_changes_no_bit(probe, seed, n, d):
    features, labels, folds = samples(seed=seed, units=(2, 3), n=n, d=d, n_folds=3)
    whole = probe_units(features, labels, folds, probe=probe)
    for cut in (features[:1], features[1:, 2:], np.asfortranarray(features)[:, 1]):
        part = probe_units(cut, labels, folds, probe=probe)
        expected = {(1, 3): np.s_[:1], (1, 1): np.s_[1:, 2:], (2,): np.s_[:, 1]}[part.auc.shape]
        for name in ("auc", "scores"):
            assert getattr(part, name).tobytes() == getattr(whole, name)[expected].tobytes()


@pytest.mark.parametrize("probe", PROBES)
def test_the_inner_blocks_change_no_bit(monkeypatch, probe):
    features, labels, folds = samples(units=(7,), n=24, d=9)
    whole = probe_units(features, labels, folds, probe=probe)
    monkeypatch.setattr(unit_probing, "_BLOCK_BYTES", 1)
    assert probe_units(features, labels, folds, probe=probe).scores.tobytes() == whole.scores.tobytes()


@pytest.mark.parametrize("probe", PROBES)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(8, 30), d=st.integers(1, 20))
@laws
def test_row_order_fold_names_and_scaling_change_nothing(probe, seed, n, d):
    features, labels, folds = samples(seed=seed, n=n, d=d, n_folds=3)
    plain = probe_units(features, labels, folds, probe=probe).scores
    generator = np.random.default_rng(seed)
    order = generator.permutation(n)
    shuffled = probe_units(features[..., order, :], labels[order], 7 - folds[order], probe=probe).scores
    np.testing.assert_allclose(shuffled, plain[..., order], rtol=1e-7, atol=1e-7)
    moved = features * 2.0 ** generator.integers(-400, 400, (2, 3, 1, d))
    assert probe_units(moved, labels, folds, probe=probe).scores.tobytes() == plain.tobytes()
    swapped = probe_units(features, 1 - labels, folds, probe=probe).scores
    np.testing.assert_allclose(swapped, -plain, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("probe", PROBES)
def test_a_samples_own_label_and_features_never_reach_its_fit(probe):
    features, labels, folds = samples(n=16, d=30)
    before = probe_units(features, labels, folds, probe=probe)
    mine = folds == 2
    flipped = labels.copy()
    flipped[mine] = 1 - labels[mine]
    assert probe_units(features, flipped, folds, probe=probe).scores[..., mine].tobytes() == (
        before.scores[..., mine].tobytes()
    )
    broken = features.copy()
    broken[..., np.flatnonzero(mine)[0], :] += 1.0
    others = mine.copy()
    others[np.flatnonzero(mine)[0]] = False
    after = probe_units(broken, labels, folds, probe=probe).scores[..., others]
    np.testing.assert_allclose(after, before.scores[..., others], rtol=1e-12)


@pytest.mark.parametrize("probe", PROBES)
def test_chance_is_exactly_a_half(probe):
    """Over all ways to give the labels out within the folds, the mean AUC of any unit is 1/2."""
    features = np.random.default_rng(0).normal(size=(4, 8, 6))
    folds = np.repeat([0, 1], 4)
    halves = [np.array(chosen) for chosen in set(itertools.permutations([0, 0, 1, 1]))]
    found = [
        probe_units(features, np.concatenate(pair), folds, probe=probe).auc
        for pair in itertools.product(halves, halves)
    ]
    assert len(found) == 36
    np.testing.assert_allclose(np.mean(found, axis=0), 0.5, rtol=0, atol=1e-12)


def test_pooling_the_folds_would_not_be_chance():
    """Why pairs are counted within folds: fits of different folds differ in level, against the left-out labels."""
    generator = np.random.default_rng(0)
    labels = np.array([1] * 7 + [0] * 9)
    folds = video_folds(labels, np.arange(16), 6, 0)
    probed = probe_units(generator.normal(size=(1500, 16, 1)), labels, folds)
    pooled = (probed.scores[:, labels == 1, None] > probed.scores[:, None, labels == 0]).mean(axis=(1, 2))
    assert abs(probed.auc.mean() - 0.5) < 3 * probed.auc.std() / math.sqrt(1500)
    assert pooled.mean() < 0.45


def test_clips_of_one_video_on_both_sides_would_look_like_signal():
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 4)
    labels = groups % 2
    features = generator.normal(size=(200, 20, 16))[:, groups] + 0.1 * generator.normal(size=(200, 80, 16))
    by_clip = probe_units(features, labels, video_folds(labels, np.arange(80), 5, 0)).auc
    by_video = cross_fitted_auc(features, labels, groups, 5, 0)
    assert abs(by_video.mean() - 0.5) < 0.05
    assert by_clip.mean() > 0.8


@pytest.mark.parametrize("probe", PROBES)
def test_a_planted_unit_is_found(probe):
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = generator.normal(size=(50, 40, 32))
    features[17] += 1.5 * labels[:, None] * generator.normal(size=32)
    folds = video_folds(labels, np.arange(40), 5, 0)
    auc = probe_units(features, labels, folds, probe=probe).auc
    assert auc.argmax() == 17
    assert auc[17] > 0.95


@pytest.mark.parametrize("probe", PROBES)
def test_equal_samples_are_a_half_and_constant_features_have_no_say(probe):
    features, labels, folds = samples(n=16, d=3)
    features[0, 0] = 1e6 / 3
    features[0, 1, :, 1] = 1 / 3
    got = probe_units(features, labels, folds, probe=probe)
    assert got.auc[0, 0] == 0.5
    without = probe_units(np.delete(features[0, 1], 1, axis=1), labels, folds, probe=probe)
    np.testing.assert_allclose(got.scores[0, 1], without.scores, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("probe", PROBES)
def test_equal_samples_of_both_classes_tie_to_the_last_bit(probe):
    features, labels, folds = samples(n=16, d=40)
    twins = np.repeat(features, 2, axis=-2)
    folds, labels = np.repeat(folds, 2), np.arange(32) % 2
    got = probe_units(twins, labels, folds, probe=probe)
    assert got.scores[..., ::2].tobytes() == got.scores[..., 1::2].tobytes()
    assert (got.auc == 0.5).all()


def test_low_precision_is_computed_in_float64():
    features, labels, folds = samples()
    narrow = features.astype(np.float32)
    got = probe_units(narrow, labels.astype(bool), folds)
    assert got.scores.dtype == np.float64
    assert got.scores.tobytes() == probe_units(narrow.astype(np.float64), labels, folds).scores.tobytes()


def test_the_short_form_is_ridge_on_folds_of_videos():
    features, labels, _ = samples(n=24)
    groups = np.repeat(np.arange(12), 2)
    labels = groups % 2
    expected = probe_units(features, labels, video_folds(labels, groups, 3, 5)).auc
    assert cross_fitted_auc(features, labels, groups, 3, 5).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": np.zeros((2, 6))}, r"labels must have the shape \(2,\), .* got \(6,\)"),
        ({"features": np.zeros(6)}, r"features must have .* got \(6,\)"),
        ({"features": np.full((2, 6, 3), math.nan)}, "not finite at 2 of 2"),
        ({"labels": np.array([0, 0, 0, 0, 0, 1])}, "there are 1 anomalous samples"),
    ],
)
def test_what_cannot_be_probed_is_refused(change, words):
    features = np.random.default_rng(0).normal(size=(2, 6, 3))
    case = {"features": features, "labels": np.array([0, 1, 0, 1, 0, 1]), "folds": np.array([0, 0, 1, 1, 2, 2])}
    assert probe_units(**case).auc.shape == (2,)
    with pytest.raises(VadprobeError, match=words):
        probe_units(**(case | change))


def test_a_logistic_fit_that_does_not_converge_is_an_error(monkeypatch):
    features, labels, folds = samples()
    monkeypatch.setattr(unit_solvers, "_MAX_ITERATIONS", 1)
    with pytest.raises(VadprobeError, match="of 6 logistic fits did not converge in 1 Newton steps"):
        probe_units(features, labels, folds, probe="logistic")
