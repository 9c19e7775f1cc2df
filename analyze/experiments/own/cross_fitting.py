"""The locator's grid without a validation split: each fold of test videos gets the pair chosen on the other folds."""

from dataclasses import dataclass, replace

import numpy as np

from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.fitting import fit
from vadprobe.analyze.detector.locator_fitting import row_counts
from vadprobe.analyze.detector.results.kept_evaluation import measured
from vadprobe.analyze.detector.results.used_videos import (
    find_overlap,
    find_transductive,
    overlap_warning,
    transductive_warning,
)
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.experiments.measuring import THRESHOLD_METRICS, draws_of, over_draws, summarised
from vadprobe.analyze.experiments.rows import Number, Row
from vadprobe.analyze.features.cached_scores import segment_probabilities
from vadprobe.analyze.locator.cross_fitted import cross_fitted_grid
from vadprobe.store.datasets.validation_split import held_out_notes
from vadprobe.store.errors import VadprobeError

SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0)
FOLDS = 5


@dataclass(frozen=True, eq=False)
class _Draw:
    """One calibration draw: its numbers, the evaluation of its continuous scores, its pairs, and its caveats."""

    numbers: dict[str, float]
    ranked: Evaluation
    pairs: frozenset[tuple[float, float]]
    caveats: tuple[str, ...]


def cross_fitted_row(lab: ExperimentContext, case: ExperimentJob, label: str, config: AnalysisConfig) -> Row:
    """Measure the test videos with the pair that was chosen on the other folds, over the calibration draws.

    Gated scores are taken relative to the threshold of their fold, so that a score above 0 is the decision. For
    continuous scores (`auc`, `ap_step`) each fold has its own smoothing.
    """
    fixed = varied(config, locator={"sigmas": (0.0,), "threshold": 0.5, "split": "validation"})
    draws = draws_of(lab, case, fixed)
    found, reasons = over_draws(lab, label, draws, lambda drawn: _measured(lab, case, drawn))
    if not found:
        return Row(label, dict.fromkeys(THRESHOLD_METRICS, Number()), reason=reasons[0])
    pairs = ", ".join(f"({sigma:g}, {tau:g})" for sigma, tau in sorted(found[0].pairs))
    choice = f"pairs (sigma, threshold) of the folds: {pairs}"
    return summarised(label, [(one.numbers, one.caveats) for one in found], found[0].ranked, choice, reasons)


def _measured(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> _Draw:
    inputs = case.inputs(config)
    detector = fit(inputs, config, lab.cache, lab.scheduler).detector
    table = inputs.store.clips
    videos = [video for video in inputs.truth.of_split("test") if video.label is not None]
    rows = table.rows_of(video.video_id for video in videos)
    if len(rows) == 0:
        raise VadprobeError(f"no labelled test video of {inputs.truth.name!r} is in the store; nothing to choose on.")
    scores = segment_probabilities(inputs, detector.selection, detector.probe, rows, lab.cache, lab.scheduler)
    positives, negatives = row_counts(inputs.truth, table, rows)
    codes = table.video_codes[rows].astype(np.int64)
    label_of = {video.video_id: int(video.label or 0) for video in videos}
    labels = np.array([label_of[table.video_ids[code]] for code in codes])
    folds = video_folds(labels, codes, _n_folds(labels, codes), config.seed)
    found = cross_fitted_grid(
        ScoredClips(scores, positives, negatives, codes), SIGMAS, config.locator.grid, folds, config.locator.smoothing
    )
    taus = np.array([found.locators[fold].threshold for fold in folds.tolist()])
    truth = ground_truth(inputs.truth, [video for video in videos if table.rows_of([video.video_id]).size])
    names = [table.video_ids[code] for code in codes]
    place = (truth, names, table.start_frames[rows], table.stop_frames[rows])
    settings = BootstrapConfig(config.evaluation.resamples, config.evaluation.seed, config.evaluation.confidence)
    ranked, _ = measured(lab.cache, truth, SegmentScores.of_videos(*place, found.smoothed), float("nan"), settings)
    without = replace(settings, n_resamples=0)
    decided, _ = measured(lab.cache, truth, SegmentScores.of_videos(*place, found.smoothed - taus), 0.0, without)
    seen = find_overlap(inputs, detector, truth.video_ids, config.allow_overlap)
    unlabelled = find_transductive(inputs, detector, truth.video_ids, config.allow_transductive)
    return _Draw(
        numbers={name: getattr(ranked if name in ("auc", "ap_step") else decided, name) for name in THRESHOLD_METRICS},
        ranked=ranked,
        pairs=frozenset((locator.sigma, locator.threshold) for locator in found.locators.values()),
        caveats=(
            *((overlap_warning(seen),) if seen else ()),
            *((transductive_warning(unlabelled),) if unlabelled else ()),
            *held_out_notes(inputs.truth.name, inputs.truth.held_out),
        ),
    )


def _n_folds(labels: np.ndarray, codes: np.ndarray) -> int:
    """Return the number of folds: five, or the number of videos of the rarer class if that is smaller."""
    first = np.unique(codes, return_index=True)[1]
    return int(max(2, min(FOLDS, np.bincount(labels[first], minlength=2).min())))
