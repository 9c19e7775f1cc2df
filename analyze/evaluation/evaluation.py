"""One set of scores against one ground truth: every number, its interval, and what it has to beat."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.analyze.evaluation.baselines import trivial_baselines
from vadprobe.analyze.evaluation.bootstrap.bootstrap import bootstrap_videos
from vadprobe.analyze.evaluation.events import detect_events, event_map
from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.group_metrics import (
    ClassResult,
    class_results,
    false_alarm_rate,
    maxima,
    roc_auc_of_groups,
    video_auc,
)
from vadprobe.analyze.evaluation.metrics import Ranking, average_precision, f1, precision_recall_area, rank, roc_auc
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.errors import VadprobeError

_NAN = float("nan")
INTERVAL_METRICS = ("auc", "ap_step", "pr_area_trapezoid", "auc_abnormal_only", "auc_macro")


@dataclass(frozen=True)
class BootstrapConfig:
    """How often videos are drawn anew (0: no intervals), the seed, and the confidence of the intervals."""

    n_resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class Evaluation:
    """Every number of one method on one ground truth; NaN is unknown.

    Over all known frames, pooled: ``auc``, ``ap_step`` (the primary AP), ``pr_area_trapezoid`` (what others call AP).
    ``auc_abnormal_only`` is on the frames of anomalous videos, ``auc_macro`` the mean AUC of the ``n_videos_macro``
    videos that have frames of both classes, ``video_auc`` tells videos apart by their highest score. At ``threshold``
    (strictly above is anomalous): ``f1``, ``false_alarm_rate`` on normal videos, ``auc_gated`` (scores at or below it
    are the lowest), ``auc_binary`` (the decision alone, (TPR + TNR) / 2), ``event_map`` by IoU and its mean.
    ``intervals`` are percentile intervals of a video-clustered bootstrap, ``undefined`` the resamples that had frames
    of one class only. ``n_frames_unknown`` frames have no score and are in no number.
    """

    auc: float
    ap_step: float
    pr_area_trapezoid: float
    auc_abnormal_only: float
    auc_macro: float
    n_videos_macro: int
    video_auc: float
    threshold: float
    f1: float
    false_alarm_rate: float
    auc_gated: float
    auc_binary: float
    event_map: dict[str, float]
    event_map_mean: float
    n_events_found: int
    n_events_true: int
    classes: dict[str, ClassResult]
    intervals: dict[str, tuple[float, float]]
    undefined: dict[str, int]
    bootstrap: BootstrapConfig
    n_videos: int
    n_videos_positive: int
    n_frames: int
    n_positive: int
    n_frames_unknown: int
    ground_truth_digest: str
    baselines: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; unknown numbers are null."""
        value = null_for_nan(asdict(self))
        assert isinstance(value, dict)
        return value

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Evaluation":
        """The inverse of ``to_json``."""
        numbers = {field.name: _nan_for_null(value[field.name]) for field in fields(Evaluation)}
        return Evaluation(
            **{
                **numbers,
                "classes": {name: ClassResult(**part) for name, part in numbers["classes"].items()},
                "intervals": {name: tuple(ends) for name, ends in numbers["intervals"].items()},
                "bootstrap": BootstrapConfig(**numbers["bootstrap"]),
            }
        )

    @property
    def caveats(self) -> tuple[str, ...]:
        """Why numbers are unknown, and what a reader must know before comparing them."""
        found = list(self.reasons())
        if self.n_frames_unknown:
            found.append(
                f"{self.n_frames_unknown} frames have no known score and are in no number of these scores; the "
                "baselines are on all frames."
            )
        for name, count in self.undefined.items():
            if count and not math.isnan(getattr(self, name)):
                found.append(f"{count} of {self.bootstrap.n_resamples} resamples leave {name} undefined.")
        beaten = {name: values["auc_macro"] for name, values in self.baselines.items() if name != "random"}
        best = max((value for value in beaten.values() if not math.isnan(value)), default=_NAN)
        if self.auc_macro <= best:
            name = next(name for name, value in beaten.items() if value == best)
            found.append(
                f"The macro AUC ({self.auc_macro:.4f}) does not beat the baseline {name!r} ({best:.4f}), which "
                "looks at no picture: nothing shows that these scores localise anomalies within videos."
            )
        return tuple(found)

    def reasons(self) -> Iterator[str]:
        """Why numbers are not defined."""
        if self.n_frames == 0:
            yield "No frame has a known score, so no number is defined."
            return
        if math.isnan(self.auc):
            kind = "normal" if self.n_positive == 0 else "anomalous"
            yield f"All {self.n_frames} known frames are {kind}, so no ranking metric is defined, and no F1."
        elif math.isnan(self.auc_abnormal_only):
            yield "All known frames of abnormal videos are anomalous, so their AUC alone is not defined."
        if self.n_videos_macro == 0:
            yield "No video has frames of both classes, so the macro AUC is not defined."
        if math.isnan(self.video_auc):
            yield "The videos with known scores are all normal or all abnormal, so the video AUC is not defined."
        if math.isnan(self.threshold):
            yield "No threshold was given, so F1, false alarms and events are not defined."
            return
        if math.isnan(self.false_alarm_rate):
            yield "No normal video has a known score, so the false alarm rate is not defined."
        if math.isnan(self.event_map_mean):
            yield "There is no true event, so the precision of events is not defined."


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
        truth: the videos measured.
        scores: their segments; NaN scores are left out of every number and counted.
        threshold: of the decision; NaN where none makes sense, then what depends on it is NaN.
        bootstrap: of the intervals.
        with_baselines: measure the trivial baselines too, which takes most of the time for millions of frames.

    Raises:
        VadprobeError: if a frame of a video has no segment (unknown scores need one too), or a segment lies outside.
    """
    positives, negatives = truth.counts(scores.codes, scores.start_frames, scores.stop_frames)
    _check_cover(truth, scores)
    known = ~np.isnan(scores.scores) & (scores.n_frames > 0)
    values, codes = scores.scores[known], scores.codes[known]
    positive, negative = positives[known], negatives[known]
    n_videos = len(truth.video_ids)
    ranking = rank(values, positive, negative) if len(values) else None
    abnormal = (truth.labels == 1)[codes]
    of_videos = roc_auc_of_groups(values, positive, negative, codes, n_videos)
    n_macro = int(np.count_nonzero(~np.isnan(of_videos)))
    samples = _bootstrapped((values, positive, negative, codes), abnormal, bootstrap)
    return Evaluation(
        auc=_of(ranking, roc_auc),
        ap_step=_of(ranking, average_precision),
        pr_area_trapezoid=_of(ranking, precision_recall_area),
        auc_abnormal_only=_auc(values[abnormal], positive[abnormal], negative[abnormal]),
        auc_macro=float(np.nanmean(of_videos)) if n_macro else _NAN,
        n_videos_macro=n_macro,
        video_auc=video_auc(maxima(values, codes, n_videos), truth.labels),
        threshold=threshold,
        **_at_threshold(truth, scores, (values, positive, negative, codes), threshold, ranking),
        classes=class_results(values, positive, negative, codes, truth.labels, truth.categories),
        intervals=samples[0],
        undefined=samples[1],
        bootstrap=bootstrap,
        n_videos=n_videos,
        n_videos_positive=int(np.count_nonzero(truth.labels == 1)),
        n_frames=int(positive.sum() + negative.sum()),
        n_positive=int(positive.sum()),
        n_frames_unknown=int((positives + negatives)[~known].sum()),
        ground_truth_digest=truth.digest,
        baselines=trivial_baselines(truth) if with_baselines else {},
    )


def _check_cover(truth: GroundTruth, scores: SegmentScores) -> None:
    covered = np.zeros(len(truth.video_ids), dtype=np.int64)
    np.add.at(covered, scores.codes, scores.n_frames)
    short = np.flatnonzero(covered != truth.n_frames)
    if len(short):
        first = int(short[0])
        raise VadprobeError(
            f"{len(short)} videos have frames without a score, first {truth.video_ids[first]!r}: {covered[first]} of "
            f"its {truth.n_frames[first]} frames are in a segment. Every frame gets a score, NaN where it is unknown."
        )


def _of(ranking: Ranking | None, metric: Any) -> float:
    return float(metric(ranking)) if ranking is not None else _NAN


def _auc(values: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> float:
    return roc_auc(rank(values, positives, negatives)) if len(values) else _NAN


def _at_threshold(
    truth: GroundTruth,
    scores: SegmentScores,
    known: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    threshold: float,
    ranking: Ranking | None,
) -> dict[str, Any]:
    values, positive, negative, codes = known
    if math.isnan(threshold) or ranking is None:
        numbers = dict.fromkeys(("f1", "false_alarm_rate", "auc_gated", "auc_binary", "event_map_mean"), _NAN)
        n_true = len(truth.interval_codes)
        return {**numbers, "event_map": {}, "n_events_found": 0, "n_events_true": n_true}
    above = values > threshold
    found = detect_events(*_runs(scores), threshold)
    events = event_map(found, truth.interval_codes, truth.interval_starts, truth.interval_stops)
    return {
        "f1": f1(ranking, threshold),
        "false_alarm_rate": false_alarm_rate(values, positive + negative, codes, truth.labels, threshold),
        "auc_gated": _auc(np.where(above, values, -np.inf), positive, negative),
        "auc_binary": _auc(above.astype(np.float64), positive, negative),
        "event_map": {f"{iou:g}": value for iou, value in events.by_iou.items()},
        "event_map_mean": events.mean,
        "n_events_found": events.n_predicted,
        "n_events_true": events.n_true,
    }


def _runs(scores: SegmentScores) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores, starts, stops and videos of frames in a row of one score: the cut decides no last bit of a confidence.

    The segments cover every frame, so those that follow each other in a video touch.
    """
    some = scores.n_frames > 0
    values, codes = scores.scores[some], scores.codes[some]
    first = np.flatnonzero(np.concatenate([[True], (values[1:] != values[:-1]) | (codes[1:] != codes[:-1])]))
    last = np.append(first[1:], len(values)) - 1
    return values[first], scores.start_frames[some][first], scores.stop_frames[some][last], codes[first]


def _bootstrapped(
    known: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], abnormal: np.ndarray, config: BootstrapConfig
) -> tuple[dict[str, tuple[float, float]], dict[str, int]]:
    if config.n_resamples == 0 or len(abnormal) == 0:
        return {}, {}
    generator = np.random.default_rng(config.seed)
    samples = bootstrap_videos(*known, n_resamples=config.n_resamples, generator=generator, labels=abnormal)
    intervals = {name: samples.interval(name, config.confidence) for name in INTERVAL_METRICS}
    return intervals, {name: samples.undefined(name) for name in INTERVAL_METRICS}


def video_table(truth: GroundTruth, scores: SegmentScores, threshold: float) -> pa.Table:
    """One row per video: its truth, its own metrics, and what its scores are like."""
    positives, negatives = truth.counts(scores.codes, scores.start_frames, scores.stop_frames)
    known = ~np.isnan(scores.scores) & (scores.n_frames > 0)
    values, codes, frames = scores.scores[known], scores.codes[known], scores.n_frames[known]
    n_videos = len(truth.video_ids)
    totals = np.bincount(codes, weights=frames, minlength=n_videos)
    sums = np.bincount(codes, weights=frames * values, minlength=n_videos)
    above = np.bincount(codes, weights=frames * (values > threshold), minlength=n_videos)
    aucs = roc_auc_of_groups(values, positives[known], negatives[known], codes, n_videos)
    with np.errstate(invalid="ignore", divide="ignore"):
        means, shares = sums / totals, above / totals
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
            "share_above_threshold": _nulls(shares if not math.isnan(threshold) else np.full(n_videos, _NAN)),
        }
    )


def _nulls(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def null_for_nan(value: Any) -> Any:
    """A JSON-ready value with None in place of every number that is not finite."""
    if isinstance(value, Mapping):
        return {name: null_for_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nan_for_null(value: Any) -> Any:
    """The inverse of ``null_for_nan`` for values that are numbers."""
    if isinstance(value, Mapping):
        return {name: _nan_for_null(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_nan_for_null(part) for part in value]
    return _NAN if value is None else value
