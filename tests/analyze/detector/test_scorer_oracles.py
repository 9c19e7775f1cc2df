"""Probes, cross-fitting, the locator's grid and the bootstrap against their slow oracles."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.preprocessing import StandardScaler

from tests.support.oracles import reference_scorers as oracle
from tests.support.samples.array_blocks import ArrayBlocks
from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.evaluation.bootstrap.bootstrap import bootstrap_videos
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator.cross_fitted import cross_fitted_grid
from vadprobe.analyze.locator.grid import frame_f1_grid
from vadprobe.analyze.probes import logistic_fitting
from vadprobe.analyze.probes.fitting import fit_probe
from vadprobe.analyze.probes.kinds import probe_from_json
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.settings import Penalty
from vadprobe.analyze.probes.streaming import logistic as streamed
from vadprobe.analyze.probes.streaming.logistic import fit_streamed_logistic
from vadprobe.analyze.probes.unit_probing import cross_fitted_auc, probe_units


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
        grid = frame_f1_grid(ScoredClips(*case[:4]), *case[4:])
        assert (grid.locator.sigma, grid.locator.threshold) == best, seed
        expected = [[float(cells[sigma, threshold]) for threshold in case[5]] for sigma in case[4]]
        np.testing.assert_allclose(grid.f1, expected, rtol=1e-15, atol=0)
        n_tied += sum(value == cells[best] for value in cells.values()) > 1
    assert n_tied > 300


def even_grid_case(seed):
    """Many evenly spaced thresholds, on which scores lie exactly or one number of float64 beside them."""
    generator = np.random.default_rng([seed, 78])
    _, positives, negatives, groups, _, _ = grid_case(seed)
    n = len(groups)
    thresholds = [np.arange(1, 100) / 100, np.linspace(-3, 5, 33), 1e6 + np.arange(40) / 7, np.arange(5) * 1e-12][
        seed % 4
    ]
    scores = generator.choice(thresholds, size=n)
    beside = np.nextafter(scores, scores + generator.choice([-1, 0, 1], size=n))
    far = generator.random(n) < 0.1
    beside[far] += generator.choice([-1e9, 1e9], size=int(far.sum()))
    return beside, positives, negatives, groups, [0.0, 1.0], generator.permutation(thresholds).tolist()


def test_scores_on_and_beside_many_even_thresholds():
    for seed in range(80):
        case = even_grid_case(seed)
        cells, best = oracle.best_cell(*case)
        grid = frame_f1_grid(ScoredClips(*case[:4]), *case[4:])
        assert (grid.locator.sigma, grid.locator.threshold) == best, seed
        expected = [[float(cells[sigma, threshold]) for threshold in case[5]] for sigma in case[4]]
        np.testing.assert_allclose(grid.f1, expected, rtol=1e-15, atol=0)


def folds_of(groups, positives, negatives, n_folds):
    """Folds of whole videos by their code, or None where the others of a fold have frames of one class."""
    folds = np.asarray(groups) % n_folds * 3 - 1
    codes = set(folds.tolist())
    known = all(positives[folds != fold].any() and negatives[folds != fold].any() for fold in codes)
    return folds if known and len(codes) > 1 else None


def test_cross_fitted_pairs_never_see_their_own_videos():
    n_cases = 0
    for seed in range(400):
        scores, positives, negatives, groups, sigmas, thresholds = grid_case(seed)
        folds = folds_of(groups, positives, negatives, 2 + seed % 3)
        if folds is None:
            continue
        n_cases += 1
        case = scores, positives, negatives, groups
        found = cross_fitted_grid(ScoredClips(*case), sigmas, thresholds, folds)
        locators, value = oracle.cross_fitted_locators(*case, folds, sigmas, thresholds)
        assert {fold: (one.sigma, one.threshold) for fold, one in found.locators.items()} == locators, seed
        assert found.f1 == pytest.approx(float(value), rel=1e-15, abs=0)
        for fold, (sigma, threshold) in locators.items():
            smoothed = oracle.smoothed(scores, groups, sigma)[folds == fold]
            assert (found.smoothed[folds == fold] > threshold).tolist() == (smoothed > threshold).tolist()
        fold = min(locators)
        flipped = [np.where(folds == fold, *pair) for pair in ((negatives, positives), (positives, negatives))]
        moved = np.where(folds == fold, 1 - scores, scores)
        if all(part[folds != other].any() for part in flipped for other in locators):
            again = cross_fitted_grid(ScoredClips(moved, *flipped, groups), sigmas, thresholds, folds)
            assert again.locators[fold] == found.locators[fold]
    assert n_cases > 200


def test_unknown_clips_are_in_no_cell_of_any_grid():
    for seed in range(100):
        scores, positives, negatives, groups, sigmas, thresholds = grid_case(seed)
        generator = np.random.default_rng(seed)
        scores = generator.random(len(scores))
        unknown = generator.random(len(scores)) < 0.25
        counts = np.where(unknown, 0, positives), np.where(unknown, 0, negatives)
        folds = folds_of(groups, *counts, 2)
        if folds is None:
            continue
        case = np.where(unknown, np.nan, scores), positives, negatives, groups
        cells, best = oracle.best_cell(case[0], *counts, groups, sigmas, thresholds)
        grid = frame_f1_grid(ScoredClips(*case), sigmas, thresholds)
        assert (grid.locator.sigma, grid.locator.threshold) == best, seed
        assert grid.f1[0, 0] == pytest.approx(float(cells[sigmas[0], thresholds[0]]), rel=1e-15, abs=0)
        locators, value = oracle.cross_fitted_locators(case[0], *counts, groups, folds, sigmas, thresholds)
        found = cross_fitted_grid(ScoredClips(*case), sigmas, thresholds, folds)
        assert {fold: (one.sigma, one.threshold) for fold, one in found.locators.items()} == locators, seed
        assert found.f1 == pytest.approx(float(value), rel=1e-15, abs=0)
        assert found.n_unknown == grid.n_unknown == unknown.sum()
        assert np.isnan(found.smoothed).tolist() == unknown.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_bootstrap_is_scikit_learns_with_weights(seed):
    generator = np.random.default_rng(seed)
    n, n_videos = 120, 15
    groups = generator.integers(n_videos, size=n) * 3
    positives = generator.integers(0, 40, n) * (groups % 2)
    negatives = generator.integers(0, 40, n)
    scores = np.round(generator.normal(size=n) + 0.02 * positives, 1)
    sample = scores, positives, negatives, groups
    found = bootstrap_videos(ScoredClips(*sample), n_resamples=30, generator=np.random.default_rng(seed))
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
    probe = fit_logistic(features, labels, Penalty(class_weight=class_weight))
    model = oracle.logistic(features, labels, class_weight=class_weight)
    np.testing.assert_allclose(probe.score(features), model.predict_proba(features)[:, 1], rtol=1e-8)


shapes = pytest.mark.parametrize(("seed", "n", "k"), [(0, 60, 6), (1, 20, 40), (2, 300, 3)])


@shapes
def test_the_logistic_probe_of_the_code_is_liblinears(seed, n, k):
    features, labels, _ = rows_of(seed, n, k)
    features /= 50
    probe = fit_probe(features, labels, convention="headhunt-code", penalty=Penalty(max_iter=2000))
    expected = oracle.code_logistic(features, labels).predict_proba(features)[:, 1]
    np.testing.assert_allclose(probe.score(features), expected, rtol=1e-8)


@shapes
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_linear_svm_is_scikit_learns(seed, n, k, class_weight):
    features, labels, _ = rows_of(seed, n, k)
    probe = fit_probe(features, labels, kind="linear-svm", penalty=Penalty(class_weight=class_weight))
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


def units_of(kind, n, d, seed=0):
    """(units (2, 3, n, d), labels, groups): videos of up to 4 rows; the signal differs from unit to unit."""
    generator = np.random.default_rng([seed, n, d])
    _, labels, groups = rows_of(seed, n, 2)
    features = generator.normal(size=(2, 3, n, d)) @ generator.normal(size=(2, 3, d, d))
    features += generator.uniform(0, 1.5, (2, 3, 1, 1)) * labels[:, None] + generator.normal(size=(2, 3, 1, d))
    if kind == "constant dimensions":
        features[..., :: max(2, d // 3)] = 0.1
    if kind == "duplicates":
        features[...] = features[..., generator.integers(n // 2, size=n), :]
    scales = {"huge": 1e150, "tiny": 1e-150, "mixed scales": 10.0 ** generator.integers(-6, 7, d)}
    return features * scales.get(kind, 1.0), labels, groups


unit_cases = pytest.mark.parametrize(
    "kind", ["plain", "constant dimensions", "duplicates", "huge", "tiny", "mixed scales"]
)


@unit_cases
@pytest.mark.parametrize(("n", "d"), [(40, 3), (30, 60), (60, 30)])
def test_cross_fitted_auc_counts_pairs_of_what_the_other_folds_fitted(kind, n, d):
    features, labels, groups = units_of(kind, n, d)
    if kind in ("huge", "tiny"):
        plain, _, _ = units_of("plain", n, d)  # scikit-learn's scaler overflows: standardised features are the same
    else:
        plain = features
    folds = video_folds(labels, groups, 3, seed=5)
    expected = [[oracle.cross_fitted_auc(unit, labels, folds) for unit in row] for row in plain]
    np.testing.assert_allclose(cross_fitted_auc(features, labels, groups, 3, 5), expected, rtol=1e-8)
    probing = probe_units(features, labels, folds)
    np.testing.assert_allclose(probing.auc, expected, rtol=1e-8)
    for head in np.ndindex(2, 3):
        for fold in range(3):
            out = folds == fold
            scores = oracle.ridge_scores(plain[head][~out], labels[~out], plain[head][out])
            np.testing.assert_allclose(probing.scores[head][out], scores, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("n", "d"), [(40, 3), (30, 60)])
def test_cross_validated_logistic_scores_are_those_of_the_minimum(n, d):
    features, labels, groups = units_of("mixed scales", n, d)
    folds = video_folds(labels, groups, 3, seed=5)
    probing = probe_units(features, labels, folds, probe="logistic")
    for head in np.ndindex(2, 3):
        for fold in range(3):
            out = folds == fold
            coef, intercept = oracle.logistic_minimum(features[head][~out], labels[~out])
            scaler = StandardScaler().fit(features[head][~out])
            margins = scaler.transform(features[head][out]) @ coef + intercept
            np.testing.assert_allclose(probing.scores[head][out], margins, rtol=0, atol=1e-8 * np.abs(margins).max())
        wins = [oracle.concordant_pairs(probing.scores[head][folds == f], labels[folds == f]) for f in range(3)]
        assert probing.auc[head] == pytest.approx(sum(w for w, _ in wins) / sum(p for _, p in wins), rel=1e-12)


def test_equal_samples_of_both_classes_are_ties():
    """Each held-out pair is one point seen twice, once per class: half of its pairs are won, whatever is fitted."""
    generator = np.random.default_rng(3)
    points = generator.normal(size=(4, 12, 5))
    features, labels = np.repeat(points, 2, axis=1), np.tile([0, 1], 12)
    groups = np.arange(24)
    folds = np.repeat(np.arange(12), 2)
    assert probe_units(features, labels, folds).auc.tolist() == [0.5] * 4
    assert [oracle.cross_fitted_auc(unit, labels, folds) for unit in features] == [0.5] * 4
    for constant in (np.ones((2, 24, 5)), np.zeros((2, 24, 1))):
        assert cross_fitted_auc(constant, labels, groups, 4, 0).tolist() == [0.5] * 2


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_cutting_the_units_changes_no_bit_and_the_order_of_rows_nothing(probe):
    features, labels, groups = units_of("plain", 40, 20)
    folds = video_folds(labels, groups, 4, seed=1)
    whole = probe_units(features, labels, folds, probe=probe)
    for head in np.ndindex(2, 3):
        one = probe_units(features[head], labels, folds, probe=probe)
        assert one.scores.tobytes() == whole.scores[head].tobytes()
    order = np.random.default_rng(0).permutation(40)
    moved = probe_units(features[..., order, :], labels[order], folds[order], probe=probe)
    np.testing.assert_allclose(moved.scores, whole.scores[..., order], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(moved.auc, whole.auc, rtol=1e-12)


@pytest.mark.parametrize(("n", "k", "C"), [(1500, 6, 1.0), (900, 40, 0.1), (300, 60, 10.0)])
@pytest.mark.parametrize("sample_rows", [None, 0])
def test_a_streamed_fit_is_the_minimum_on_all_rows(monkeypatch, n, k, C, sample_rows):
    monkeypatch.setattr(streamed, "_TOLERANCE", 1e-10)
    features, labels, _ = rows_of(6, n, k)
    coef, intercept = oracle.logistic_minimum(features, labels, C=C)
    logits = StandardScaler().fit_transform(features) @ coef + intercept
    options = {"penalty": Penalty(C), "sample_rows": sample_rows}
    probe = fit_streamed_logistic(ArrayBlocks(features, labels, block_rows=256), **options)
    np.testing.assert_allclose(probe.score(features), expit(logits), rtol=0, atol=1e-8)
    np.testing.assert_allclose(probe.mean, features.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(probe.scale, StandardScaler().fit(features).scale_, rtol=1e-10)
    assert probe.coef[k // 2] == 0
    whole = fit_streamed_logistic(ArrayBlocks(features, labels, block_rows=256 * 8), **options)
    assert whole.to_json() == probe.to_json()


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_streamed_fit_by_default_is_scikit_learns_to_its_tolerance(monkeypatch, class_weight):
    monkeypatch.setattr(logistic_fitting, "_TOLERANCE", 1e-8)
    features, labels, _ = rows_of(7, 2000, 10)
    model = oracle.logistic(features, labels, tolerance=1e-8, class_weight=class_weight)
    broken = np.insert(features, [3, 700, 2000], np.nan, axis=0)
    blocks = ArrayBlocks(broken, np.insert(labels, [3, 700, 2000], [0, 1, 1]), block_rows=512)
    probe = fit_streamed_logistic(blocks, Penalty(class_weight=class_weight))
    expected = model.predict_proba(features)[:, 1]
    # By default the fit stops where the loss is flat, which moves a score by 1e-5 or so; see test_streamed_logistic.py.
    np.testing.assert_allclose(probe.score(features), expected, rtol=0, atol=2e-5)
    assert (probe.n_left_out, probe.converged) == (3, True)
    in_memory = fit_logistic(features, labels, Penalty(class_weight=class_weight))
    np.testing.assert_allclose(probe.score(features), in_memory.score(features), rtol=0, atol=2e-5)
