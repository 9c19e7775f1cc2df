"""Probes, cross-fitting, the locator's grid and the bootstrap against their slow oracles."""

import numpy as np
import pytest
import reference_scorers as oracle

from vadprobe.analyze.bootstrap import bootstrap_videos
from vadprobe.analyze.folds import video_folds
from vadprobe.analyze.locator import frame_f1_grid
from vadprobe.analyze.probe import fit_logistic, fit_probe, probe_from_json


def grid_case(seed):
    """Clips of some videos with tied scores, a grid that hits scores exactly and repeats values, in any order."""
    generator = np.random.default_rng([seed, 77])
    lengths = generator.integers(1, 7, size=generator.integers(2, 6))
    groups = np.repeat(generator.permutation(len(lengths)), lengths)
    n = len(groups)
    scores = generator.integers(0, 5, n) / 4 if generator.random() < 0.6 else generator.random(n)
    positives, negatives = generator.integers(0, 3, (2, n)) * (generator.random((2, n)) < 0.7)
    positives[generator.integers(n)] += 1
    negatives[generator.integers(n)] += 1
    sigmas = generator.choice([0.0, 0.3, 1.0, 1.5, 2.5], size=generator.integers(1, 4)).tolist()
    thresholds = generator.choice(np.linspace(-0.25, 1, 6), size=generator.integers(1, 6)).tolist()
    return scores, positives, negatives, groups, sigmas, thresholds


def test_the_best_cell_of_a_thousand_grids_by_exact_counts():
    n_tied = 0
    for seed in range(1000):
        case = grid_case(seed)
        cells, best = oracle.best_cell(*case)
        grid = frame_f1_grid(*case)
        assert (grid.locator.sigma, grid.locator.threshold) == best, seed
        expected = [[float(cells[sigma, threshold]) for threshold in case[5]] for sigma in case[4]]
        np.testing.assert_allclose(grid.f1, expected, rtol=1e-15, atol=0)
        n_tied += sum(value == cells[best] for value in cells.values()) > 1
    assert n_tied > 300


@pytest.mark.parametrize("seed", range(4))
def test_the_bootstrap_is_scikit_learns_with_weights(seed):
    generator = np.random.default_rng(seed)
    n, n_videos = 120, 15
    groups = generator.integers(n_videos, size=n) * 3
    positives = generator.integers(0, 40, n) * (groups % 2)
    negatives = generator.integers(0, 40, n)
    scores = np.round(generator.normal(size=n) + 0.02 * positives, 1)
    sample = scores, positives, negatives, groups
    found = bootstrap_videos(*sample, n_resamples=30, generator=np.random.default_rng(seed))
    expected = oracle.bootstrapped(*sample, n_resamples=30, seed=seed)
    np.testing.assert_allclose(found.values["auc"], expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.values["ap_step"], expected[:, 1], rtol=1e-12)


def rows_of(seed, n=60, k=6, constant=True):
    """Overlapping classes, dimensions of unlike scales and offsets, one of them constant; videos of up to 4 rows."""
    generator = np.random.default_rng([seed, n, k])
    groups = np.repeat(np.arange(n), generator.integers(1, 5, n))[:n]
    groups = np.unique(groups, return_inverse=True)[1]
    labels = (generator.permutation(groups.max() + 1) % 3 == 0).astype(int)[groups]
    features = generator.normal(size=(n, k)) + labels[:, None] * generator.normal(size=k)
    features = features * 10.0 ** generator.integers(-2, 3, k) + generator.integers(-50, 50, k)
    if constant:
        features[:, k // 2] = 3.7
    return features, labels, groups


@pytest.mark.parametrize(("seed", "n", "k"), [(0, 60, 6), (1, 20, 40), (2, 300, 3)])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_logistic_probe_is_scikit_learns(seed, n, k, class_weight):
    features, labels, _ = rows_of(seed, n, k)
    probe = fit_logistic(features, labels, class_weight=class_weight)
    model = oracle.logistic(features, labels, class_weight=class_weight)
    np.testing.assert_allclose(probe.score(features), model.predict_proba(features)[:, 1], rtol=1e-8)


shapes = pytest.mark.parametrize(("seed", "n", "k"), [(0, 60, 6), (1, 20, 40), (2, 300, 3)])


@shapes
def test_the_logistic_probe_of_the_code_is_liblinears(seed, n, k):
    features, labels, _ = rows_of(seed, n, k)
    features /= 50
    probe = fit_probe(features, labels, convention="headhunt-code", max_iter=2000)
    expected = oracle.code_logistic(features, labels).predict_proba(features)[:, 1]
    np.testing.assert_allclose(probe.score(features), expected, rtol=1e-8)


@shapes
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_linear_svm_is_scikit_learns(seed, n, k, class_weight):
    features, labels, _ = rows_of(seed, n, k)
    probe = fit_probe(features, labels, kind="linear-svm", class_weight=class_weight)
    margins = oracle.linear_svm(features, labels, class_weight=class_weight).decision_function(features)
    np.testing.assert_allclose(probe.score(features), 1 / (1 + np.exp(-margins)), rtol=1e-8)


def test_the_linear_svm_is_a_minimum_in_every_direction():
    features, labels, _ = rows_of(3, 60, 6)
    found = fit_probe(features, labels, kind="linear-svm").to_json()
    least = oracle.svm_objective(features, labels, np.array(found["coef"]), found["intercept"])
    generator = np.random.default_rng(0)
    for step in (1e-1, 1e-2):
        moves = generator.normal(size=(20, 7)) * step
        moves[:, 3] *= features.std(axis=0)[3] > 0  # a constant feature takes no part
        for move in moves:
            moved = oracle.svm_objective(
                features, labels, np.array(found["coef"]) + move[:6], found["intercept"] + move[6]
            )
            assert moved > least


@shapes
def test_a_perceptron_scores_what_its_stored_numbers_say(seed, n, k):
    features, labels, _ = rows_of(seed, n, k)
    probe = fit_probe(features, labels, kind="mlp", hidden=5, seed=3)
    value = probe.to_json()
    weights = np.array(value["hidden_weights"]).T, np.array(value["output_weights"])[:, None]
    biases = value["hidden_biases"], [value["output_bias"]]
    expected = oracle.perceptron(features, value["mean"], value["scale"], weights, biases)
    np.testing.assert_allclose(probe.score(features), expected, rtol=1e-8)
    np.testing.assert_allclose(probe_from_json(value).score(features), probe.score(features), rtol=0, atol=0)
    np.testing.assert_allclose(value["mean"], features.mean(axis=0), rtol=1e-12)
    assert np.array(value["scale"])[k // 2] == 1


@shapes
def test_the_distance_probe_by_its_definition(seed, n, k):
    features, labels, _ = rows_of(seed, n, k)
    others, _, _ = rows_of(seed + 50, n, k)
    probe = fit_probe(features, labels, kind="distance")
    for rows in (features, others):
        expected = oracle.distance_scores(rows, features, labels)
        np.testing.assert_allclose(probe.score(rows), expected, rtol=1e-8)


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_folds_keep_videos_whole_and_classes_spread(n_folds):
    _, labels, groups = rows_of(4, 120, 3)
    folds = video_folds(labels, groups, n_folds, seed=9)
    videos = {group: set(folds[groups == group].tolist()) for group in set(groups.tolist())}
    assert all(len(found) == 1 for found in videos.values())
    of_class = [
        [sum(min(videos[v]) == f and labels[groups == v].max() == c for v in videos) for f in range(n_folds)]
        for c in (0, 1)
    ]
    assert all(max(counts) - min(counts) <= 1 and min(counts) >= 1 for counts in of_class)
    order = np.random.default_rng(1).permutation(len(labels))
    assert video_folds(labels[order], groups[order], n_folds, seed=9).tolist() == folds[order].tolist()
    assert video_folds(labels, groups, n_folds, seed=10).tolist() != folds.tolist()
