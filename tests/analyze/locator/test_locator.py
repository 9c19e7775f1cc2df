"""Smoothing, the exact grid, thresholds and events, against scipy per video and loops over frames."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import f1_score

from tests.support.oracles.reference_evaluation import expand, grid_by_loops, runs_of_frames, smooth_by_weights
from tests.support.profiles import laws
from vadprobe.analyze.evaluation.metrics import f1, rank
from vadprobe.analyze.locator import grid as locator_grid
from vadprobe.analyze.locator.cross_fitted import cross_fitted_grid
from vadprobe.analyze.locator.grid import Thresholds, count_frames, first_best
from vadprobe.analyze.locator.locator import Locator, adaptive_threshold, events, frame_f1_grid, smooth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import to_frames

SIGMAS = st.sampled_from([0.0, 0.1, 0.4, 1.0, 1.5, 3.0, 7.3])
PROBABILITIES = st.floats(0, 1)
ragged = st.lists(st.lists(PROBABILITIES, min_size=1, max_size=9), min_size=1, max_size=6)


def joined(videos):
    """Scores and video codes of a list of videos; codes do not rise with position."""
    groups = np.concatenate([np.full(len(video), 97 - 5 * code) for code, video in enumerate(videos)])
    return np.concatenate(videos), groups


@laws(100)
@given(ragged, SIGMAS)
def test_bit_for_bit_scipys_filter_of_each_video_alone(videos, sigma):
    scores, groups = joined(videos)
    expected = [gaussian_filter1d(np.array(v), sigma, mode="reflect", truncate=4.0) if sigma else v for v in videos]
    assert smooth(scores, sigma, groups).tolist() == np.concatenate(expected).tolist()
    assert smooth(np.array(videos[0]), sigma).tolist() == list(expected[0])


@laws(100)
@given(
    st.lists(st.lists(PROBABILITIES | st.just(math.nan), min_size=1, max_size=9), min_size=1, max_size=5),
    st.sampled_from([0.4, 1.5, 4.0]),
)
def test_unknown_clips_stay_unknown_and_do_not_spread(videos, sigma):
    scores, groups = joined(videos)
    got = smooth(scores, sigma, groups)
    # Means of at most 33 numbers up to 1: some 33 roundings.
    wanted = np.concatenate([smooth_by_weights(v, sigma) for v in videos])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-13)
    assert np.isnan(got).tolist() == np.isnan(scores).tolist()


def test_an_unknown_clip_in_one_video_changes_no_bit_of_another():
    known = np.array([0.1, 0.9, 0.3, 0.7])
    failed = np.array([0.5, math.nan, 0.2])
    together = smooth(np.concatenate([failed, known]), 1.5, np.array([0, 0, 0, 1, 1, 1, 1]))
    assert together[3:].tolist() == smooth(known, 1.5).tolist()


def roundings(sigma):
    """Bound the error of a weighted mean of numbers up to 1: one rounding of each weight and of each sum."""
    return (2 * int(4 * sigma + 0.5) + 1) * np.finfo(float).eps


@laws(100)
@given(PROBABILITIES, st.integers(1, 12), SIGMAS)
def test_a_constant_video_stays_constant_to_its_edges(value, length, sigma):
    np.testing.assert_allclose(smooth(np.full(length, value), sigma), value, rtol=0, atol=roundings(sigma))


def test_smoothing_lengths_dtypes_and_input():
    scores = np.array([0.25, 0.75, 0.5], dtype=np.float32)
    assert smooth(scores, 0).tolist() == [0.25, 0.75, 0.5]
    assert smooth(scores, 0.0).dtype == smooth(scores, 1.5).dtype == np.float64
    assert smooth(np.array([0.3]), 1.5) == pytest.approx([0.3], abs=roundings(1.5))
    assert smooth(np.array([]), 1.5).shape == (0,)
    assert smooth(np.array([math.nan, math.nan]), 1.5).shape == (2,)
    smooth(scores, 0.0)[0] = 9
    assert scores[0] == 0.25, "the input is not written to"


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf])
def test_impossible_sigmas_are_refused(sigma):
    with pytest.raises(VadprobeError, match="sigma is"):
        smooth(np.array([0.1]), sigma)
    with pytest.raises(VadprobeError, match="sigma is"):
        Locator(sigma, 0.5)


def test_videos_must_be_contiguous():
    with pytest.raises(VadprobeError, match="video 4 are not contiguous"):
        smooth(np.zeros(3), 1.0, np.array([4, 2, 4]))
    with pytest.raises(VadprobeError, match="shape"):
        smooth(np.zeros(3), 1.0, np.array([4, 2]))


def random_case(generator):
    """Videos with tied scores, a short last clip, and thresholds that hit scores exactly."""
    lengths = generator.integers(1, 6, size=generator.integers(1, 4))
    groups = np.repeat(generator.permutation(len(lengths)), lengths)
    n = len(groups)
    scores = generator.choice([generator.integers(0, 5, n) / 4, generator.random(n)])
    positives = generator.integers(0, 4, n)
    positives[0] += 1
    negatives = generator.integers(0, 4, n)
    negatives[-1] += 1
    sigmas = [float(s) for s in generator.choice([0.0, 0.3, 0.4, 1.0, 1.5, 2.5], size=3)]
    thresholds = [float(t) for t in generator.choice(np.linspace(0, 1, 9), size=6)]
    return scores, positives, negatives, groups, sigmas, thresholds


def first_best_of_frames(scores, positives, negatives, groups, sigmas, thresholds):
    """The first cell of the best frame F1: scipy per video, single frames, fractions."""
    best, winner = Fraction(-1), None
    for sigma in sigmas:
        videos = [scores[groups == code] for code in dict.fromkeys(groups.tolist())]
        smoothed = [gaussian_filter1d(v, sigma, mode="reflect", truncate=4.0) if sigma else v for v in videos]
        truth, values = expand(np.concatenate(smoothed), positives, negatives)
        for threshold in thresholds:
            found = values > threshold
            hits = int(np.sum(found & (truth == 1)))
            value = Fraction(2 * hits, int(np.sum(found)) + int(np.sum(truth)))
            if value > best:
                best, winner = value, (sigma, threshold)
    return winner, best


@pytest.mark.parametrize("seed", range(10))
def test_the_grid_equals_looping_over_every_cell_on_frames(seed):
    """1,000 random cases, 18 cells each; duplicates, unsorted thresholds and scores equal to thresholds included."""
    generator = np.random.default_rng(seed)
    ties = 0
    for number in range(100):
        case = random_case(generator)
        grid = frame_f1_grid(*case)
        winner, best = first_best_of_frames(*case)
        assert (grid.locator.sigma, grid.locator.threshold) == winner
        assert grid.f1.max() == float(best)
        assert grid.n_unknown == 0
        ties += np.sum(grid.f1 == grid.f1.max()) > 1
        if number < 10:
            values, _ = grid_by_loops(*case)
            np.testing.assert_allclose(grid.f1, values, rtol=0, atol=1e-15)
    assert ties > 30, "the cases are without ties"


def test_every_cell_is_scikit_learns_f1_on_frames():
    generator = np.random.default_rng(11)
    for _ in range(10):
        scores, positives, negatives, groups, sigmas, thresholds = random_case(generator)
        grid = frame_f1_grid(scores, positives, negatives, groups, sigmas, thresholds)
        for sigma, row in zip(sigmas, grid.f1, strict=True):
            truth, values = expand(smooth(scores, sigma, groups), positives, negatives)
            wanted = [f1_score(truth, values > threshold, zero_division=0.0) for threshold in thresholds]
            np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-15)


def test_f1_values_that_round_alike_are_told_apart():
    """(a + x) / (S + x + y) is above a / S by 1 part in 2**62; float64 has 53 bits."""
    a, x = 2**30 + 1, 2**30 + 3
    y = (x + 1) // 2 + 2 * x
    beyond, rest = divmod(1 + a * y, x)
    assert rest == 0
    b = beyond - (a + x)  # so that the positives are a + x, all found by the second threshold
    case = np.array([0.9, 0.5, 0.1]), np.array([a, x, 0]), np.array([b, y, 1]), np.array([0, 1, 2])
    grid = frame_f1_grid(*case, [0.0], [0.7, 0.3])
    assert grid.f1[0, 0] == grid.f1[0, 1]
    assert Fraction(2 * (a + x), a + x + b + y + a + x) > Fraction(2 * a, a + b + a + x)
    assert grid.locator.threshold == 0.3


def test_the_first_of_equal_fractions_wins_and_the_largest_of_all():
    true_positives = np.array([[1, 2], [2, 3]])
    false_positives = np.array([[1, 4], [4, 6]])
    assert first_best(true_positives, false_positives, 4) == (1, 1)
    assert first_best(true_positives * 0, false_positives, 4) == (0, 0)
    assert first_best(np.array([[1, 2]]), np.array([[1, 4]]), 2) == (0, 0), "2 / 4 and 4 / 8"


@laws(100)
@given(
    st.lists(st.floats(-1e300, 1e300) | st.integers(-20, 120).map(lambda k: k / 100), min_size=1, max_size=30),
    st.sampled_from(
        [
            np.round(np.arange(1, 100) / 100, 2),
            np.linspace(0.01, 0.99, 99),
            np.linspace(1e9, 1e9 + 1e-5, 9),
            np.linspace(-3e-310, 4e-310, 8),
            np.linspace(-1e300, 1e300, 7),
            np.array([-1.7e308, 0.0, 1.7e308]),
            np.arange(5)[::-1] / 7,
            np.array([0.5]),
            np.array([0.3, 0.3]),
            np.array([0.1, 0.2, 0.9]),
        ]
    ),
)
def test_thresholds_below_a_score_are_exact_to_the_last_bit(scores, thresholds):
    near = [np.nextafter(thresholds, -np.inf), thresholds, np.nextafter(thresholds, np.inf), np.array(scores)]
    values = np.concatenate(near)
    wanted = [int(np.sum(thresholds < value)) for value in values]
    assert Thresholds(thresholds).below(values).tolist() == wanted


@pytest.mark.parametrize("block", [1, 5, 2**20])
def test_blocks_of_clips_change_no_count(monkeypatch, block):
    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), generator.integers(1, 60, 40))
    n = len(groups)
    scores = np.where(generator.random(n) < 0.1, math.nan, np.round(generator.random(n), 2))
    counts = generator.integers(0, 25, n), generator.integers(0, 25, n)
    grid = [0.0, 0.4, 2.5], np.round(np.arange(1, 100) / 100, 2).tolist()
    wanted = count_frames(scores, *counts, groups, *grid, groups % 3)
    monkeypatch.setattr(locator_grid, "_BLOCK", block)
    found = count_frames(scores, *counts, groups, *grid, groups % 3)
    assert found.true_positives.tolist() == wanted.true_positives.tolist()
    assert found.false_positives.tolist() == wanted.false_positives.tolist()
    assert found.positives.tolist() == [
        int(counts[0][(groups % 3 == fold) & ~np.isnan(scores)].sum()) for fold in range(3)
    ]


@laws(100)
@given(
    st.lists(st.lists(PROBABILITIES | st.just(math.nan), min_size=1, max_size=9), min_size=1, max_size=5),
    st.lists(SIGMAS, min_size=1, max_size=3),
    st.integers(0, 10**6),
)
def test_counts_with_unknown_clips_are_those_of_the_smoothed_known_ones(videos, sigmas, seed):
    scores, groups = joined(videos)
    generator = np.random.default_rng(seed)
    positives, negatives = generator.integers(0, 4, (2, len(scores)))
    thresholds = [0.5, *generator.random(3), 0.25]
    found = count_frames(scores, positives, negatives, groups, sigmas, thresholds)
    assert found.n_unknown == np.isnan(scores).sum()
    for row, sigma in enumerate(sigmas):
        for column, threshold in enumerate(thresholds):
            above = smooth(scores, sigma, groups) > threshold
            assert found.true_positives[0, row, column] == positives[above].sum()
            assert found.false_positives[0, row, column] == negatives[above].sum()


def test_every_cell_is_the_f1_of_the_metrics_module():
    scores, positives, negatives, groups, sigmas, thresholds = random_case(np.random.default_rng(5))
    grid = frame_f1_grid(scores, positives, negatives, groups, sigmas, thresholds)
    for sigma, row in zip(grid.sigmas, grid.f1, strict=True):
        ranking = rank(smooth(scores, sigma, groups), positives, negatives)
        assert row.tolist() == [f1(ranking, threshold) for threshold in grid.thresholds]


@laws(100)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_videos_changes_nothing(seed, random):
    scores, positives, negatives, groups, sigmas, thresholds = random_case(np.random.default_rng(seed))
    codes = list(np.unique(groups))
    random.shuffle(codes)
    order = np.concatenate([np.flatnonzero(groups == code) for code in codes])
    moved = frame_f1_grid(scores[order], positives[order], negatives[order], groups[order], sigmas, thresholds)
    grid = frame_f1_grid(scores, positives, negatives, groups, sigmas, thresholds)
    assert moved.f1.tolist() == grid.f1.tolist()
    assert moved.locator == grid.locator


def test_ties_take_the_first_sigma_then_the_first_threshold_as_given():
    case = (np.array([0.2, 0.8]), np.array([0, 5]), np.array([5, 0]), np.array([0, 1]))
    assert frame_f1_grid(*case, [1.5, 0.4], [0.7, 0.3, 0.5]).locator == Locator(1.5, 0.7)
    assert frame_f1_grid(*case, [0.4, 1.5], [0.9, 0.3, 0.5]).locator == Locator(0.4, 0.3)
    assert frame_f1_grid(*case, [0.4], [0.8, 0.2]).f1.tolist() == [[0.0, 1.0]], "strictly above"


def test_a_grid_that_finds_nothing_is_zero_and_constant_scores_are_above_or_not():
    constant = (np.full(3, 0.5), np.array([4, 0, 0]), np.array([0, 4, 2]), np.array([0, 0, 0]))
    grid = frame_f1_grid(*constant, [0.0], [0.5, 0.9])
    assert grid.f1.tolist() == [[0.0, 0.0]]
    assert grid.locator == Locator(0.0, 0.5)
    assert frame_f1_grid(*constant, [0.0], [0.4]).f1[0, 0] == 2 * 4 / (2 * 4 + 6)


def test_unknown_clips_are_left_out_and_counted():
    scores = np.array([0.9, math.nan, 0.1])
    grid = frame_f1_grid(scores, np.array([3, 50, 0]), np.array([0, 50, 3]), np.array([0, 1, 2]), [0.0], [0.5])
    assert grid.f1[0, 0] == 1.0
    assert grid.n_unknown == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positives": np.zeros(2, dtype=int)}, "0 anomalous and 4 normal frames"),
        ({"negatives": np.zeros(2, dtype=int)}, "3 anomalous and 0 normal frames"),
        ({"scores": np.array([math.nan, 0.2])}, "0 anomalous and 4 normal frames"),
        ({"sigmas": []}, "at least one finite number"),
        ({"thresholds": []}, "at least one finite number"),
        ({"thresholds": [0.5, math.nan]}, "at least one finite number"),
        ({"sigmas": [-1.0]}, "sigma is -1.0"),
        ({"positives": np.ones(3, dtype=int), "negatives": np.ones(3, dtype=int)}, "one per clip"),
        ({"positives": np.array([3.0, 0.0])}, "positives has dtype float64"),
        ({"negatives": np.array([3, -1])}, "negatives has 1 negative frame counts"),
        ({"scores": np.array([0.8, math.inf])}, "1 of 2 scores are infinite"),
    ],
)
def test_grids_that_mean_nothing_are_refused(change, words):
    case = {
        "scores": np.array([0.8, 0.2]),
        "positives": np.array([3, 0]),
        "negatives": np.array([0, 4]),
        "groups": np.array([0, 1]),
        "sigmas": [0.4],
        "thresholds": [0.5],
    }
    assert frame_f1_grid(**case).f1.shape == (1, 1)
    with pytest.raises(VadprobeError, match=words):
        frame_f1_grid(**(case | change))


def folded_case(seed, n_videos=7):
    """Videos of a few clips in three folds, whose codes have gaps; each fold has both classes."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(generator.permutation(n_videos), generator.integers(2, 6, size=n_videos))
    n = len(groups)
    scores = generator.choice([generator.integers(0, 5, n) / 4, generator.random(n)])
    scores[generator.random(n) < 0.1] = math.nan
    scores[np.flatnonzero(np.diff(groups, prepend=-1))] = 0.5  # at least one known clip in each video
    positives, negatives = generator.integers(1, 4, (2, n))
    folds = np.array([2, 5, 40])[groups % 3]
    sigmas = [float(s) for s in generator.choice([0.0, 0.4, 1.0, 1.5], size=3)]
    thresholds = [float(t) for t in generator.choice(np.linspace(0, 1, 9), size=5)]
    return scores, positives, negatives, groups, sigmas, thresholds, folds


@laws(100)
@given(st.integers(0, 10**6))
def test_a_folds_pair_is_the_grids_on_the_other_videos(seed):
    *case, folds = folded_case(seed)
    scores, positives, negatives, groups, sigmas, thresholds = case
    found = cross_fitted_grid(*case, folds)
    assert sorted(found.locators) == [2, 5, 40]
    for fold, locator in found.locators.items():
        others, mine = folds != fold, folds == fold
        alone = frame_f1_grid(*(part[others] for part in case[:4]), sigmas, thresholds)
        assert locator == alone.locator
        smoothed = smooth(scores[mine], locator.sigma, groups[mine])
        np.testing.assert_array_equal(found.smoothed[mine], smoothed)
        known = ~np.isnan(smoothed)
        assert found.decisions[mine][known].tolist() == (smoothed > locator.threshold)[known].tolist()
    assert np.isnan(found.decisions).tolist() == np.isnan(scores).tolist()
    known = ~np.isnan(scores)
    assert found.n_unknown == np.sum(~known)
    truth, decided = expand(found.decisions[known], positives[known], negatives[known])
    assert found.f1 == pytest.approx(f1_score(truth, decided, zero_division=0.0), abs=1e-15)
    json.dumps(found.to_json())
    assert Locator.from_json(found.to_json()["locators"]["5"]) == found.locators[5]


@laws(100)
@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 10**6))
def test_a_videos_own_labels_never_change_its_own_pair(seed, video, other_seed):
    """The leak law: nor do the labels of any video of its fold; and what is decided in it stays."""
    scores, positives, negatives, groups, sigmas, thresholds, folds = folded_case(seed)
    fold = folds[groups == video][0]
    before = cross_fitted_grid(scores, positives, negatives, groups, sigmas, thresholds, folds)
    changed = np.random.default_rng(other_seed).integers(0, 9, (2, len(scores)))
    for mine in (groups == video, folds == fold):
        labels = (np.where(mine, new, old) for new, old in zip(changed, (positives, negatives), strict=True))
        after = cross_fitted_grid(scores, *labels, groups, sigmas, thresholds, folds)
        assert after.locators[fold] == before.locators[fold]
        np.testing.assert_array_equal(after.decisions[folds == fold], before.decisions[folds == fold])
        np.testing.assert_array_equal(after.smoothed[folds == fold], before.smoothed[folds == fold])


def test_labels_elsewhere_do_change_a_pair():
    scores, groups = np.array([0.9, 0.4, 0.6, 0.1]), np.arange(4)
    folds = np.array([0, 0, 1, 1])
    pairs = []
    for positives in ([3, 3, 3, 0], [3, 0, 3, 0]):
        found = cross_fitted_grid(scores, np.array(positives), np.ones(4, dtype=int), groups, [0.0], [0.3, 0.7], folds)
        pairs.append((found.locators[0].threshold, found.locators[1].threshold))
    assert pairs == [(0.3, 0.3), (0.3, 0.7)], "of fold 0, chosen on fold 1, and of fold 1, chosen on fold 0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"folds": np.array([0, 1, 1, 1])}, "1 videos have clips in several folds, first video 8"),
        ({"folds": np.zeros(4, dtype=int)}, "all videos are in fold 0; at least two"),
        ({"folds": np.array([0.0, 0.0, 1.0, 1.0])}, "folds is float64"),
        ({"folds": np.array([0, 0, 1])}, r"shape \(3,\); one integer is wanted for each of 4 clips"),
        ({"positives": np.array([1, 1, 0, 0])}, "outside fold 0 have 0 anomalous and 2 normal frames"),
        ({"negatives": np.array([0, 0, 1, 1])}, "outside fold 1 have 2 anomalous and 0 normal frames"),
        ({"groups": np.array([8, 3, 8, 3])}, "not contiguous"),
        ({"thresholds": []}, "at least one finite number"),
    ],
)
def test_folds_that_mean_nothing_are_refused(change, words):
    case = {
        "scores": np.array([0.8, 0.2, 0.7, 0.3]),
        "positives": np.array([1, 1, 1, 0]),
        "negatives": np.ones(4, dtype=int),
        "groups": np.array([8, 8, 3, 3]),
        "sigmas": [0.4],
        "thresholds": [0.5],
        "folds": np.array([0, 0, 1, 1]),
    }
    assert sorted(cross_fitted_grid(**case).locators) == [0, 1]
    with pytest.raises(VadprobeError, match=words):
        cross_fitted_grid(**(case | change))


def test_no_clip_has_no_folds():
    nothing = np.array([], dtype=int)
    with pytest.raises(VadprobeError, match="there is no clip"):
        cross_fitted_grid(nothing, nothing, nothing, nothing, [0.4], [0.5], nothing)


def test_the_adaptive_threshold_uses_the_population_deviation_over_all_samples():
    probabilities = np.array([0.0, 0.0, 1.0, 1.0])
    assert adaptive_threshold(probabilities, 0.2) == 0.5 + 0.2 * 0.5
    assert adaptive_threshold(probabilities, 2.0) == 1.5, "may exceed one"
    assert adaptive_threshold(np.full(5, 0.5), 3.0) == 0.5
    assert adaptive_threshold(np.array([0.3]), 1.0) == 0.3


@pytest.mark.parametrize("probabilities", [[], [0.5, math.nan], [math.inf]])
def test_unknown_probabilities_have_no_threshold(probabilities):
    with pytest.raises(VadprobeError, match="calibration probabilities are not finite"):
        adaptive_threshold(np.array(probabilities), 0.2)


@laws(100)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 0.7, 1.0, math.nan]), min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_events_are_the_runs_of_frames_above(scores, length, missing, random):
    """With a short last clip, in any order of clips."""
    starts = np.arange(len(scores)) * length
    n_frames = max(starts[-1] + 1, len(scores) * length - missing)
    stops = np.minimum(starts + length, n_frames)
    expected = runs_of_frames(to_frames(np.array(scores), starts, stops, n_frames) > 0.5)
    order = list(range(len(scores)))
    random.shuffle(order)
    found = events(np.array(scores)[order], starts[order], stops[order], 0.5)
    assert found.tolist() == expected
    assert found.shape == (len(expected), 2)
    assert found.dtype == np.int64


def test_events_touching_overlapping_apart_and_none():
    starts, stops = np.array([0, 10, 25, 40, 42]), np.array([10, 20, 30, 60, 44])
    assert events(np.ones(5), starts, stops, 0.5).tolist() == [[0, 20], [25, 30], [40, 60]]
    assert events(np.full(5, 0.5), starts, stops, 0.5).tolist() == []
    assert events(np.array([]), np.array([]), np.array([]), 0.5).shape == (0, 2)
    with pytest.raises(VadprobeError, match="the threshold is nan"):
        events(np.ones(5), starts, stops, math.nan)
    with pytest.raises(VadprobeError, match="shapes"):
        events(np.ones(4), starts, stops, 0.5)


def test_a_locator_survives_json_and_refuses_nan():
    locator = Locator(0.1 + 0.2, 0.65)
    assert Locator.from_json(json.loads(json.dumps(locator.to_json()))) == locator
    with pytest.raises(VadprobeError, match="threshold is nan"):
        Locator(1.5, math.nan)
