"""Precision of detected events: predicted intervals that match a true one, of any category.

The protocol is that of ActivityNet's detection task (Caba Heilbron et al., CVPR 2015) with one class: the events of all
videos are ranked by confidence, matched greedily to true intervals by temporal IoU, and the ranking gives an average
precision per IoU. Three things to know before comparing numbers:

- The events come from **one** threshold: they are few, and recall ends at that threshold. Published tables on UCF-Crime
  and XD-Violence average over categories and set thresholds per video; the numbers are not comparable.
- The true label of each video, held constant over it, gives one event per video. It finds an anomaly only if that fills
  at least the fraction `iou` of its video, and only one of several: print this baseline beside every result.
- Events of equal confidence are one step of the precision, as everywhere in `evaluation.metrics`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.events.events import Events, Intervals, merge_intervals


@dataclass(frozen=True)
class EventPrecision:
    """Average precision at each IoU, their mean (the mAP), and the numbers of events.

    `n_predicted` and `n_true` count events after merging. Without any true event every precision is NaN.
    """

    by_iou: Mapping[float, float]
    mean: float
    n_predicted: int
    n_true: int


def event_average_precision(
    predicted: Events, truth_groups: np.ndarray, truth_starts: np.ndarray, truth_stops: np.ndarray, iou: float
) -> float:
    """Return the average precision of predicted events at one IoU (ActivityNet's protocol, one class).

    The true intervals are merged first (`merge_intervals`). The events of all videos are processed by descending
    confidence. Each is matched with the true interval of its video that has the largest IoU with it (the earliest of
    equal ones), among those of IoU >= `iou` that no earlier event was matched with, and is a hit. Without such an
    interval it is a false positive. IoU is the number of frames in both, divided by the number in either.

    The precision at a confidence is hits / events among the events of at least that confidence. Each recall gets the
    best precision at that or a higher recall. The area under this curve over recall is the result (all points, as in
    PASCAL VOC since 2010 and ActivityNet). It is the mean, over k = 1 .. number of true events, of the best precision
    with at least k hits, 0 where k hits are never reached.

    **Ties.** Among equal confidences the lower group, then the earlier start, then the earlier stop is matched first,
    but the precision is computed only after the last of them. If it were computed after each, a list with the anomalous
    videos first (by name, as UCF-Crime's) would have hits before false alarms. So neither the order of the input nor
    the numbering of the videos matters. With distinct confidences this is exactly ActivityNet's number.

    A lower `iou` never gives a lower result, and neither does an additional event of lower confidence than all others.

    Args:
        predicted: of the evaluated videos only; an event in a video without truth is a false positive.
        truth_groups: (t,) integers, video of each true interval, numbered as in `predicted`.
        truth_starts, truth_stops: (t,) integers, `[start, stop)`, half-open, none empty. Those in frames of unknown
            score count as not found.
        iou: in (0, 1], closed: an IoU of 1/2 reaches 0.5.

    Returns:
        A number in [0, 1]; NaN without any true interval, 0 with truth and no prediction.
    """
    truth = merge_intervals(truth_groups, truth_starts, truth_stops)
    n_true = len(truth[0])
    if n_true == 0:
        return float("nan")
    if len(predicted) == 0:
        return 0.0
    groups, starts, stops = predicted.groups, predicted.start_frames, predicted.stop_frames
    order = _precedence(predicted)
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
    """Return `event_average_precision` at several IoUs, and their mean: the mAP of one threshold's events.

    Args:
        predicted, truth_groups, truth_starts, truth_stops: as there.
        ious: distinct numbers in (0, 1].
    """
    truth = merge_intervals(truth_groups, truth_starts, truth_stops)
    by_iou = {float(iou): event_average_precision(predicted, *truth, iou) for iou in ious}
    return EventPrecision(by_iou, float(np.mean(list(by_iou.values()))), len(predicted), len(truth[0]))


def event_f1(
    predicted: Events, truth_groups: np.ndarray, truth_starts: np.ndarray, truth_stops: np.ndarray, iou: float
) -> float:
    """Return the F1 of predicted events at one IoU: 2 hits / (events + true events), after the same matching.

    The merged truth, the order of precedence and the hits are those of `event_average_precision`; arguments as there.

    Returns:
        A number in [0, 1], a quotient of integers; NaN without any true interval.
    """
    truth = merge_intervals(truth_groups, truth_starts, truth_stops)
    if len(truth[0]) == 0:
        return float("nan")
    order = _precedence(predicted)
    ranked = (predicted.groups[order], predicted.start_frames[order], predicted.stop_frames[order])
    return float(2 * _hits(ranked, truth, iou).sum() / (len(predicted) + len(truth[0])))


def _precedence(predicted: Events) -> np.ndarray:
    """Return the positions of events in the order of matching: descending confidence, then video, start and stop."""
    keys = (predicted.stop_frames, predicted.start_frames, predicted.groups, -predicted.confidences)
    return np.lexsort(keys)


def _hits(predicted: Intervals, truth: Intervals, iou: float) -> np.ndarray:
    """Return (m,) bool, True for events that are matched with a true interval; events are in the order of matching."""
    found = common_frames(predicted, truth)
    events, candidates, ratios = found.events, found.intervals, found.ious
    order = np.lexsort((candidates, -ratios, events))
    order = order[ratios[order] >= iou]
    hits, taken = (np.zeros(len(side[0]), dtype=np.bool_) for side in (predicted, truth))
    # One loop over the candidates of all videos, since each match removes an interval for later events.
    for event, candidate in zip(events[order].tolist(), candidates[order].tolist(), strict=True):
        if not hits[event] and not taken[candidate]:
            hits[event] = taken[candidate] = True
    return hits


@dataclass(frozen=True, eq=False)
class CommonFrames:
    """Pairs of an event and a true interval of its video with a common frame.

    `events` and `intervals` (p,) are positions. `frames` (p,) int64 counts the common frames, and `ious` (p,) float64
    is this number divided by that of the frames in either.
    """

    events: np.ndarray
    intervals: np.ndarray
    frames: np.ndarray
    ious: np.ndarray


def common_frames(predicted: Intervals, truth: Intervals) -> CommonFrames:
    """Return the overlaps of events with true intervals, which must be merged and sorted by `merge_intervals`."""
    events, candidates = _overlaps(predicted, truth)
    (_, starts, stops), (_, true_starts, true_stops) = predicted, truth
    both = np.minimum(stops[events], true_stops[candidates]) - np.maximum(starts[events], true_starts[candidates])
    either = (stops - starts)[events] + (true_stops - true_starts)[candidates] - both
    # A quotient of integers is rounded once, so 55 of 100 frames reach 0.55, while 0.55 * 100 is a little above 55.
    return CommonFrames(events, candidates, both, both / either)


def _overlaps(predicted: Intervals, truth: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs (event, true interval) of one video with a common frame; the truth is merged and sorted."""
    codes = np.unique(np.concatenate([predicted[0], truth[0]]))
    frames = np.unique(np.concatenate([*predicted[1:], *truth[1:]]))

    def key(groups: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return integers that sort by group, then frame, made of positions in tables so that they cannot overflow."""
        return np.asarray(np.searchsorted(codes, groups) * len(frames) + np.searchsorted(frames, positions))

    groups, starts, stops = predicted
    true_groups, true_starts, true_stops = truth
    begin = np.searchsorted(key(true_groups, true_stops), key(groups, starts), side="right")
    end = np.searchsorted(key(true_groups, true_starts), key(groups, stops), side="left")
    counts = end - begin
    events = np.repeat(np.arange(len(groups)), counts)
    within = np.arange(len(events)) - np.repeat(np.cumsum(counts) - counts, counts)
    return events, begin[events] + within
