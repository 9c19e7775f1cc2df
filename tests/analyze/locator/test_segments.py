"""Segments of videos: every frame once, the anomalous ones as measured, the overlap counted by hand."""

import math
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.analyze.evaluation.events.events import detect_events, join_equal
from vadprobe.analyze.locator.segments import (
    ANOMALOUS,
    KINDS,
    NORMAL,
    UNKNOWN,
    LocatedTruth,
    cut_segments,
    located_truth,
    overlap_with_truth,
)
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video

LAW = laws(100)
clips = st.tuples(st.integers(1, 6), st.sampled_from([0.1, 0.5, 0.6, 0.9, math.nan]))
videos = st.lists(st.lists(clips, min_size=1, max_size=8), min_size=1, max_size=4)


def columns(rows):
    """Scores, starts, stops and groups of clips (frames, score) in a row; codes of videos have gaps."""
    lengths = [np.array([length for length, _ in video]) for video in rows]
    stops = np.concatenate([np.cumsum(of) for of in lengths])
    scores = np.array([score for video in rows for _, score in video])
    groups = np.concatenate([np.full(len(video), 3 * code) for code, video in enumerate(rows)])
    return scores, stops - np.concatenate(lengths), stops, groups


def kind_of(score, threshold):
    return UNKNOWN if math.isnan(score) else (ANOMALOUS if score > threshold else NORMAL)


@LAW
@given(videos)
def test_segments_are_the_runs_of_frames_of_one_kind(rows):
    """0.5 is a score: strictly above is tested."""
    found = cut_segments(*columns(rows), 0.5)
    expected = []
    for code, video in enumerate(rows):
        frames = [score for length, score in video for _ in range(length)]
        start = 0
        for kind, run in groupby(frames, lambda score: kind_of(score, 0.5)):
            values = list(run)
            expected.append((3 * code, start, start + len(values), kind, np.mean(values), max(values)))
            start += len(values)
    mine = (found.groups, found.start_frames, found.stop_frames, found.kinds, found.means, found.peaks)
    for one, other in zip(zip(*(part.tolist() for part in mine), strict=True), expected, strict=True):
        assert one[:4] == other[:4]
        assert one[4:] == pytest.approx(other[4:], abs=1e-12, nan_ok=True)


@LAW
@given(videos)
def test_anomalous_segments_are_the_events_that_are_measured(rows):
    found = cut_segments(*columns(rows), 0.5)
    events = detect_events(*join_equal(*columns(rows)), 0.5)
    mine = found.kinds == ANOMALOUS
    for one, other in (
        (found.groups, events.groups),
        (found.start_frames, events.start_frames),
        (found.stop_frames, events.stop_frames),
        (found.means, events.confidences),
    ):
        np.testing.assert_array_equal(one[mine], other)


@LAW
@given(videos)
def test_the_peak_is_at_the_middle_of_the_earliest_highest_frames(rows):
    found = cut_segments(*columns(rows), 0.5)
    frames = {3 * code: [s for length, s in video for _ in range(length)] for code, video in enumerate(rows)}
    for group, start, stop, kind, peak, at in zip(
        found.groups, found.start_frames, found.stop_frames, found.kinds, found.peaks, found.peak_frames, strict=True
    ):
        if kind == UNKNOWN:
            assert at == -1
            continue
        first = start + frames[group][start:stop].index(peak)
        last = first
        while last < stop and frames[group][last] == peak:
            last += 1
        assert at == (first + last) // 2


def test_a_gap_is_not_bridged():
    found = cut_segments(*columns([[(10, 0.9), (5, math.nan), (10, 0.9)]]), 0.5)
    assert [KINDS[kind] for kind in found.kinds] == ["anomalous", "unknown", "anomalous"]
    assert found.start_frames.tolist() == [0, 10, 15]


@pytest.mark.parametrize("scores", [[], [(4, math.nan)], [(4, 0.5)]])
def test_little_is_cut_too(scores):
    rows = columns([scores]) if scores else (np.empty(0), *(np.empty(0, dtype=np.int64) for _ in range(3)))
    assert len(cut_segments(*rows, 0.5)) == len(scores)


def test_the_overlap_with_the_truth_is_counted():
    found = cut_segments(*columns([[(10, 0.9), (10, 0.1), (20, 0.9)]]), 0.5)
    truth = LocatedTruth(np.array([True]), (np.array([0, 0]), np.array([5, 30]), np.array([12, 35])))
    fractions, ious = overlap_with_truth(found, truth)
    assert fractions.tolist() == [5 / 10, 2 / 10, 5 / 20]
    np.testing.assert_array_equal(ious, [5 / 12, math.nan, 5 / 20])


def test_the_overlap_is_unknown_where_nobody_knows_where():
    videos = (
        Video("marked", "a", 40, 25.0, "test", 1),
        Video("somewhere", "b", 40, 25.0, "test", 1),
        Video("normal", "c", 40, 25.0, "test", 0),
        Video("unlabelled", "d", 40, 25.0, "test", None),
    )
    dataset = Dataset("set", None, videos, (Interval("marked", 10, 20), Interval("marked", 15, 90)))
    names = ["marked", "somewhere", "normal", "unlabelled", "elsewhere"]
    truth = located_truth(dataset, names, np.full(5, 40))
    assert truth.is_known.tolist() == [True, False, True, False, False]
    assert [part.tolist() for part in truth.intervals] == [[0], [10], [40]]
    groups = np.arange(5)
    found = cut_segments(np.full(5, 0.9), np.zeros(5, dtype=int), np.full(5, 40), groups, 0.5)
    fractions, ious = overlap_with_truth(found, truth)
    np.testing.assert_array_equal(fractions, [0.75, math.nan, 0, math.nan, math.nan])
    np.testing.assert_array_equal(ious, [0.75, math.nan, 0, math.nan, math.nan])
