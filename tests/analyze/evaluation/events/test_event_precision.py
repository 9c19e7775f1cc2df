"""The average precision of events, against exact fractions and examples worked by hand."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from tests.support.samples.events import (
    IOUS,
    NONE,
    as_events,
    columns,
    intervals,
    oracle_runs,
    predictions,
    truths,
)
from vadprobe.analyze.evaluation.events.event_precision import (
    EventPrecision,
    event_average_precision,
    event_f1,
    event_map,
)
from vadprobe.analyze.evaluation.events.events import Events, detect_events

LAW = laws(100)


def precision_of(predicted, truth, iou):
    return event_average_precision(as_events(predicted), *columns(truth), float(iou))


def oracle_iou(one, other):
    if one[0] != other[0]:
        return Fraction(0)
    first, second = set(range(*one[1:])), set(range(*other[1:]))
    return Fraction(len(first & second), len(first | second))


def oracle_precision(predicted, truth, iou):
    """The definition in words: greedy over all events, then a mean over the k-th hits. `iou` is a decimal's text."""
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


def test_f1_of_events_by_hand():
    truth = [(0, 0, 10), (0, 20, 30), (1, 0, 100)]
    predicted = [((0, 2, 12), 0.9), ((5, 0, 10), 0.8), ((0, 25, 30), 0.7), ((1, 40, 100), 0.6), ((1, 0, 40), 0.5)]
    f1s = [event_f1(as_events(predicted), *columns(truth), iou) for iou in (0.5, 0.51, 0.61, 0.67)]
    assert f1s == [6 / 8, 4 / 8, 2 / 8, 0.0]  # hits, twice, over five events and three true ones
    assert event_f1(as_events([]), *columns(truth), 0.5) == 0.0
    assert math.isnan(event_f1(as_events(predicted), NONE, NONE, NONE, 0.5))


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
