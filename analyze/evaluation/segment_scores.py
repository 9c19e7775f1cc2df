"""Scores of segments of videos: the form in which the scores of every method are evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True, eq=False)
class SegmentScores:
    """One score per segment, sorted by video and start; the segments of a video do not overlap.

    `codes` (n,) int64 are indices into the videos of a `GroundTruth`. `start_frames` and `stop_frames` (n,) int64 are
    half-open. `scores` (n,) float64 are higher for more anomalous segments; NaN is unknown.
    """

    codes: np.ndarray
    start_frames: np.ndarray
    stop_frames: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        same_video = self.codes[1:] == self.codes[:-1]
        if np.any(self.codes[1:] < self.codes[:-1]) or np.any(
            same_video & (self.start_frames[1:] < self.stop_frames[:-1])
        ):
            raise VadprobeError("segments must be sorted by video and start, without overlap: a frame has one score.")

    @classmethod
    def of_videos(
        cls, truth: GroundTruth, video_ids: Sequence[str], starts: np.ndarray, stops: np.ndarray, scores: np.ndarray
    ) -> "SegmentScores":
        """Return the sorted segments of a truth's videos; segments of other videos are left out.

        Args:
            truth: its videos give the codes.
            video_ids: (n,) name of each segment's video.
            starts, stops: (n,) half-open frames.
            scores: (n,) NaN is unknown.
        """
        code_of = {name: code for code, name in enumerate(truth.video_ids)}
        codes = np.array([code_of.get(name, -1) for name in video_ids], dtype=np.int64)
        order = np.lexsort((starts, codes))
        order = order[codes[order] >= 0]
        return cls(
            codes[order],
            np.asarray(starts, dtype=np.int64)[order],
            np.asarray(stops, dtype=np.int64)[order],
            np.asarray(scores, dtype=np.float64)[order],
        )

    @property
    def n_frames(self) -> np.ndarray:
        """Number of frames of each segment, (n,)."""
        return np.asarray(self.stop_frames - self.start_frames)
