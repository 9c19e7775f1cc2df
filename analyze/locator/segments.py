"""Detected segments of videos by a threshold: anomalous, normal and unknown ones (HiProbe-VAD, 4.2.2).

Touching clips of one kind are one segment, so the segments of a video cover every frame of its clips once. A clip
without a score is of the kind unknown and ends the segments on both sides. So an event on both sides of such a gap
counts as two events, as in `evaluation.events`, whose functions are used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.events.event_precision import common_frames
from vadprobe.analyze.evaluation.events.events import Intervals, MergedClips, join_equal, merge_clips, merge_intervals
from vadprobe.store.datasets.dataset import Dataset

KINDS = ("anomalous", "normal", "unknown")
"""Kinds of a segment: scores strictly above the threshold, at or below it, without a score."""

ANOMALOUS, NORMAL, UNKNOWN = range(3)


@dataclass(frozen=True, eq=False)
class VideoSegments:
    """Segments of any number of videos, (n,) each, sorted by video and start.

    Attributes:
        groups: video code of each segment.
        start_frames, stop_frames: first frame, and the frame after the last.
        kinds: index into `KINDS`.
        means: mean score weighted by frames; NaN for an unknown segment.
        peaks: highest score; NaN for an unknown segment.
        peak_frames: middle frame of the earliest run of clips with the highest score; -1 for an unknown segment.
    """

    groups: np.ndarray
    start_frames: np.ndarray
    stop_frames: np.ndarray
    kinds: np.ndarray
    means: np.ndarray
    peaks: np.ndarray
    peak_frames: np.ndarray

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def intervals(self) -> Intervals:
        """Groups, starts and stops."""
        return self.groups, self.start_frames, self.stop_frames


@dataclass(frozen=True, eq=False)
class LocatedTruth:
    """Known anomalies of videos: `is_known` (videos,) bool, and merged true intervals of each video.

    They are known for a video that is labelled normal, and for an anomalous one with intervals. An anomalous label
    without intervals says nothing about a segment.
    """

    is_known: np.ndarray
    intervals: Intervals


def cut_segments(
    scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, groups: np.ndarray, threshold: float
) -> VideoSegments:
    """Cut videos into segments by a threshold on their smoothed scores.

    The anomalous segments have the frames of the events that `detect_events` finds at this threshold, and their mean is
    the confidence of the event.

    Args:
        scores: (n,) float64; NaN is unknown.
        starts, stops: (n,) integers, half-open frames of each clip; the clips of a video in order, without overlap.
        groups: (n,) integers, video of each clip.
        threshold: a finite number; a score equal to it is normal.
    """
    clips = join_equal(scores, starts, stops, groups)
    values = clips[0]
    masks = (values > threshold, values <= threshold, np.isnan(values))
    parts = [_of_kind(merge_clips(*clips, mask), clips, kind) for kind, mask in enumerate(masks)]
    joined = VideoSegments(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    order = np.lexsort((joined.start_frames, joined.groups))
    return VideoSegments(*(getattr(joined, name)[order] for name in VideoSegments.__dataclass_fields__))


def _of_kind(merged: MergedClips, clips: tuple[np.ndarray, ...], kind: int) -> tuple[np.ndarray, ...]:
    """Return the columns of the segments of one kind."""
    events = merged.events
    peaks, frames = np.full(len(events), np.nan), np.full(len(events), -1, dtype=np.int64)
    if kind != UNKNOWN and len(events):
        scores, starts, stops = (column[merged.order] for column in clips[:3])
        peaks = np.maximum.reduceat(scores, merged.first)
        of_clip = np.repeat(np.arange(len(events)), np.diff(merged.first, append=len(scores)))
        highest = np.flatnonzero(scores == peaks[of_clip])
        earliest = highest[np.unique(of_clip[highest], return_index=True)[1]]
        frames = (starts[earliest] + stops[earliest]) // 2
    kinds = np.full(len(events), kind, dtype=np.int64)
    return events.groups, events.start_frames, events.stop_frames, kinds, events.confidences, peaks, frames


def located_truth(dataset: Dataset, names: Sequence[str], n_frames: np.ndarray) -> LocatedTruth:
    """Return the known anomalies of some videos; videos that the dataset lacks are unknown.

    Args:
        dataset: with the truth.
        names: the videos in the order of their codes.
        n_frames: (videos,) integers; intervals are cut at the end of each video.
    """
    known = np.zeros(len(names), dtype=bool)
    rows = []
    for code, name in enumerate(names):
        video, intervals = dataset.by_id.get(name), dataset.intervals_of(name)
        known[code] = video is not None and (video.label == 0 or (video.label == 1 and len(intervals) > 0))
        cut = ((i.start_frame, min(i.stop_frame, int(n_frames[code]))) for i in intervals)
        rows += [(code, start, stop) for start, stop in cut if start < stop]
    return LocatedTruth(known, merge_intervals(*np.array(rows, dtype=np.int64).reshape(-1, 3).T))


def overlap_with_truth(segments: VideoSegments, truth: LocatedTruth) -> tuple[np.ndarray, np.ndarray]:
    """Compare segments with the true intervals.

    Returns:
        fractions: (n,) float64 in [0, 1], the fraction of each segment's frames that are truly anomalous.
        ious: (n,) float64 in [0, 1], the greatest IoU (common frames over frames in either) of an anomalous segment
            with a true interval; NaN for other kinds. Both are NaN where the truth is unknown.
    """
    pairs = common_frames(segments.intervals, truth.intervals)
    common = np.bincount(pairs.events, weights=pairs.frames, minlength=len(segments))
    fractions = common / (segments.stop_frames - segments.start_frames)
    ious = np.zeros(len(segments))
    np.maximum.at(ious, pairs.events, pairs.ious)
    unknown = ~truth.is_known[segments.groups]
    fractions[unknown] = np.nan
    ious[unknown | (segments.kinds != ANOMALOUS)] = np.nan
    return fractions, ious
