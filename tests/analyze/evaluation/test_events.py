"""Events and their average precision, against frame sets, exact fractions and examples worked by hand."""

import math
from dataclasses import FrozenInstanceError
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles.reference_evaluation import runs_of_frames
from tests.support.profiles import laws
from vadprobe.analyze.evaluation.events import (
    EventPrecision,
    Events,
    detect_events,
    event_average_precision,
    event_map,
    merge_intervals,
)
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import to_frames

LAW = laws(100)
IOUS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.55", "0.75", "1")
NONE = np.array([], dtype=np.int64)
intervals = st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 12)).map(
    lambda i: (i[0], i[1], i[1] + i[2])
)
truths = st.lists(intervals, max_size=7)
# Few confidences, so that ties are frequent; the events may overlap, which detected ones never do.
predictions = st.lists(st.tuples(intervals, st.sampled_from([-1.0, 0.25, 0.5, 0.7])), max_size=9)
clips = st.lists(st.tuples(intervals, st.sampled_from([0.1, 0.5, 0.6, 0.7, 0.9, math.nan])), max_size=14)


def columns(rows):
    """(n, 3) integers as groups, starts, stops."""
    return tuple(np.array(rows, dtype=np.int64).reshape(len(rows), 3).T)


def as_events(rows):
    return Events(
        *columns([interval for interval, _ in rows]), np.array([value for _, value in rows], dtype=np.float64)
    )


def rows_of(events):
    found = (events.groups, events.start_frames, events.stop_frames, events.confidences)
    return list(zip(*(part.tolist() for part in found), strict=True))


def precision_of(predicted, truth, iou):
    return event_average_precision(as_events(predicted), *columns(truth), float(iou))


def oracle_runs(rows):
    """Frames marked one by one, then read as runs, per video."""
    runs = []
    for group in sorted({row[0] for row in rows}):
        frames = {frame for video, start, stop in rows if video == group for frame in range(start, stop)}
        for start in sorted(frame for frame in frames if frame - 1 not in frames):
            stop = start
            while stop in frames:
                stop += 1
            runs.append((group, start, stop))
    return runs


def oracle_events(rows, threshold):
    """Runs of marked frames; the confidence is an exact mean over every frame of every clip above."""
    above = [(interval, value) for interval, value in rows if value > threshold]
    events = []
    for group, start, stop in oracle_runs([interval for interval, _ in above]):
        inside = [(c, value) for c, value in above if c[0] == group and start <= c[1] and c[2] <= stop]
        values = [Fraction(value) for clip, value in inside for _ in range(clip[1], clip[2])]
        events.append((group, start, stop, sum(values) / len(values)))
    return events


def oracle_iou(one, other):
    if one[0] != other[0]:
        return Fraction(0)
    first, second = set(range(*one[1:])), set(range(*other[1:]))
    return Fraction(len(first & second), len(first | second))


def oracle_precision(predicted, truth, iou):
    """The definition in words: greedy over all events, then a mean over the k-th hits. ``iou`` is a decimal's text."""
    truth = oracle_runs(truth)
    if not truth:
        return None
    free, hits, cuts = list(truth), 0, []
    ranked = sorted(predicted, key=lambda row: (-row[1], row[0]))
    for position, (event, confidence) in enumerate(ranked):
        fitting = [(oracle_iou(event, true), true) for true in free if oracle_iou(event, true) >= Fraction(iou)]
        if fitting:
            best = max(value for value, _ in fitting)
            free.remove(min(true for value, true in fitting if value == best))
            hits += 1
        if position + 1 == len(ranked) or ranked[position + 1][1] != confidence:
            cuts.append((hits, Fraction(hits, position + 1)))
    best_with = [max((p for found, p in cuts if found >= k), default=Fraction(0)) for k in range(1, len(truth) + 1)]
    return sum(best_with) / len(truth)


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
    found = detect_events(np.array(scores)[order], starts[order], stops[order], np.zeros(len(order), dtype=int), 0.5)
    assert np.stack([found.start_frames, found.stop_frames], axis=1).tolist() == expected


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


@LAW
@given(predictions, truths, st.sampled_from(IOUS))
def test_average_precision_by_its_definition(predicted, truth, iou):
    expected = oracle_precision(predicted, truth, iou)
    found = precision_of(predicted, truth, iou)
    assert math.isnan(found) if expected is None else found == pytest.approx(float(expected), abs=1e-12)


@LAW
@given(predictions, truths, st.sampled_from(IOUS), st.randoms(use_true_random=False))
def test_input_order_video_numbers_and_monotone_confidences_change_no_bit(predicted, truth, iou, random):
    expected = precision_of(predicted, truth, iou)
    number = dict(enumerate(random.sample(range(-9, 9), 4)))
    shift = {group: random.randint(-(2**40), 2**40) for group in range(4)}

    def moved(interval):
        group, start, stop = interval
        return number[group], start + shift[group], stop + shift[group]

    other = [(moved(interval), 3 * value**3 - 1) for interval, value in random.sample(predicted, len(predicted))]
    changed = precision_of(other, [moved(interval) for interval in random.sample(truth, len(truth))], iou)
    assert np.array_equal(expected, changed, equal_nan=True)


@LAW
@given(st.lists(intervals, min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_perfect_events_get_one_at_every_iou(truth, random):
    perfect = [(interval, random.random()) for interval in oracle_runs(truth)]
    result = event_map(as_events(perfect), *columns(truth), ious=[float(iou) for iou in IOUS])
    assert set(result.by_iou.values()) == {1.0}
    assert result.mean == 1.0
    assert result.n_predicted == result.n_true == len(perfect)


@LAW
@given(predictions, st.lists(intervals, min_size=1, max_size=7))
def test_a_higher_iou_never_raises_the_precision(predicted, truth):
    """What a strict matching has taken after any event, a lenient one has too: if the strict one takes a true interval
    that the lenient one left, it is the best of those left to the lenient one as well."""
    values = [precision_of(predicted, truth, iou) for iou in IOUS]
    assert all(lenient >= strict - 1e-12 for lenient, strict in pairwise(values))


@LAW
@given(predictions, st.lists(intervals, min_size=1, max_size=7), intervals, st.sampled_from(IOUS))
def test_an_event_below_all_others_never_lowers_the_precision(predicted, truth, event, iou):
    before, after = precision_of(predicted, truth, iou), precision_of([*predicted, (event, -2.0)], truth, iou)
    assert after >= before - 1e-12


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


def test_average_precision_by_hand():
    truth = [(0, 0, 10), (0, 20, 30), (1, 0, 100)]
    # By confidence: a hit (IoU 8/12), a video without truth, hits of 5/10 and 60/100, then a second claim on video 1.
    predicted = [((0, 2, 12), 0.9), ((5, 0, 10), 0.8), ((0, 25, 30), 0.7), ((1, 40, 100), 0.6), ((1, 0, 40), 0.5)]
    # Precisions 1, 1/2, 2/3, 3/4, 3/5 become 1, 3/4, 3/4, 3/4, 3/5 from the right; hits at 1, 3, 4.
    assert precision_of(predicted, truth, 0.5) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    # Above 1/2, the third is no hit: precisions 1, 1/2, 1/3, 2/4, 2/5; one true event is never found.
    assert precision_of(predicted, truth, 0.51) == pytest.approx((1 + 1 / 2 + 0) / 3)
    # Above 0.6 and 8/12 nothing is left.
    assert precision_of(predicted, truth, 0.61) == pytest.approx(1 / 3)
    assert precision_of(predicted, truth, 0.67) == 0.0


def test_the_next_best_interval_is_taken_when_the_best_is_gone():
    truth = [(0, 0, 10), (0, 12, 18)]
    # [0, 18): IoU 10/18 and 6/18. The surer event takes the longer interval, so the other gets the shorter one.
    predicted = [((0, 0, 10), 0.9), ((0, 0, 18), 0.8)]
    assert precision_of(predicted, truth, 0.3) == 1.0
    assert precision_of(predicted, truth, 0.34) == 0.5  # 6/18 is too little now
    # A wide event that is the surest takes what the exact one needed, which then is a false alarm: greedy, not optimal.
    predicted = [((0, 0, 18), 0.9), ((0, 0, 10), 0.8)]
    assert precision_of(predicted, truth, 0.3) == 0.5


def test_the_largest_iou_is_taken_before_an_earlier_interval():
    truth = [(0, 0, 6), (0, 8, 18)]
    # [0, 18): IoU 6/18 and 10/18. It takes the second interval and leaves the first.
    assert precision_of([((0, 0, 18), 0.9), ((0, 0, 6), 0.8)], truth, 0.3) == 1.0


def test_of_equal_ious_the_earliest_interval_is_taken():
    truth = [(0, 0, 10), (0, 20, 30)]
    # [0, 30) overlaps both by 10/30. It takes the first; [5, 10), 5/10 of the first only, is then a false alarm.
    assert precision_of([((0, 0, 30), 0.9), ((0, 5, 10), 0.8)], truth, 0.3) == 0.5
    assert precision_of([((0, 0, 30), 0.9), ((0, 25, 30), 0.8)], truth, 0.3) == 1.0


def test_equal_confidences_are_one_step_and_match_by_start():
    hit, alarm = ((0, 0, 10), 0.7), ((1, 0, 10), 0.7)
    # One by one this would be 1 or 1/2, by which video comes first.
    assert precision_of([hit, alarm], [(0, 0, 10)], 0.5) == 0.5
    assert precision_of([((1, 0, 10), 0.7), ((0, 0, 10), 0.7)], [(1, 0, 10)], 0.5) == 0.5
    # [0, 16) starts before [4, 9) and takes the one interval that the latter overlaps; surer, [4, 9) comes first.
    truth = [(0, 0, 9), (0, 10, 16)]
    assert precision_of([((0, 0, 16), 0.7), ((0, 4, 9), 0.7)], truth, 0.3) == 0.25
    assert precision_of([((0, 4, 9), 0.7), ((0, 0, 16), 0.7)], truth, 0.3) == 0.25
    assert precision_of([((0, 0, 16), 0.7), ((0, 4, 9), 0.8)], truth, 0.3) == 1.0


def test_the_iou_is_closed_where_products_round():
    assert 0.55 * 100 > 55
    assert precision_of([((0, 0, 55), 1.0)], [(0, 0, 100)], 0.55) == 1.0
    assert precision_of([((0, 0, 5), 1.0)], [(0, 0, 6)], 5 / 6) == 1.0
    assert precision_of([((0, 0, 54), 1.0)], [(0, 0, 100)], 0.55) == 0.0


def test_touching_and_overlapping_truth_is_one_event():
    truth = columns([(0, 10, 20), (0, 0, 10), (0, 15, 30), (1, 4, 5)])
    result = event_map(as_events([((0, 0, 30), 0.9), ((1, 4, 5), 0.9)]), *truth)
    assert result == EventPrecision(dict.fromkeys((0.1, 0.2, 0.3, 0.4, 0.5), 1.0), 1.0, 2, 2)


def test_a_right_video_level_label_finds_only_what_fills_its_video():
    # Two anomalies of 10 and 30 in videos of 100 frames, and a normal video that the label leaves out.
    flat = as_events([((0, 0, 100), 1.0), ((1, 0, 100), 1.0)])
    result = event_map(flat, *columns([(0, 40, 50), (1, 40, 70)]))
    assert list(result.by_iou) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(result.by_iou.values()) == [1.0, 0.25, 0.25, 0.0, 0.0]
    assert result.mean == pytest.approx(0.3)


def test_no_truth_no_prediction_and_unknown_scores():
    some, nothing = as_events([((0, 0, 5), 0.5)]), as_events([])
    assert math.isnan(event_average_precision(some, NONE, NONE, NONE, 0.5))
    assert event_average_precision(nothing, *columns([(0, 0, 5)]), 0.5) == 0.0
    empty = event_map(nothing, NONE, NONE, NONE)
    assert math.isnan(empty.mean)
    assert (empty.n_predicted, empty.n_true) == (0, 0)
    unknown = detect_events(np.full(3, math.nan), np.arange(3), np.arange(1, 4), np.zeros(3, dtype=int), 0.5)
    assert len(unknown) == len(detect_events(np.array([]), np.array([]), np.array([]), np.array([]), 0.5)) == 0
    assert [part.dtype for part in (unknown.groups, unknown.start_frames, unknown.confidences)] == [
        np.int64,
        np.int64,
        np.float64,
    ]


def test_large_frame_numbers_and_codes_do_not_overflow():
    far = 2**62
    truth = columns([(far, far, far + 10), (-far, -far, 10 - far)])
    predicted = Events(*truth, np.array([0.5, 0.6]))
    assert event_map(predicted, *truth).mean == 1.0


def test_wrong_arguments_are_refused_in_sentences():
    one, zero = np.array([1]), np.array([0])
    events = as_events([((0, 0, 1), 0.5)])
    for threshold in (math.nan, math.inf):
        with pytest.raises(VadprobeError, match=f"the threshold must be a finite number, got {threshold}"):
            detect_events(np.ones(1), zero, one, zero, threshold)
    with pytest.raises(VadprobeError, match=r"scores and groups must have the same shape, got \(2,\) and \(1,\)"):
        detect_events(np.ones(2), zero, one, zero, 0.5)
    with pytest.raises(VadprobeError, match=r"one number per clip each, got the shapes \(1,\), \(1,\), \(0,\)"):
        detect_events(np.ones(1), zero, NONE, zero, 0.5)
    with pytest.raises(VadprobeError, match=r"clip 1 is \[3, 3\), half-open, and has no frame \(1 of 2"):
        detect_events(np.ones(2), np.array([0, 3]), np.array([3, 3]), np.zeros(2, dtype=int), 0.5)
    with pytest.raises(VadprobeError, match=r"must be integers .* got the dtypes int64, float64, int64"):
        merge_intervals(zero, np.array([0.0]), one)
    with pytest.raises(VadprobeError, match=r"interval 0 is \[1, 0\)"):
        event_average_precision(events, zero, one, zero, 0.5)
    with pytest.raises(VadprobeError, match=r"event 0 is \[1, 1\)"):
        Events(zero, one, one, np.ones(1))
    with pytest.raises(VadprobeError, match=r"confidences and groups .* got \(2,\)"):
        Events(zero, zero, one, np.ones(2))
    with pytest.raises(VadprobeError, match="1 of 1 confidences are NaN"):
        Events(zero, zero, one, np.array([math.nan]))
    for iou in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(VadprobeError, match=f"the IoU must be above 0 and at most 1, got {iou}"):
            event_average_precision(events, zero, zero, one, iou)
    for ious in ((), (0.5, 0.5)):
        with pytest.raises(VadprobeError, match="at least one, and none twice"):
            event_map(events, zero, zero, one, ious)
