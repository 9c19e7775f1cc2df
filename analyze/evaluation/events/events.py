"""Anomalous events in time: intervals of frames, merged, with a confidence each."""

from dataclasses import dataclass

import numpy as np

Intervals = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Groups (videos), starts and stops of intervals `[start, stop)`, each (n,) int64."""


@dataclass(frozen=True, eq=False)
class Events:
    """Predicted events of any number of videos, in any order.

    `groups` (m,) integers are the videos' codes, as in the truth. `start_frames` and `stop_frames` (m,) integers are
    half-open, none empty. `confidences` (m,) float64 rank the events, higher first.
    """

    groups: np.ndarray
    start_frames: np.ndarray
    stop_frames: np.ndarray
    confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.groups)


def detect_events(
    scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, groups: np.ndarray, threshold: float
) -> Events:
    """Detect events of many videos: clips with scores strictly above `threshold`, overlapping and touching ones merged.

    An event's confidence is the mean score of its clips weighted by their frames (a frame of two overlapping clips
    counts in both). It lies between their lowest and highest score; for clips of equal scores it is exactly that score.

    Args:
        scores: (n,) float64, smoothed. A clip with a NaN (unknown) score is in no event and ends one.
        starts, stops: (n,) integers, clips `[start, stop)`, half-open, none empty; in any order.
        groups: (n,) integers, video of each clip.
        threshold: a finite number.

    Returns:
        The events, sorted by group, then start; in one video they neither overlap nor touch. They are empty if no score
        is above the threshold.
    """
    return merge_clips(scores, starts, stops, groups, scores > threshold).events


@dataclass(frozen=True, eq=False)
class MergedClips:
    """Clips merged to m events, and the clips of each event.

    The clips of event e, by start, are `order[first[e]:first[e + 1]]`; `order` is (k,), `first` (m,).
    """

    events: Events
    order: np.ndarray
    first: np.ndarray


def merge_clips(
    scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, groups: np.ndarray, chosen: np.ndarray
) -> MergedClips:
    """Merge the chosen clips (n,) bool as `detect_events` merges those above its threshold; arguments as there."""
    rows = np.flatnonzero(chosen)
    # Scores are a sorting key too, so that sums do not depend on the order of the rows.
    order = rows[np.lexsort((scores[rows], stops[rows], starts[rows], groups[rows]))]
    scores, groups, starts, stops = scores[order], groups[order], starts[order], stops[order]
    first, merged = _merge_sorted(groups, starts, stops)
    return MergedClips(Events(*merged, _weighted_means(scores, stops - starts, first)), order, first)


def join_equal(
    scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Join touching clips of equal scores; clips without frames are left out.

    So the way in which a video is cut into clips does not change the last bit of a confidence.

    Args:
        scores, starts, stops, groups: as for `detect_events`, the clips of a video in order and without overlap.

    Returns:
        The same four, shorter.
    """
    some = stops > starts
    scores, starts, stops, groups = scores[some], starts[some], stops[some], groups[some]
    apart = (scores[1:] != scores[:-1]) | (groups[1:] != groups[:-1]) | (starts[1:] != stops[:-1])
    first = np.flatnonzero(np.concatenate([[True], apart])[: len(scores)])
    last = np.append(first[1:], len(scores))[: len(first)] - 1
    return scores[first], starts[first], stops[last], groups[first]


def _weighted_means(values: np.ndarray, weights: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each run of rows; the runs begin at `first`."""
    if len(first) == 0:
        return np.empty(0)
    run = np.repeat(np.arange(len(first)), np.diff(first, append=len(values)))
    lowest, highest = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    # Relative to the lowest, equal scores have no rounding: events of equal scores tie, whatever their lengths.
    base = lowest[run]
    excess = np.subtract(values, base, out=np.zeros_like(values), where=values != base)
    means = lowest + np.bincount(run, weights * excess) / np.bincount(run, weights)
    return np.asarray(np.minimum(means, highest))


def merge_intervals(groups: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> Intervals:
    """Join the overlapping and touching intervals of each video; annotation files have both.

    Args:
        groups: (n,) integers, video of each interval.
        starts, stops: (n,) integers, `[start, stop)`, half-open, none empty; in any order.

    Returns:
        groups, starts, stops: (m,) int64 each, covering the same frames, sorted by group, then start; those of one
        video neither overlap nor touch.
    """
    order = np.lexsort((starts, groups))
    return _merge_sorted(groups[order], starts[order], stops[order])[1]


def _merge_sorted(groups: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, Intervals]:
    """Merge rows sorted by group, then start; return the first row of each merged interval, and the intervals."""
    # A cumulative maximum of ranks by (group, stop) restarts at each group, without arithmetic that could overflow.
    by_stop = np.lexsort((stops, groups))
    rank = np.empty(len(groups), dtype=np.int64)
    rank[by_stop] = np.arange(len(groups))
    reached = stops[by_stop][np.maximum.accumulate(rank)]
    begins = np.ones(len(groups), dtype=np.bool_)
    begins[1:] = (groups[1:] != groups[:-1]) | (starts[1:] > reached[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(groups))[: len(first)] - 1
    return first, (groups[first], starts[first], reached[last])
