"""The locator's grid without a validation split: for every fold of test videos chosen on the other folds (HH12)."""

import numpy as np

from vadprobe.analyze.benchmark import find_overlap, measured, overlap_warning
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.cross_fitted_locator import cross_fitted_grid
from vadprobe.analyze.evaluation import BootstrapConfig
from vadprobe.analyze.experiments.cases import Case, Laboratory, varied
from vadprobe.analyze.experiments.measuring import THRESHOLD_METRICS
from vadprobe.analyze.experiments.rows import Number, Row
from vadprobe.analyze.fitting import fit
from vadprobe.analyze.folds import video_folds
from vadprobe.analyze.ground_truth import ground_truth
from vadprobe.analyze.locating import THRESHOLDS, row_counts
from vadprobe.analyze.segment_scores import segment_scores
from vadprobe.analyze.workbench import raw_scores
from vadprobe.store.errors import VadprobeError

SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0)
FOLDS = 5


def cross_fitted_row(lab: Laboratory, case: Case, label: str, config: AnalysisConfig) -> Row:
    """Numbers of the test videos under the pair that their fold's others chose; one calibration draw.

    Scores are ranked relative to their fold's own threshold, so that the decision is the same as score > 0; of the
    continuous scores (``auc``) each fold has its own smoothing.
    """
    lab.report("", label)
    try:
        return _measured(lab, case, label, config)
    except VadprobeError as error:
        return Row(label, {name: Number() for name in THRESHOLD_METRICS}, reason=str(error))


def _measured(lab: Laboratory, case: Case, label: str, config: AnalysisConfig) -> Row:
    fixed = varied(config, locator={"sigmas": (0.0,), "threshold": 0.5, "split": "validation"})
    inputs = case.inputs(fixed)
    bench = lab.bench(inputs)
    detector = fit(bench).detector
    table = inputs.store.clips
    videos = [video for video in inputs.truth.of_split("test") if video.label is not None]
    rows = table.rows_of(video.video_id for video in videos)
    if len(rows) == 0:
        raise VadprobeError(f"no labelled test video of {inputs.truth.name!r} is in the store; nothing to choose on.")
    scores = raw_scores(bench, inputs.store, detector.selection, detector.probe, rows)
    positives, negatives = row_counts(inputs.truth, table, rows)
    codes = table.video_codes[rows].astype(np.int64)
    label_of = {video.video_id: int(video.label or 0) for video in videos}
    labels = np.array([label_of[table.video_ids[code]] for code in codes])
    folds = video_folds(labels, codes, _n_folds(labels, codes), config.seed)
    found = cross_fitted_grid(scores, positives, negatives, codes, SIGMAS, THRESHOLDS, folds)
    taus = np.array([found.locators[fold].threshold for fold in folds.tolist()])
    truth = ground_truth(inputs.truth, [v for v in videos if table.rows_of([v.video_id]).size])
    names = [table.video_ids[code] for code in codes]
    place = (truth, names, table.start_frames[rows], table.stop_frames[rows])
    settings = BootstrapConfig(config.evaluation.resamples, config.evaluation.seed, config.evaluation.confidence)
    ranked, _ = measured(lab.steps, truth, segment_scores(*place, found.smoothed), float("nan"), settings)
    decided, _ = measured(lab.steps, truth, segment_scores(*place, found.smoothed - taus), 0.0, settings)
    numbers = {name: Number(getattr(decided, name)) for name in THRESHOLD_METRICS if name != "auc"}
    numbers["auc"] = Number(ranked.auc, *ranked.intervals.get("auc", ()))
    pairs = sorted({(locator.sigma, locator.threshold) for locator in found.locators.values()})
    choice = "pairs (sigma, threshold) of the folds: " + ", ".join(f"({sigma:g}, {tau:g})" for sigma, tau in pairs)
    interval = f"{config.evaluation.confidence:.0%} of video resamples of one calibration draw"
    seen = find_overlap(inputs, detector, truth.video_ids)
    caveats = (overlap_warning(seen),) if seen else ()
    return Row(label, numbers, interval if ranked.intervals else "", 1, choice, caveats=caveats)


def _n_folds(labels: np.ndarray, codes: np.ndarray) -> int:
    """Five, or as many as the rarer class has videos."""
    first = np.unique(codes, return_index=True)[1]
    return int(max(2, min(FOLDS, np.bincount(labels[first], minlength=2).min())))
