"""One row of a comparison: scores of the test videos, measured on all of them and on groups of their kinds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.benchmark import find_overlap, measured, overlap_warning
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.fitting import fit
from vadprobe.analyze.detector.scoring import score
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError

Groups = Mapping[str, Callable[[Video], bool]]
"""Videos of each group by its name; the group ALL has every video."""

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
    """Numbers of one set of scores: an evaluation by group, None where a group has frames of one class.

    `detector` made the scores, None where no detector did; `caveats` are what a reader must know.
    """

    by_group: Mapping[str, Evaluation | None]
    detector: Detector | None = None
    caveats: tuple[str, ...] = ()

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
    inputs = case.inputs(config)
    detector = fit(inputs, config, lab.cache, lab.scheduler).detector
    if target is not None:
        finished = config.model_copy(
            update={
                "detector": "of this run",
                "score_prompt": case.score_prompt,
                "allow_overlap": target.config.allow_overlap,
            }
        )
        inputs = target.inputs(finished, (case.segment,))
    rows = inputs.rows_of_split("test")
    if len(rows) == 0:
        raise VadprobeError(f"no test video of {inputs.truth.name!r} is in the store; nothing to score.")
    scores = score(inputs, detector, rows, lab.cache, lab.scheduler)
    table = scores.table
    names = [table.video_ids[code] for code in table.video_codes[rows]]
    seen = find_overlap(inputs, detector, sorted(set(names)), config.allow_overlap)
    segments = Segments(names, table.start_frames[rows], table.stop_frames[rows], scores.smoothed)
    found = measure_segments(lab, inputs.truth, segments, groups, config)
    return Measured(found, detector, (overlap_warning(seen),) if seen else ())


def measure_segments(
    lab: ExperimentContext, truth: Dataset, segments: Segments, groups: Groups, config: AnalysisConfig
) -> dict[str, Evaluation | None]:
    """Measure scores on the labelled test videos that have them, for every group."""
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
        laid = SegmentScores.of_videos(
            frames, segments.video_ids, segments.start_frames, segments.stop_frames, segments.scores
        )
        found[name], _ = measured(lab.cache, frames, laid, math.nan, settings)
    return found


def groups_of(named: Sequence[str]) -> Groups:
    """Return all videos; normal ones with those of the named kinds; normal ones with those of the others."""
    return {
        ALL: lambda video: True,
        NAMED: lambda video: video.label == 0 or video.category in named,
        UNNAMED: lambda video: video.label == 0 or video.category not in named,
    }
