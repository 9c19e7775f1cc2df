"""An evaluation as lines of text: numbers, intervals, baselines, other readings of the truth, and caveats."""

import math
from collections.abc import Mapping, Sequence

from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.report.published_results import PUBLISHED
from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION

_COLUMNS = (
    ("auc", "AUC"),
    ("ap_step", "AP (step)"),
    ("pr_area_trapezoid", "PR area"),
    ("auc_abnormal_only", "AUC abn."),
    ("auc_macro", "macro AUC"),
)
BASELINE_NAMES = {
    "video_flat": "true video label, flat",
    "shorter": "shorter video",
    "centre": "centre prior",
    "random": "random",
}
_WIDTH = 34
_WIDTH_READINGS = 42


def evaluation_lines(evaluation: Evaluation, title: str) -> list[str]:
    """Format the numbers with their intervals and baselines, then threshold metrics, classes and caveats."""
    e = evaluation
    lines = [
        f"{title}: {e.n_videos} videos ({e.n_videos_positive} anomalous), {e.n_frames} frames, {e.n_positive} of "
        "them anomalous",
        f"ground truth {e.ground_truth_digest[:16]}",
        "",
        " " * _WIDTH + "".join(f"{heading:>11}" for _, heading in _COLUMNS),
        _row("these scores", {name: getattr(e, name) for name, _ in _COLUMNS}),
    ]
    for place, label in ((0, "from"), (1, "to")):
        if e.intervals:
            ends = {name: e.intervals[name][place] for name, _ in _COLUMNS}
            lines.append(_row(f"  {e.bootstrap.confidence:.0%} of video resamples, {label}", ends))
    lines += [_row(f"  baseline: {BASELINE_NAMES.get(n, n)}", values) for n, values in e.baselines.items()]
    lines += ["", f"AUC of whole videos by their highest score: {number(e.video_auc)}"]
    if not math.isnan(e.threshold):
        events = ", ".join(f"{iou}: {number(value)}" for iou, value in e.event_map.items())
        lines += [
            f"above {e.threshold:g}: F1 {number(e.f1)}, false alarms on normal videos {number(e.false_alarm_rate)}, "
            f"AUC gated {number(e.auc_gated)}, binary {number(e.auc_binary)}",
            f"events above {e.threshold:g}: {e.n_events_found} found, {e.n_events_true} true, mAP "
            f"{number(e.event_map_mean)} (by IoU {events})",
        ]
    lines += ["", *_class_lines(e)] if len(e.classes) > 1 else []
    if e.n_frames_unknown:
        lines += ["", f"{e.n_frames_unknown} frames have no known score and are in no number."]
    return lines + [f"Note: {caveat}" for caveat in e.caveats]


def _class_lines(evaluation: Evaluation) -> list[str]:
    lines = [
        f"{'class':{_WIDTH}}{'videos':>8}{'frames':>9}{'AUC':>10}{'AP (step)':>11}{'PR area':>10}{'with normal':>13}"
    ]
    for name, found in evaluation.classes.items():
        lines.append(
            f"{'  ' + name[: _WIDTH - 3]:{_WIDTH}}{found.n_videos:>8}{found.n_frames:>9}{number(found.auc):>10}"
            f"{number(found.ap_step):>11}{number(found.pr_area_trapezoid):>10}{number(found.auc_with_normal):>13}"
        )
    return lines


def convention_lines(
    readings: Mapping[str, Evaluation], asked: str, impossible: Mapping[str, str] | None = None
) -> list[str]:
    """Format the scores under every reading of the file's 's e', and where the difference to our default comes from.

    ``impossible`` says why the file cannot be read by a convention.
    """
    width = _WIDTH_READINGS
    lines = ["What 's e' in the annotation means is not written in it. The same scores by every reading:"]
    lines.append(f"{'':{width}}{'AUC':>11}{'AP (step)':>11}{'PR area':>11}{'anomalous frames':>18}")
    for name, found in readings.items():
        mark = " (asked)" * (name == asked) + " (default)" * (name == DEFAULT_CONVENTION)
        lines.append(
            f"{'  ' + name + mark:{width}}{number(found.auc):>11}{number(found.ap_step):>11}"
            f"{number(found.pr_area_trapezoid):>11}{found.n_positive:>18}"
        )
    lines += [f"  {name}: impossible, {reason}" for name, reason in (impossible or {}).items()]
    mine, default = readings[asked], readings.get(DEFAULT_CONVENTION)
    if asked != DEFAULT_CONVENTION and default is not None:
        moved = mine.n_positive - default.n_positive
        lines.append(
            f"Against the default, {asked} counts {abs(moved)} {'more' if moved >= 0 else 'fewer'} anomalous frames "
            f"({mine.n_events_true} true events, one frame at an edge of each that is not at the video's end); that "
            f"moves the AUC by {_moved(mine.auc, default.auc)}, the step AP by {_moved(mine.ap_step, default.ap_step)} "
            f"and the PR area by {_moved(mine.pr_area_trapezoid, default.pr_area_trapezoid)}."
        )
    lines.append(f"The PR area is what many papers print as AP; the step AP of these scores is {number(mine.ap_step)}.")
    return lines


def _moved(mine: float, default: float) -> str:
    return "an unknown amount" if math.isnan(mine - default) else f"{mine - default:+.5f}"


def published_lines(format_name: str) -> list[str]:
    """Quote what others have published on a set; no line of it was measured here."""
    if format_name not in PUBLISHED:
        return [f"Nothing published is listed for {format_name!r}, only for {', '.join(PUBLISHED)}."]
    metric, numbers = PUBLISHED[format_name]
    lines = [f"Published by others on {format_name}, {metric} in per cent (not measured here, protocols differ):"]
    for item in numbers:
        lines.append(f"  {item.method:44}{item.value:7.2f}" + (f"  ({item.caveat})" if item.caveat else ""))
    return lines


def number(value: float | None) -> str:
    """Format a number with four digits, or as the word "unknown"."""
    return "unknown" if value is None or math.isnan(value) else f"{value:.4f}"


def _row(name: str, values: Mapping[str, float]) -> str:
    return f"{name:{_WIDTH}}" + "".join(f"{number(values.get(column)):>11}" for column, _ in _COLUMNS)


def joined_lines(blocks: Sequence[Sequence[str]]) -> str:
    """Join blocks of lines with an empty line between them; leave empty blocks out."""
    return "\n\n".join("\n".join(block) for block in blocks if block)
