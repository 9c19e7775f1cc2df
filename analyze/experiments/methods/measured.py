"""Numbers of a comparison's row: scores measured on all test videos, and on groups of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.results.kept_evaluation import measured
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.analyze.evaluation.measuring import known_clips
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import fit_and_score
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.validation_split import held_out_notes
from vadprobe.store.datasets.video import Video

Groups = Mapping[str, Callable[[Video], bool]]
"""Function by group's name that is True for videos of the group; the group ALL has every video."""

ALL, NAMED, UNNAMED = "", "named", "unnamed"


@dataclass(frozen=True, eq=False)
class Segments:
    """Scores (n,) of half-open frames `[start_frames, stop_frames)` (n,) of named videos."""

    video_ids: Sequence[str]
    start_frames: np.ndarray
    stop_frames: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Measured:
    """Numbers of one set of scores: an evaluation by group, None for a group with frames of one class.

    `detector` computed the scores; None if no detector did. `caveats` are what a reader must know. `clips` are the
    scored segments of all videos with their frame counts, for paired comparisons by video.
    """

    by_group: Mapping[str, Evaluation | None]
    detector: Detector | None = None
    caveats: tuple[str, ...] = ()
    clips: ScoredClips | None = None

    @property
    def auc(self) -> float:
        """AUC over all videos; NaN where it is unknown."""
        found = self.by_group[ALL]
        return math.nan if found is None else found.auc


def fit_and_measure(
    lab: ExperimentContext,
    case: ExperimentJob,
    config: AnalysisConfig,
    groups: Groups,
    target: ExperimentJob | None = None,
) -> Measured:
    """Fit a variation of a job and measure it on the job's test videos, or on those of `target`.

    Raises:
        VadprobeError: if the variation cannot be fitted, or a store is missing.
    """
    scored = fit_and_score(lab, case, config, target=target)
    result = scored.result(lab.cache)
    table, rows = scored.scores.table, scored.scores.rows
    names = [table.video_ids[code] for code in table.video_codes[rows]]
    segments = Segments(names, table.start_frames[rows], table.stop_frames[rows], scored.scores.smoothed)
    # At the detector's threshold, the evaluation of all videos is that of `result`, which is kept.
    threshold = scored.detector.locator.threshold
    found = measure_segments(lab, scored.inputs.truth, segments, groups, config, threshold)
    return replace(found, detector=scored.detector, caveats=(*result.warnings, *found.caveats))


def measure_segments(
    lab: ExperimentContext,
    truth: Dataset,
    segments: Segments,
    groups: Groups,
    config: AnalysisConfig,
    threshold: float = math.nan,
) -> Measured:
    """Measure scores on the labelled test videos that have scores, for every group."""
    scored = set(segments.video_ids)
    videos = [video for video in truth.of_split("test") if video.label is not None and video.video_id in scored]
    settings = BootstrapConfig(config.evaluation.resamples, config.evaluation.seed, config.evaluation.confidence)
    found: dict[str, Evaluation | None] = {}
    for name, belongs in groups.items():
        chosen = [video for video in videos if belongs(video)]
        if len({video.label for video in chosen}) < 2:
            found[name] = None
            continue
        frames = ground_truth(truth, chosen)
        found[name], _ = measured(lab.cache, frames, _laid(frames, segments), threshold, settings)
    frames = ground_truth(truth, videos)
    notes = held_out_notes(truth.name, truth.held_out)
    return Measured(found, caveats=notes, clips=known_clips(frames, _laid(frames, segments))[0])


def _laid(truth: GroundTruth, segments: Segments) -> SegmentScores:
    return SegmentScores.of_videos(
        truth, segments.video_ids, segments.start_frames, segments.stop_frames, segments.scores
    )


def groups_of(named: Sequence[str]) -> Groups:
    """Return three groups: all videos; normal and anomalous videos of the named kinds; normal and all other videos."""
    return {
        ALL: lambda video: True,
        NAMED: lambda video: video.label == 0 or video.category in named,
        UNNAMED: lambda video: video.label == 0 or video.category not in named,
    }
