"""Events of scored clips, against frame sets and examples worked by hand."""

import math
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from tests.support.samples.events import (
    NONE,
    clips,
    columns,
    oracle_runs,
    rows_of,
    truths,
)
from vadprobe.analyze.evaluation.events.events import detect_events, merge_intervals

LAW = laws(100)


def oracle_events(rows, threshold):
    """Runs of marked frames; the confidence is an exact mean over every frame of every clip above."""
    above = [(interval, value) for interval, value in rows if value > threshold]
    events = []
    for group, start, stop in oracle_runs([interval for interval, _ in above]):
        inside = [(c, value) for c, value in above if c[0] == group and start <= c[1] and c[2] <= stop]
        values = [Fraction(value) for clip, value in inside for _ in range(clip[1], clip[2])]
        events.append((group, start, stop, sum(values) / len(values)))
    return events


@LAW
@given(truths)
def test_merged_intervals_are_the_runs_of_marked_frames(rows):
    merged = merge_intervals(*columns(rows))
    assert list(zip(*(part.tolist() for part in merged), strict=True)) == oracle_runs(rows)
    assert [part.dtype for part in merged] == [np.int64] * 3
    again = merge_intervals(*merged)
    assert all(np.array_equal(one, other) for one, other in zip(merged, again, strict=True))


@LAW
@given(clips)
def test_events_are_runs_of_marked_frames_with_their_mean_score(rows):
    """0.5 is a score: strictly above is tested."""
    found = rows_of(as_detected(rows))
    expected = oracle_events(rows, 0.5)
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    assert [row[3] for row in found] == pytest.approx([float(row[3]) for row in expected], abs=1e-15)


def as_detected(rows, threshold=0.5, shift=0):
    groups, starts, stops = columns([interval for interval, _ in rows])
    scores = np.array([value for _, value in rows], dtype=np.float64)
    return detect_events(scores, starts + shift * groups, stops + shift * groups, groups, threshold)


@LAW
@given(clips, st.randoms(use_true_random=False), st.integers(-9, 9))
def test_neither_the_order_of_clips_nor_a_shift_of_a_video_changes_a_bit(rows, random, shift):
    expected = rows_of(as_detected(rows))
    shuffled = random.sample(rows, len(rows))
    assert rows_of(as_detected(shuffled)) == expected
    moved = rows_of(as_detected(shuffled, shift=shift))
    assert moved == [(group, start + shift * group, stop + shift * group, c) for group, start, stop, c in expected]


@LAW
@given(st.floats(0.51, 1), st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_clips_of_one_score_make_an_event_of_exactly_that_score(score, lengths):
    """So that constant videos of any length are ties; a plain weighted mean is off by a rounding."""
    stops = np.cumsum(lengths)
    events = detect_events(np.full(len(stops), score), stops - lengths, stops, np.zeros(len(stops), dtype=int), 0.5)
    assert rows_of(events) == [(0, 0, int(stops[-1]), score)]


def test_detection_by_hand():
    # Video 7: [0, 20) and [20, 26) touch, [26, 30) is at the threshold; video 2 reads before it, whatever the order.
    scores = np.array([0.9, 0.6, 0.5, 0.8, math.nan, 0.7])
    starts, stops = np.array([0, 20, 26, 0, 10, 20]), np.array([20, 26, 30, 10, 20, 25])
    events = detect_events(scores, starts, stops, np.array([7, 7, 7, 2, 2, 2]), 0.5)
    assert rows_of(events)[:2] == [(2, 0, 10, 0.8), (2, 20, 25, 0.7)]
    assert rows_of(events)[2] == (7, 0, 26, pytest.approx((20 * 0.9 + 6 * 0.6) / 26))
    assert len(events) == 3
    with pytest.raises(FrozenInstanceError):
        events.groups = NONE


def test_sums_are_added_in_one_order():
    """Clips of the same frames have no order but that of their scores, and floating-point sums depend on it."""
    generator = np.random.default_rng(5)
    scores, zeros = generator.uniform(0.5, 1, 40), np.zeros(40, dtype=int)
    orders = [generator.permutation(40) for _ in range(20)]
    found = {detect_events(scores[order], zeros, zeros + 7, zeros, 0.5).confidences[0] for order in orders}
    assert len({np.bincount(zeros, scores[order])[0] for order in orders}) > 1
    assert len(found) == 1


def test_a_confidence_is_never_above_the_highest_score():
    """One frame of 0.141 beside 10^17 of 0.407; 0.141 + (0.407 - 0.141) rounds to more than 0.407."""
    assert 0.141 + (0.407 - 0.141) > 0.407
    starts, stops = np.array([0, 1]), np.array([1, 10**17])
    assert detect_events(np.array([0.141, 0.407]), starts, stops, np.zeros(2, dtype=int), 0).confidences[0] == 0.407


def test_the_same_frames_of_two_videos_are_not_merged():
    ones = np.ones(2)
    assert rows_of(detect_events(ones, np.array([0, 9]), np.array([9, 18]), np.array([0, 1]), 0)) == [
        (0, 0, 9, 1.0),
        (1, 9, 18, 1.0),
    ]
    assert [part.tolist() for part in merge_intervals(np.array([1, 0]), np.array([0, 0]), np.array([9, 9]))] == [
        [0, 1],
        [0, 0],
        [9, 9],
    ]


def test_an_infinite_score_is_an_infinite_confidence():
    scores = np.array([math.inf, math.inf, 1.0, math.inf, -math.inf])
    starts = np.array([0, 5, 20, 25, 30])
    events = detect_events(scores, starts, starts + 5, np.zeros(5, dtype=int), 0.5)
    assert rows_of(events) == [(0, 0, 10, math.inf), (0, 20, 30, math.inf)]
