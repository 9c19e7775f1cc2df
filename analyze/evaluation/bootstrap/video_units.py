"""Scored clips of videos, checked and sorted once for all resamples of videos."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import check_rankable
from vadprobe.analyze.evaluation.scored_clips import ScoredClips


@dataclass(frozen=True, eq=False)
class VideoUnits:
    """Units with frames, by descending score, and their videos by ascending code.

    Attributes:
        level: (n,) number of the unit's distinct score, counted from 0 for the highest.
        video: (n,) index of the unit's video.
        positives, negatives: (n,) numbers of the unit's frames.
        video_positives, video_negatives: (videos,) numbers of the video's frames; videos without frames are included.
        abnormal: (videos,) bool.
    """

    level: np.ndarray
    video: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    video_positives: np.ndarray
    video_negatives: np.ndarray
    abnormal: np.ndarray

    @property
    def n_videos(self) -> int:
        """Number of videos that can be drawn."""
        return len(self.abnormal)

    def steps(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the levels with a positive frame, called steps: only there recall and the number of pairs grow.

        Returns:
            `step` (n,), the number of steps strictly above each unit; `on_step` (n,) bool, True if the unit's own level
            is a step, whose number then is `step`; and the number of steps.
        """
        has_positive = np.bincount(self.level, weights=self.positives) > 0
        above = np.cumsum(has_positive)
        n_steps = int(above[-1])
        return (above - has_positive)[self.level], has_positive[self.level], n_steps


def sort_units(clips: ScoredClips, labels: np.ndarray | None) -> VideoUnits:
    """Check the clips and sort them.

    Args:
        clips: in any order.
        labels: (n,) bool or 0/1, 1 if the clip's video is abnormal. None: abnormal videos are those with at least one
            positive frame.

    Raises:
        VadprobeError: as `metrics.rank`.
    """
    scores, positives, negatives = clips.scores, clips.positives, clips.negatives
    check_rankable(scores, positives, negatives)
    codes, video = _numbered(clips.groups)
    positive, negative = (np.bincount(video, weights=part, minlength=len(codes)) for part in (positives, negatives))
    abnormal = positive > 0 if labels is None else np.bincount(video, weights=labels, minlength=len(codes)) > 0
    order = np.argsort(-scores)
    seen = positives + negatives > 0
    if not seen.all():
        order = order[seen[order]]
    ordered = scores[order]
    level = np.zeros(len(order), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=level[1:])
    return VideoUnits(level, video[order], positives[order], negatives[order], positive, negative, abnormal)


def _numbered(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct codes, ascending, and each clip's index into them; fast if clips of a video are adjacent."""
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    codes, numbers = np.unique(groups[starts], return_inverse=True)
    return codes, np.repeat(numbers.astype(np.int32), np.diff(starts, append=len(groups)))
