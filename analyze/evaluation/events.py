"""Temporal detection of anomalous events: predicted intervals that find a true one, whatever its category.

The protocol is that of ActivityNet's detection task (Caba Heilbron et al., CVPR 2015) with one class: the events of all
videos are ranked by confidence, matched greedily to true intervals by temporal IoU, and the ranking gives an average
precision per IoU. Three things to know before comparing numbers:

- The events come from **one** threshold: they are few, and their recall ends where the threshold cut. Published tables
  on UCF-Crime and XD-Violence average over categories and set thresholds per video; the numbers are not comparable.
- A video-level label held flat over the video, however right, is one event per video. It finds an anomaly only if that
  fills at least the fraction ``iou`` of its video, and only one of several: print it beside every result.
- Events of equal confidence are one step of the precision, as everywhere in ``evaluation.metrics``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError

_Intervals = tuple[np.ndarray, np.ndarray, np.ndarray]  # groups, starts, stops, each (n,) int64


@dataclass(frozen=True, eq=False)
class Events:
    """Predicted events of any number of videos, in any order.

    ``groups`` (m,) integers name the video, with the numbers the truth has; ``start_frames`` and ``stop_frames`` (m,)
    integers are ``[start, stop)``, half-open; ``confidences`` (m,) float64 rank the events, higher is surer.

    Raises:
        VadprobeError: if the shapes differ, an interval is empty or not of integers, or a confidence is NaN.
    """

    groups: np.ndarray
    start_frames: np.ndarray
    stop_frames: np.ndarray
    confidences: np.ndarray

    def __post_init__(self) -> None:
        _checked_intervals("event", self.groups, self.start_frames, self.stop_frames)
        _check_numbers("confidences", self.confidences, self.groups)
        unknown = int(np.isnan(self.confidences).sum())
        if unknown:
            raise VadprobeError(
                f"{unknown} of {len(self.confidences)} confidences are NaN; leave these events out, an unknown "
                "confidence has no place in an order."
            )

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class EventPrecision:
    """Average precision at each IoU, their mean (the mAP), and how many events it rests on.

    ``n_predicted`` and ``n_true`` count events after merging. Without any true event every precision is NaN.
    """

    by_iou: Mapping[float, float]
    mean: float
    n_predicted: int
    n_true: int


def detect_events(
    scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, groups: np.ndarray, threshold: float
) -> Events:
    """Find events of many videos: clips scoring strictly above ``threshold``, overlapping and touching ones merged.

    An event's confidence is the mean
    score of its clips weighted by their frames (a frame of two overlapping clips counts in both), always within their
    lowest and highest score; clips of one score give exactly that score.

    Args:
        scores: (n,) smoothed scores. A NaN (unknown) clip is not above and ends an event.
        starts, stops: (n,) integers, clips ``[start, stop)``, half-open, none empty; in any order.
        groups: (n,) integers, video of each clip.
        threshold: a finite number, as a Locator has.

    Returns:
        The events, sorted by group, then start; in one video they neither overlap nor touch. None if nothing is above.

    Raises:
        VadprobeError: if the threshold is not finite, the shapes differ, or a clip is empty or not of integers.
    """
    groups, starts, stops = _checked_intervals("clip", groups, starts, stops)
    scores = np.asarray(scores, dtype=np.float64)
    _check_numbers("scores", scores, groups)
    if not np.isfinite(threshold):
        raise VadprobeError(f"the threshold must be a finite number, got {threshold}.")
    above = np.flatnonzero(scores > threshold)
    # The scores are a sorting key too: sums then add in one order, however the rows came.
    order = above[np.lexsort((scores[above], stops[above], starts[above], groups[above]))]
    scores, groups, starts, stops = scores[order], groups[order], starts[order], stops[order]
    first, merged = _merge_sorted(groups, starts, stops)
    return Events(*merged, _weighted_means(scores, stops - starts, first))


def _weighted_means(values: np.ndarray, weights: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each run of rows; the runs begin at ``first``."""
    if len(first) == 0:
        return np.empty(0)
    run = np.repeat(np.arange(len(first)), np.diff(first, append=len(values)))
    lowest, highest = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    # Measured from the lowest, equal scores have no rounding: events of one score are ties, whatever their lengths.
    base = lowest[run]
    excess = np.subtract(values, base, out=np.zeros_like(values), where=values != base)
    means = lowest + np.bincount(run, weights * excess) / np.bincount(run, weights)
    return np.asarray(np.minimum(means, highest))


def merge_intervals(groups: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> _Intervals:
    """Join the overlapping and touching intervals of each video; annotation files have both.

    Args:
        groups: (n,) integers, video of each interval.
        starts, stops: (n,) integers, ``[start, stop)``, half-open, none empty; in any order.

    Returns:
        groups, starts, stops: (m,) int64 each, covering the same frames, sorted by group, then start; those of one
        video neither overlap nor touch.

    Raises:
        VadprobeError: if the shapes differ, or an interval is empty or not of integers.
    """
    groups, starts, stops = _checked_intervals("interval", groups, starts, stops)
    order = np.lexsort((starts, groups))
    return _merge_sorted(groups[order], starts[order], stops[order])[1]


def _merge_sorted(groups: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, _Intervals]:
    """Merge rows sorted by group, then start: the first row of each merged interval, and the intervals."""
    # A running maximum of ranks by (group, stop) begins anew at each group, without arithmetic that could overflow.
    by_stop = np.lexsort((stops, groups))
    rank = np.empty(len(groups), dtype=np.int64)
    rank[by_stop] = np.arange(len(groups))
    reached = stops[by_stop][np.maximum.accumulate(rank)]
    begins = np.ones(len(groups), dtype=np.bool_)
    begins[1:] = (groups[1:] != groups[:-1]) | (starts[1:] > reached[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(groups))[: len(first)] - 1
    return first, (groups[first], starts[first], reached[last])


def event_average_precision(
    predicted: Events, truth_groups: np.ndarray, truth_starts: np.ndarray, truth_stops: np.ndarray, iou: float
) -> float:
    """Return the average precision of predicted events at one IoU (ActivityNet's protocol, one class).

    The true intervals are merged first (``merge_intervals``). The events of all videos are taken by descending
    confidence; each takes, of its own video's true intervals that no earlier event took and whose IoU with it is
    >= ``iou``, the one of largest IoU (the earliest of equal ones), and is a hit; otherwise it is a false positive. IoU
    is frames in both / frames in either.

    The precision is hits / events among those of at least a confidence. It is made non-increasing from the right (each
    recall gets the best precision at that or a higher recall), and its area over recall is the result (all points, as
    PASCAL VOC since 2010 and ActivityNet): the mean, over k = 1 .. number of true events, of the best precision with at
    least k hits, 0 where there are never k.

    **Ties.** Among equal confidences the lower group, then the earlier start, then the earlier stop is matched first,
    but the precision is read only after the last of them. Read one by one, a list with the anomalous videos first (by
    name, as UCF-Crime's) would put hits before false alarms. So neither the order of the input nor the numbering of the
    videos matters, and with distinct confidences this is ActivityNet's number exactly.

    A lower ``iou`` never lowers the result, and neither does an additional event below all others.

    Args:
        predicted: of the evaluated videos only; an event in a video without truth is a false positive.
        truth_groups: (t,) integers, video of each true interval, numbered as in ``predicted``.
        truth_starts, truth_stops: (t,) integers, ``[start, stop)``, half-open, none empty. Those in frames of unknown
            score count as not found.
        iou: in (0, 1], closed: an IoU of 1/2 reaches 0.5.

    Returns:
        A number in [0, 1]; NaN without any true interval, 0 with truth and no prediction.

    Raises:
        VadprobeError: if ``iou`` is not in (0, 1], the shapes differ, or a true interval is empty or not of integers.
    """
    if not 0 < iou <= 1:
        raise VadprobeError(f"the IoU must be above 0 and at most 1, got {iou}.")
    truth = merge_intervals(truth_groups, truth_starts, truth_stops)
    n_true = len(truth[0])
    if n_true == 0:
        return float("nan")
    if len(predicted) == 0:
        return 0.0
    intervals = _checked_intervals("event", predicted.groups, predicted.start_frames, predicted.stop_frames)
    groups, starts, stops = intervals
    order = np.lexsort((stops, starts, groups, -predicted.confidences))
    hits = _hits((groups[order], starts[order], stops[order]), truth, iou)
    confidences = predicted.confidences[order]
    last_of_tie = np.append(np.flatnonzero(confidences[1:] != confidences[:-1]), len(order) - 1)
    found = np.cumsum(hits)[last_of_tie]
    best_from_here = np.maximum.accumulate((found / (last_of_tie + 1))[::-1])[::-1]
    return float(np.sum(np.diff(found, prepend=0) * best_from_here) / n_true)


def event_map(
    predicted: Events,
    truth_groups: np.ndarray,
    truth_starts: np.ndarray,
    truth_stops: np.ndarray,
    ious: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
) -> EventPrecision:
    """Return ``event_average_precision`` at several IoUs, and their mean: the mAP of one threshold's events.

    Args:
        predicted, truth_groups, truth_starts, truth_stops: as there.
        ious: distinct numbers in (0, 1].

    Raises:
        VadprobeError: as there, or if ``ious`` is empty or names a value twice.
    """
    if len(ious) == 0 or len(set(ious)) < len(ious):
        raise VadprobeError(f"the IoUs must be at least one, and none twice, got {list(ious)}.")
    truth = merge_intervals(truth_groups, truth_starts, truth_stops)
    by_iou = {float(iou): event_average_precision(predicted, *truth, iou) for iou in ious}
    return EventPrecision(by_iou, float(np.mean(list(by_iou.values()))), len(predicted), len(truth[0]))


def _hits(predicted: _Intervals, truth: _Intervals, iou: float) -> np.ndarray:
    """Tell which events, in this order of precedence, take a true interval, (m,) bool."""
    events, candidates = _overlaps(predicted, truth)
    (_, starts, stops), (_, true_starts, true_stops) = predicted, truth
    both = np.minimum(stops[events], true_stops[candidates]) - np.maximum(starts[events], true_starts[candidates])
    either = (stops - starts)[events] + (true_stops - true_starts)[candidates] - both
    # A quotient of integers is rounded once, so 55 of 100 frames reach 0.55; 0.55 * 100 is a little more than 55.
    ratios = both / either
    order = np.lexsort((candidates, -ratios, events))
    order = order[ratios[order] >= iou]
    hits, taken = np.zeros(len(starts), dtype=np.bool_), np.zeros(len(true_starts), dtype=np.bool_)
    # One loop over all videos' candidates: who comes first decides what is left for the next.
    for event, candidate in zip(events[order].tolist(), candidates[order].tolist(), strict=True):
        if not hits[event] and not taken[candidate]:
            hits[event] = taken[candidate] = True
    return hits


def _overlaps(predicted: _Intervals, truth: _Intervals) -> tuple[np.ndarray, np.ndarray]:
    """List all (event, true interval) pairs of one video with a common frame; the truth is merged and sorted."""
    codes = np.unique(np.concatenate([predicted[0], truth[0]]))
    frames = np.unique(np.concatenate([*predicted[1:], *truth[1:]]))

    def key(groups: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return an integer that sorts by group, then frame; of positions in the tables, so it cannot overflow."""
        return np.asarray(np.searchsorted(codes, groups) * len(frames) + np.searchsorted(frames, positions))

    groups, starts, stops = predicted
    true_groups, true_starts, true_stops = truth
    begin = np.searchsorted(key(true_groups, true_stops), key(groups, starts), side="right")
    end = np.searchsorted(key(true_groups, true_starts), key(groups, stops), side="left")
    counts = end - begin
    events = np.repeat(np.arange(len(groups)), counts)
    within = np.arange(len(events)) - np.repeat(np.cumsum(counts) - counts, counts)
    return events, begin[events] + within


def _checked_intervals(noun: str, groups: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> _Intervals:
    arrays = tuple(np.asarray(part) for part in (groups, starts, stops))
    shapes = ", ".join(str(part.shape) for part in arrays)
    if arrays[0].ndim != 1 or len({part.shape for part in arrays}) > 1:
        raise VadprobeError(f"groups, starts and stops must have one number per {noun} each, got the shapes {shapes}.")
    if arrays[0].size and not all(np.issubdtype(part.dtype, np.integer) for part in arrays):
        dtypes = ", ".join(str(part.dtype) for part in arrays)
        raise VadprobeError(
            f"groups, starts and stops must be integers (video numbers and frames), got the dtypes {dtypes}."
        )
    groups, starts, stops = (part.astype(np.int64) for part in arrays)
    empty = np.flatnonzero(stops <= starts)
    if len(empty):
        first = empty[0]
        raise VadprobeError(
            f"{noun} {first} is [{starts[first]}, {stops[first]}), half-open, and has no frame ({len(empty)} of "
            f"{len(starts)} have none); every stop must be above its start. Are the stops of an annotation inclusive?"
        )
    return groups, starts, stops


def _check_numbers(name: str, values: np.ndarray, groups: np.ndarray) -> None:
    if np.shape(values) != np.shape(groups):
        raise VadprobeError(
            f"{name} and groups must have the same shape, got {np.shape(values)} and {np.shape(groups)}."
        )
