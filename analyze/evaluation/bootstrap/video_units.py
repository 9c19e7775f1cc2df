"""Scored clips of videos, checked and sorted once, shared by all resamples of videos."""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.metrics import check_rankable
from vadprobe.analyze.evaluation.scored_clips import ScoredClips


@dataclass(frozen=True, eq=False)
class VideoUnits:
    """Units with frames, highest score first, and their videos in ascending order of the code.

    Of each unit, (n,): `level`, the number of its distinct score from 0; `video`; `positives` and `negatives`,
    frames. Of each video, (videos,): `video_positives` and `video_negatives`, frames; `abnormal`, bool. Videos
    whose units are without frames are among them.
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
        """Place units among the levels with a positive frame: only there do recall and the number of pairs grow.

        Returns:
            `step` (n,), the number of such levels strictly above each unit; `on_step` (n,) bool, true where the
            unit's own level is one, number `step` then; and the number of such levels.
        """
        has_positive = np.bincount(self.level, weights=self.positives) > 0
        above = np.cumsum(has_positive)
        n_steps = int(above[-1])
        return (above - has_positive)[self.level], has_positive[self.level], n_steps


def sort_units(clips: ScoredClips, labels: np.ndarray | None) -> VideoUnits:
    """Check the clips and sort them.

    Args:
        clips: in any order.
        labels: (n,) bool or 0/1, 1 where the clip's video is abnormal. None: abnormal videos are those with at least
            one positive frame.

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
    """Return ascending codes, and each clip's number among them; clips of a video mostly lie together."""
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    codes, numbers = np.unique(groups[starts], return_inverse=True)
    return codes, np.repeat(numbers.astype(np.int32), np.diff(starts, append=len(groups)))
