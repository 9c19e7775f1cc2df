"""Lines of text about an evaluation: numbers, intervals, baselines, other readings of the truth, and caveats."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.evaluation.reliability import MEANING, Reliability
from vadprobe.analyze.report.published.numbers import SETS, published_on
from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION
from vadprobe.store.files.text import counted, percent, short, table

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


def evaluation_lines(evaluation: Evaluation, title: str, reliability: Reliability | None = None) -> list[str]:
    """Format the numbers with intervals and baselines, threshold metrics, reliability, classes and caveats."""
    e = evaluation
    lines = [
        f"{title}: {counted(e.n_videos, 'video')} ({e.n_videos_positive:,} anomalous), "
        f"{counted(e.n_frames, 'frame')}, {e.n_positive:,} of them anomalous",
        f"ground truth {e.ground_truth_digest[:16]}",
        "",
        *_metric_table(e),
        "",
        f"AUC of whole videos by their highest score: {number(e.video_auc)}",
    ]
    if not math.isnan(e.threshold):
        events = ", ".join(f"{iou}: {number(value)}" for iou, value in e.event_map.items())
        lines += [
            f"above {e.threshold:g}: F1 {number(e.f1)}, false alarms on normal videos {number(e.false_alarm_rate)}, "
            f"AUC gated {number(e.auc_gated)}, binary {number(e.auc_binary)}, "
            f"AP gated {number(e.ap_gated)}, binary {number(e.ap_binary)}",
            f"events above {e.threshold:g}: {e.n_events_found} found, {e.n_events_true} true, mAP "
            f"{number(e.event_map_mean)} (by IoU {events})",
        ]
    lines += [reliability.line(), f"  {MEANING}"] if reliability is not None else []
    lines += ["", *_class_lines(e)] if len(e.classes) > 1 else []
    if e.n_frames_unknown:
        lines += ["", f"{counted(e.n_frames_unknown, 'frame')} without a known score, in no number."]
    return lines + [f"Note: {caveat}" for caveat in e.caveats]


def _metric_table(evaluation: Evaluation) -> list[str]:
    """Format a table of the metrics, the ends of their intervals, and the baselines."""
    rows = [("these scores", {name: getattr(evaluation, name) for name, _ in _COLUMNS})]
    if evaluation.intervals:
        for place, end in ((0, "from"), (1, "to")):
            name = f"  {percent(evaluation.bootstrap.confidence)} of video resamples, {end}"
            rows.append((name, {column: evaluation.intervals[column][place] for column, _ in _COLUMNS}))
    rows += [(f"  baseline: {BASELINE_NAMES.get(n, n)}", dict(values)) for n, values in evaluation.baselines.items()]
    headings = [heading for _, heading in _COLUMNS]
    cells = [[name, *(number(values.get(column)) for column, _ in _COLUMNS)] for name, values in rows]
    return table(["", *headings], cells, right=headings)


def _class_lines(evaluation: Evaluation) -> list[str]:
    head = ["class", "videos", "frames", "AUC", "AP (step)", "PR area", "with normal"]
    rows = [
        [f"  {short(name, 32)}", found.n_videos, found.n_frames, *map(number, values)]
        for name, found in evaluation.classes.items()
        for values in ((found.auc, found.ap_step, found.pr_area_trapezoid, found.auc_with_normal),)
    ]
    return table(head, rows, right=head[1:])


def convention_lines(
    readings: Mapping[str, Evaluation], asked: str, impossible: Mapping[str, str] | None = None
) -> list[str]:
    """Format the numbers under every convention of the file's pairs 's e', with their differences from our default.

    `impossible` says, by convention, why the file cannot be read by it.
    """
    head = ["", "AUC", "AP (step)", "PR area", "anomalous frames"]
    rows = [
        [
            f"  {name}" + " (asked)" * (name == asked) + " (default)" * (name == DEFAULT_CONVENTION),
            *(number(value) for value in (found.auc, found.ap_step, found.pr_area_trapezoid)),
            found.n_positive,
        ]
        for name, found in readings.items()
    ]
    lines = ["The annotation does not say what 's e' means. The same scores under every reading:"]
    lines += table(head, rows, right=head[1:])
    lines += [f"  {name}: impossible, {reason}" for name, reason in (impossible or {}).items()]
    mine, default = readings[asked], readings.get(DEFAULT_CONVENTION)
    if asked != DEFAULT_CONVENTION and default is not None:
        moved = mine.n_positive - default.n_positive
        lines.append(
            f"Against the default, {asked} counts {abs(moved)} {'more' if moved >= 0 else 'fewer'} "
            f"anomalous frames ({mine.n_events_true} true events; one frame at an edge of each event that "
            f"does not reach the video's end). That moves the AUC by {_moved(mine.auc, default.auc)}, the "
            f"step AP by {_moved(mine.ap_step, default.ap_step)} and the PR area by "
            f"{_moved(mine.pr_area_trapezoid, default.pr_area_trapezoid)}."
        )
    lines.append(f"The PR area is what many papers print as AP; the step AP of these scores is {number(mine.ap_step)}.")
    return lines


def _moved(mine: float, default: float) -> str:
    return "an unknown amount" if math.isnan(mine - default) else f"{mine - default:+.5f}"


def published_lines(format_name: str) -> list[str]:
    """Return lines that quote published numbers on a set; none of them was measured here."""
    if format_name not in SETS:
        return [f"Nothing published is listed for {format_name!r}, only for {', '.join(SETS)}."]
    lines = [
        f"Published by others on {format_name}, {SETS[format_name]} in per cent (not measured here, protocols differ):"
    ]
    for source, numbers in groupby(published_on(format_name), key=lambda number: number.source):
        lines.append(f"  {source}:")
        lines += [
            f"    {item.row:40}{item.value:7.2f}" + (f"  ({item.caveat})" if item.caveat else "") for item in numbers
        ]
    return lines


def number(value: float | None) -> str:
    """Format a number with four digits, or as the word "unknown"."""
    return "unknown" if value is None or math.isnan(value) else f"{value:.4f}"


def joined_lines(blocks: Sequence[Sequence[str]]) -> str:
    """Join blocks of lines with an empty line between them; leave empty blocks out."""
    return "\n\n".join("\n".join(block) for block in blocks if block)
