"""Probes, cross-fitting, the locator's grid and the bootstrap against their slow oracles."""

import numpy as np
import pytest
import reference_scorers as oracle

from vadprobe.analyze.bootstrap import bootstrap_videos
from vadprobe.analyze.locator import frame_f1_grid
from vadprobe.analyze.probe import fit_logistic


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
