"""The evaluation of one set of scores: numbers, intervals, baselines and caveats."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vadprobe.analyze.evaluation.group_metrics import ClassResult
from vadprobe.store.files.text import counted

_NAN = float("nan")
INTERVAL_METRICS = ("auc", "ap_step", "pr_area_trapezoid", "auc_abnormal_only", "auc_macro")
"""Metrics that have an interval."""


@dataclass(frozen=True)
class BootstrapConfig:
    """Number of resamples of the videos (0: no intervals), their seed, and the confidence of the intervals."""

    n_resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class Evaluation:
    """Every number of one method on one ground truth; NaN is unknown.

    Over all known frames, pooled: `auc`, `ap_step` (the primary AP, a step function) and `pr_area_trapezoid` (which
    some works call AP). `auc_abnormal_only` is the AUC on the frames of anomalous videos. `auc_macro` is the mean AUC
    of the `n_videos_macro` videos that have frames of both classes. `video_auc` is the AUC of videos by their highest
    score.

    At `threshold`, where strictly above is anomalous: `f1`; `false_alarm_rate` on frames of normal videos; `auc_gated`
    and `ap_gated`, in which all scores at or below the threshold are equal and lowest; `auc_binary` and `ap_binary` of
    the decision alone, where the AUC is (TPR + TNR) / 2; and `event_map` by IoU with its mean. These APs are step
    functions.

    `intervals` are percentile intervals of a video-clustered bootstrap, and `undefined` counts the resamples with
    frames of one class only. `n_frames_unknown` frames have no score and are in no number.
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
    ap_gated: float
    ap_binary: float
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
        """Return plain JSON values; unknown numbers are null."""
        return null_for_nan(asdict(self))

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Evaluation":
        """Restore an evaluation from `to_json`."""
        numbers = _mapped({field.name: value[field.name] for field in fields(Evaluation)}, _nan_for_none)
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
        """Reasons for unknown numbers, and what a reader must know before comparing."""
        found = list(self.reasons())
        if self.n_frames_unknown:
            found.append(
                f"{counted(self.n_frames_unknown, 'frame')} without a known score, left out of the numbers "
                "of these scores; the baselines are on all frames."
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
        """Yield a sentence for each group of undefined numbers that says why."""
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


def null_for_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for JSON, with None in place of every number that is not finite."""
    return {name: _mapped(part, _finite_or_none) for name, part in values.items()}


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nan_for_none(value: Any) -> Any:
    return _NAN if value is None else value


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every value in nested mappings, lists and tuples; tuples become lists."""
    if isinstance(value, Mapping):
        return {name: _mapped(part, function) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, function) for part in value]
    return function(value)
