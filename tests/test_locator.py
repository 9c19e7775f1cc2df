"""Smoothing, the exact grid, thresholds and events, against scipy per video and loops over frames."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_evaluation import grid_by_loops, runs_of_frames, smooth_by_weights
from scipy.ndimage import gaussian_filter1d

from vadprobe.analyze.locator import Locator, adaptive_threshold, events, frame_f1_grid, smooth
from vadprobe.analyze.metrics import f1, rank
from vadprobe.store.clips import to_frames
from vadprobe.store.errors import VadprobeError

SIGMAS = st.sampled_from([0.0, 0.1, 0.4, 1.0, 1.5, 3.0, 7.3])
PROBABILITIES = st.floats(0, 1)
ragged = st.lists(st.lists(PROBABILITIES, min_size=1, max_size=9), min_size=1, max_size=6)


def joined(videos):
    """Scores and video codes of a list of videos; codes do not rise with position."""
    groups = np.concatenate([np.full(len(video), 97 - 5 * code) for code, video in enumerate(videos)])
    return np.concatenate(videos), groups


@settings(deadline=None)
@given(ragged, SIGMAS)
def test_bit_for_bit_scipys_filter_of_each_video_alone(videos, sigma):
    scores, groups = joined(videos)
    expected = [gaussian_filter1d(np.array(v), sigma, mode="reflect", truncate=4.0) if sigma else v for v in videos]
    assert smooth(scores, sigma, groups).tolist() == np.concatenate(expected).tolist()
    assert smooth(np.array(videos[0]), sigma).tolist() == list(expected[0])


@settings(deadline=None)
@given(
    st.lists(st.lists(PROBABILITIES | st.just(math.nan), min_size=1, max_size=9), min_size=1, max_size=5),
    st.sampled_from([0.4, 1.5, 4.0]),
)
def test_unknown_clips_stay_unknown_and_do_not_spread(videos, sigma):
    scores, groups = joined(videos)
    got = smooth(scores, sigma, groups)
    np.testing.assert_allclose(got, np.concatenate([smooth_by_weights(v, sigma) for v in videos]), atol=1e-12)
    assert np.isnan(got).tolist() == np.isnan(scores).tolist()


def test_an_unknown_clip_in_one_video_changes_no_bit_of_another():
    known = np.array([0.1, 0.9, 0.3, 0.7])
    failed = np.array([0.5, math.nan, 0.2])
    together = smooth(np.concatenate([failed, known]), 1.5, np.array([0, 0, 0, 1, 1, 1, 1]))
    assert together[3:].tolist() == smooth(known, 1.5).tolist()


@settings(deadline=None)
@given(PROBABILITIES, st.integers(1, 12), SIGMAS)
def test_a_constant_video_stays_constant_to_its_edges(value, length, sigma):
    np.testing.assert_allclose(smooth(np.full(length, value), sigma), value, rtol=0, atol=1e-15)


def test_smoothing_lengths_dtypes_and_input():
    scores = np.array([0.25, 0.75, 0.5], dtype=np.float32)
    assert smooth(scores, 0).tolist() == [0.25, 0.75, 0.5]
    assert smooth(scores, 0.0).dtype == smooth(scores, 1.5).dtype == np.float64
    assert smooth(np.array([0.3]), 1.5) == pytest.approx([0.3], abs=1e-15)
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


@pytest.mark.parametrize("seed", range(10))
def test_the_grid_equals_looping_over_every_cell_on_frames(seed):
    """300 random cases, 18 cells each; duplicates and unsorted thresholds included."""
    generator = np.random.default_rng(seed)
    for _ in range(30):
        case = random_case(generator)
        values, winner = grid_by_loops(*case)
        grid = frame_f1_grid(*case)
        np.testing.assert_allclose(grid.f1, values, rtol=0, atol=1e-15)
        assert (grid.locator.sigma, grid.locator.threshold) == winner
        assert grid.n_unknown == 0


def test_every_cell_is_the_f1_of_the_metrics_module():
    scores, positives, negatives, groups, sigmas, thresholds = random_case(np.random.default_rng(5))
    grid = frame_f1_grid(scores, positives, negatives, groups, sigmas, thresholds)
    for sigma, row in zip(grid.sigmas, grid.f1, strict=True):
        ranking = rank(smooth(scores, sigma, groups), positives, negatives)
        assert row.tolist() == [f1(ranking, threshold) for threshold in grid.thresholds]


@settings(deadline=None)
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


@settings(deadline=None)
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
