"""Measuring one set of scores against one ground truth, at one threshold."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.analyze.evaluation.baselines import trivial_baselines
from vadprobe.analyze.evaluation.bootstrap.bootstrap import bootstrap_videos
from vadprobe.analyze.evaluation.evaluation import INTERVAL_METRICS, BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.events.event_precision import event_map
from vadprobe.analyze.evaluation.events.events import detect_events, join_equal
from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.analyze.evaluation.group_metrics import (
    class_results,
    false_alarm_rate,
    maxima,
    ranking_metrics,
    roc_auc_of_groups,
    video_auc,
)
from vadprobe.analyze.evaluation.metrics import average_precision, f1, roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.errors import VadprobeError

_NAN = float("nan")
_BOOTSTRAP = BootstrapConfig()
_AT_THRESHOLD = ("f1", "false_alarm_rate", "auc_gated", "auc_binary", "ap_gated", "ap_binary", "event_map_mean")


def evaluate_scores(
    truth: GroundTruth,
    scores: SegmentScores,
    threshold: float,
    bootstrap: BootstrapConfig,
    *,
    with_baselines: bool = True,
) -> Evaluation:
    """Measure scores on every frame of a truth's videos.

    Args:
        truth: the videos to measure.
        scores: their segments; NaN scores are left out of every number, and their frames counted.
        threshold: of the decision; NaN for scores without one, which makes all numbers that depend on it NaN.
        bootstrap: settings of the intervals.
        with_baselines: measure the trivial baselines too, which takes most of the time for millions of frames.

    Raises:
        VadprobeError: if a frame of a video is in no segment (a segment with an unknown score is needed too), or a
            segment lies outside of its video.
    """
    known, n_unknown = known_clips(truth, scores)
    _check_cover(truth, scores)
    n_videos = len(truth.video_ids)
    pooled = ranking_metrics(known)
    abnormal = (truth.labels == 1)[known.groups]
    of_videos = roc_auc_of_groups(known, n_videos)
    n_macro = int(np.count_nonzero(~np.isnan(of_videos)))
    intervals, undefined = _bootstrapped(known, abnormal, bootstrap)
    return Evaluation(
        auc=pooled["auc"],
        ap_step=pooled["ap_step"],
        pr_area_trapezoid=pooled["pr_area_trapezoid"],
        auc_abnormal_only=_auc(known.take(abnormal)),
        auc_macro=float(np.nanmean(of_videos)) if n_macro else _NAN,
        n_videos_macro=n_macro,
        video_auc=video_auc(maxima(known.scores, known.groups, n_videos), truth.labels),
        threshold=threshold,
        **_at_threshold(truth, scores, known, threshold),
        classes=class_results(known, truth.labels, truth.categories),
        intervals=intervals,
        undefined=undefined,
        bootstrap=bootstrap,
        n_videos=n_videos,
        n_videos_positive=int(np.count_nonzero(truth.labels == 1)),
        n_frames=int(known.n_frames.sum()),
        n_positive=int(known.positives.sum()),
        n_frames_unknown=n_unknown,
        ground_truth_digest=truth.digest,
        baselines=trivial_baselines(truth) if with_baselines else {},
    )


def known_clips(truth: GroundTruth, scores: SegmentScores) -> tuple[ScoredClips, int]:
    """Return the segments that have frames and a known score, and the number of frames without a score.

    Raises:
        VadprobeError: if a segment lies outside of its video.
    """
    counts = truth.counts(scores.codes, scores.start_frames, scores.stop_frames)
    clips = ScoredClips(scores.scores, *counts, scores.codes)
    known = ~np.isnan(clips.scores) & (clips.n_frames > 0)
    return clips.take(known), int(clips.n_frames[~known].sum())


def _check_cover(truth: GroundTruth, scores: SegmentScores) -> None:
    """Raise `VadprobeError` unless every frame of every video is in a segment."""
    covered = np.zeros(len(truth.video_ids), dtype=np.int64)
    np.add.at(covered, scores.codes, scores.n_frames)
    short = np.flatnonzero(covered != truth.n_frames)
    if len(short):
        first = int(short[0])
        raise VadprobeError(
            f"{len(short)} videos have frames without a score, first {truth.video_ids[first]!r}: {covered[first]} of "
            f"its {truth.n_frames[first]} frames are in a segment. Every frame gets a score, NaN where it is unknown."
        )


def _auc(clips: ScoredClips) -> float:
    return roc_auc(clips.ranking()) if len(clips) else _NAN


def _at_threshold(truth: GroundTruth, scores: SegmentScores, known: ScoredClips, threshold: float) -> dict[str, Any]:
    """Return the numbers of an `Evaluation` that depend on the threshold, by name."""
    if math.isnan(threshold) or len(known) == 0:
        numbers = dict.fromkeys(_AT_THRESHOLD, _NAN)
        n_true = len(truth.interval_codes)
        return {**numbers, "event_map": {}, "n_events_found": 0, "n_events_true": n_true}
    above = known.scores > threshold
    gated = replace(known, scores=np.where(above, known.scores, -np.inf)).ranking()
    binary = replace(known, scores=above).ranking()
    clips = join_equal(scores.scores, scores.start_frames, scores.stop_frames, scores.codes)
    found = detect_events(*clips, threshold)
    events = event_map(found, truth.interval_codes, truth.interval_starts, truth.interval_stops)
    return {
        "f1": f1(known.ranking(), threshold),
        "false_alarm_rate": false_alarm_rate(known, truth.labels, threshold),
        "auc_gated": roc_auc(gated),
        "auc_binary": roc_auc(binary),
        "ap_gated": average_precision(gated),
        "ap_binary": average_precision(binary),
        "event_map": {f"{iou:g}": value for iou, value in events.by_iou.items()},
        "event_map_mean": events.mean,
        "n_events_found": events.n_predicted,
        "n_events_true": events.n_true,
    }


def _bootstrapped(
    known: ScoredClips, abnormal: np.ndarray, config: BootstrapConfig
) -> tuple[dict[str, tuple[float, float]], dict[str, int]]:
    """Return the intervals, and the numbers of resamples that leave a metric undefined, by metric."""
    if config.n_resamples == 0 or len(known) == 0:
        return {}, {}
    generator = np.random.default_rng(config.seed)
    samples = bootstrap_videos(known, n_resamples=config.n_resamples, generator=generator, labels=abnormal)
    intervals = {name: samples.interval(name, config.confidence) for name in INTERVAL_METRICS}
    return intervals, {name: samples.undefined(name) for name in INTERVAL_METRICS}


def video_table(truth: GroundTruth, scores: SegmentScores, threshold: float) -> pa.Table:
    """Return one row per video: its truth, its own metrics, and a summary of its scores."""
    known, _ = known_clips(truth, scores)
    values, codes, frames = known.scores, known.groups, known.n_frames
    n_videos = len(truth.video_ids)
    totals = np.bincount(codes, weights=frames, minlength=n_videos)
    sums = np.bincount(codes, weights=frames * values, minlength=n_videos)
    above = np.bincount(codes, weights=frames * (values > threshold), minlength=n_videos)
    aucs = roc_auc_of_groups(known, n_videos)
    with np.errstate(invalid="ignore", divide="ignore"):
        means, fractions = sums / totals, above / totals
    return pa.table(
        {
            "video_id": list(truth.video_ids),
            "label": truth.labels,
            "category": pa.array(truth.categories, pa.string()),
            "n_frames": truth.n_frames,
            "n_positive": truth.n_positive,
            "n_frames_unknown": truth.n_frames - totals.astype(np.int64),
            "auc": _nulls(aucs),
            "score_maximum": _nulls(maxima(values, codes, n_videos)),
            "score_mean": _nulls(means),
            "share_above_threshold": _nulls(fractions if not math.isnan(threshold) else np.full(n_videos, _NAN)),
        }
    )


def _nulls(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def evaluate(
    dataset: Dataset,
    scores: Mapping[str, np.ndarray],
    threshold: float = _NAN,
    bootstrap: BootstrapConfig = _BOOTSTRAP,
) -> Evaluation:
    """Measure scores of frames against a dataset's truth, every number with its interval and its caveats.

    Args:
        dataset: labels and intervals.
        scores: by video name (frames,), one score per frame; higher is more anomalous, NaN is unknown.
        threshold: scores strictly above it are anomalous; without it F1, false alarms and events are unknown.
        bootstrap: settings of the intervals.

    Raises:
        VadprobeError: if a video is not in the dataset or has no label, or its scores are not one per frame.
    """
    videos = []
    for name, values in scores.items():
        video = dataset.by_id.get(name)
        if video is None:
            raise VadprobeError(f"the scored video {name!r} is not in the dataset {dataset.name!r}; check the names.")
        if np.ndim(values) != 1 or video.n_frames not in (None, len(values)):
            raise VadprobeError(
                f"the scores of {name!r} must be one for each of its {video.n_frames or ''} frames, got the shape "
                f"{np.shape(values)}."
            )
        videos.append(replace(video, n_frames=len(values)))
    truth = ground_truth(dataset, videos)
    names = [name for name, values in scores.items() for _ in range(len(values))]
    starts = np.concatenate([np.arange(len(values)) for values in scores.values()])
    flat = np.concatenate([np.asarray(values, dtype=np.float64) for values in scores.values()])
    return evaluate_scores(truth, SegmentScores.of_videos(truth, names, starts, starts + 1, flat), threshold, bootstrap)
