"""Segments of videos as a locator sees them: anomalous, normal, and what nobody could read (HiProbe-VAD, 4.2.2).

Clips of one kind that touch are one segment, so that the segments of a video cover every frame of its clips once. A
clip without a score is neither anomalous nor normal: it ends the segments at both sides and is a segment of its own
kind, so an event on both sides of a gap is two events, as in `evaluation.events`, whose functions these are.
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

    `groups` name the video, `start_frames` and `stop_frames` are half-open, `kinds` are positions in `KINDS`. `means`
    are scores weighted by frames, `peaks` the highest, `peak_frames` the middle frame of the earliest run of clips that
    has it;
    of an unknown segment they are NaN, NaN and -1.
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
    """Known places of the anomalies of videos: `is_known` (videos,) bool, and merged true intervals by video.

    It is known where a video is labelled normal, and where an anomalous one has intervals; that a video is anomalous
    somewhere tells nothing of a segment.
    """

    is_known: np.ndarray
    intervals: Intervals


def cut_segments(
    scores: np.ndarray, starts: np.ndarray, stops: np.ndarray, groups: np.ndarray, threshold: float
) -> VideoSegments:
    """Cut videos into segments by a threshold on their smoothed scores.

    The anomalous ones are the events of `detect_events` at that threshold, with the same frames, and their mean is its
    confidence.

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
    """Look up where some videos are anomalous; videos that the dataset does not have are unknown.

    Args:
        dataset: with the truth.
        names: the videos in the order of their codes.
        n_frames: (videos,) integers; intervals are cut there.
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
        fractions: (n,) float64 in [0, 1], the share of each segment's frames that are truly anomalous.
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
