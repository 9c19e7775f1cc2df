"""The exact grid against loops over frames, fractions and scikit-learn."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from tests.support.oracles.reference_evaluation import expand
from tests.support.profiles import laws
from tests.support.samples.clips import SIGMAS, joined, random_case
from vadprobe.analyze.evaluation.metrics import f1, rank
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.locator import frame_counts
from vadprobe.analyze.locator.frame_counts import Thresholds, count_frames
from vadprobe.analyze.locator.grid import first_best, frame_f1_grid
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import Smoothing, smooth
from vadprobe.store.errors import VadprobeError

PROBABILITIES = st.floats(0, 1)


def f1_of_frames(clips, sigmas, thresholds):
    """Frame F1 of every cell, row after row: scipy per video, single frames, fractions."""
    values = []
    for sigma in sigmas:
        videos = [clips.scores[clips.groups == code] for code in dict.fromkeys(clips.groups.tolist())]
        smoothed = [gaussian_filter1d(v, sigma, mode="reflect", truncate=4.0) if sigma else v for v in videos]
        truth, scores = expand(np.concatenate(smoothed), clips.positives, clips.negatives)
        for threshold in thresholds:
            found = scores > threshold
            hits = int(np.sum(found & (truth == 1)))
            values.append(Fraction(2 * hits, int(np.sum(found)) + int(np.sum(truth))))
    return values


@pytest.mark.parametrize("seed", range(10))
def test_the_grid_equals_looping_over_every_cell_on_frames(seed):
    """1,000 random cases, 18 cells each; duplicates, unsorted thresholds and scores equal to thresholds included."""
    generator = np.random.default_rng(seed)
    ties = 0
    for _ in range(100):
        clips, sigmas, thresholds = random_case(generator)
        grid = frame_f1_grid(clips, sigmas, thresholds)
        values = f1_of_frames(clips, sigmas, thresholds)
        row, column = divmod(values.index(max(values)), len(thresholds))
        assert (grid.locator.sigma, grid.locator.threshold) == (sigmas[row], thresholds[column])
        assert grid.f1.ravel().tolist() == [float(value) for value in values]
        assert grid.n_unknown == 0
        ties += values.count(max(values)) > 1
    assert ties > 30, "the cases are without ties"


def test_f1_values_that_round_alike_are_told_apart():
    """(a + x) / (S + x + y) is above a / S by 1 part in 2**62; float64 has 53 bits."""
    a, x = 2**30 + 1, 2**30 + 3
    y = (x + 1) // 2 + 2 * x
    beyond, rest = divmod(1 + a * y, x)
    assert rest == 0
    b = beyond - (a + x)  # so that the positives are a + x, all found by the second threshold
    grid = frame_f1_grid(ScoredClips([0.9, 0.5, 0.1], [a, x, 0], [b, y, 1], [0, 1, 2]), [0.0], [0.7, 0.3])
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
    clips = ScoredClips(scores, *counts, groups)
    wanted = count_frames(clips, *grid, groups % 3)
    monkeypatch.setattr(frame_counts, "_BLOCK", block)
    found = count_frames(clips, *grid, groups % 3)
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
    found = count_frames(ScoredClips(scores, positives, negatives, groups), sigmas, thresholds)
    assert found.n_unknown == np.isnan(scores).sum()
    for row, sigma in enumerate(sigmas):
        for column, threshold in enumerate(thresholds):
            above = smooth(scores, sigma, groups) > threshold
            assert found.true_positives[0, row, column] == positives[above].sum()
            assert found.false_positives[0, row, column] == negatives[above].sum()


def test_every_cell_is_the_f1_of_the_metrics_module():
    clips, sigmas, thresholds = random_case(np.random.default_rng(5))
    grid = frame_f1_grid(clips, sigmas, thresholds)
    for sigma, row in zip(grid.sigmas, grid.f1, strict=True):
        ranking = rank(smooth(clips.scores, sigma, clips.groups), clips.positives, clips.negatives)
        assert row.tolist() == [f1(ranking, threshold) for threshold in grid.thresholds]


@laws(100)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_videos_changes_nothing(seed, random):
    clips, sigmas, thresholds = random_case(np.random.default_rng(seed))
    codes = list(np.unique(clips.groups))
    random.shuffle(codes)
    order = np.concatenate([np.flatnonzero(clips.groups == code) for code in codes])
    moved, grid = (frame_f1_grid(some, sigmas, thresholds) for some in (clips.take(order), clips))
    assert moved.f1.tolist() == grid.f1.tolist()
    assert moved.locator == grid.locator


def test_ties_take_the_first_sigma_then_the_first_threshold_as_given():
    clips = ScoredClips([0.2, 0.8], [0, 5], [5, 0], [0, 1])
    assert frame_f1_grid(clips, [1.5, 0.4], [0.7, 0.3, 0.5]).locator == Locator(1.5, 0.7)
    assert frame_f1_grid(clips, [0.4, 1.5], [0.9, 0.3, 0.5]).locator == Locator(0.4, 0.3)
    assert frame_f1_grid(clips, [0.4], [0.8, 0.2]).f1.tolist() == [[0.0, 1.0]], "strictly above"


def test_a_grid_that_finds_nothing_is_zero_and_constant_scores_are_above_or_not():
    constant = ScoredClips([0.5] * 3, [4, 0, 0], [0, 4, 2], [0, 0, 0])
    grid = frame_f1_grid(constant, [0.0], [0.5, 0.9])
    assert grid.f1.tolist() == [[0.0, 0.0]]
    assert grid.locator == Locator(0.0, 0.5)
    assert frame_f1_grid(constant, [0.0], [0.4]).f1[0, 0] == 2 * 4 / (2 * 4 + 6)


def test_unknown_clips_are_left_out_and_counted():
    grid = frame_f1_grid(ScoredClips([0.9, math.nan, 0.1], [3, 50, 0], [0, 50, 3], [0, 1, 2]), [0.0], [0.5])
    assert grid.f1[0, 0] == 1.0
    assert grid.n_unknown == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positives": [0, 0]}, "0 anomalous and 4 normal frames"),
        ({"negatives": [0, 0]}, "3 anomalous and 0 normal frames"),
        ({"scores": [math.nan, 0.2]}, "0 anomalous and 4 normal frames"),
        ({"sigmas": [-1.0]}, "sigma must be .* got -1.0"),
    ],
)
def test_grids_that_mean_nothing_are_refused(change, words):
    clips = {"scores": [0.8, 0.2], "positives": [3, 0], "negatives": [0, 4], "groups": [0, 1]}
    sigmas = change.pop("sigmas", [0.4])
    with pytest.raises(VadprobeError, match=words):
        frame_f1_grid(ScoredClips(**clips | change), sigmas, [0.5])


@pytest.mark.parametrize("smoothing", [Smoothing("zero", 3.0), Smoothing("nearest", 2.0)])
def test_the_grid_smooths_as_its_locator_will(smoothing):
    for seed in range(10):
        clips, sigmas, thresholds = random_case(np.random.default_rng(seed))
        grid = frame_f1_grid(clips, sigmas, thresholds, smoothing)
        assert grid.locator.smoothing == smoothing
        for row, sigma in enumerate(sigmas):
            truth, scores = expand(
                smooth(clips.scores, sigma, clips.groups, smoothing), clips.positives, clips.negatives
            )
            for column, threshold in enumerate(thresholds):
                hits = np.sum((scores > threshold) & (truth == 1))
                assert grid.f1[row, column] == 2 * hits / (np.sum(scores > threshold) + np.sum(truth))
