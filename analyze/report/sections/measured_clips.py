"""The scored test segments of an analysis with their truth, from its files."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.analyze.evaluation.measuring import known_clips
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.report.part import ReportPart


@dataclass(frozen=True, eq=False)
class MeasuredClips:
    """Segments of the labelled test videos, sorted by video and start, with their frame counts.

    `anomalous` and `normal` (n,) int64 count frames. `scores.scores` is NaN if a segment could not be read.
    """

    truth: GroundTruth
    scores: SegmentScores
    anomalous: np.ndarray
    normal: np.ndarray
    threshold: float

    @property
    def known(self) -> ScoredClips:
        """Segments that have a score."""
        return known_clips(self.truth, self.scores)[0]

    @property
    def detected(self) -> np.ndarray:
        """True for segments whose score is above the threshold, (n,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.scores.scores > self.threshold)

    @property
    def false_alarm_costs(self) -> np.ndarray:
        """Cost of false alarms, (n,): normal frames of detected segments times (score - threshold)."""
        return np.where(self.detected, self.normal * (self.scores.scores - self.threshold), 0.0)

    @property
    def miss_costs(self) -> np.ndarray:
        """Cost of misses, (n,): anomalous frames of undetected segments times (threshold - score)."""
        lacking = self.threshold - self.scores.scores
        return np.where(self.detected | np.isnan(lacking), 0.0, self.anomalous * lacking)


COST = (
    "A cost is the area between curve and threshold where the decision is wrong, in frames times score. "
    "For a false alarm it is the sum of score minus threshold over its normal frames; for a miss, the sum "
    "of threshold minus score over the missed frames."
)
"""Definition of the costs, shown with every list that is sorted by them."""


def measured_clips(part: ReportPart) -> MeasuredClips | None:
    """Return the segments of the labelled test videos that have scores; None if there are none."""
    test = part.scores.filter(pc.equal(part.scores["split"], "test"))
    scored = set(pc.unique(test["video_id"]).to_pylist())
    videos = [v for v in part.truth.videos if v.split == "test" and v.video_id in scored and v.label is not None]
    if not videos or any(video.n_frames is None for video in videos):
        return None
    truth = ground_truth(part.truth, videos)
    starts, stops, scores = (test[name].to_numpy() for name in ("start_frame", "stop_frame", "score"))
    laid = SegmentScores.of_videos(truth, test["video_id"].to_pylist(), starts, stops, scores)
    counts = truth.counts(laid.codes, laid.start_frames, laid.stop_frames)
    return MeasuredClips(truth, laid, *counts, part.detector.locator.threshold)
