"""Tables of numbers with their intervals and baselines, and of measured beside published numbers."""

from collections.abc import Iterator, Sequence
from typing import Any

from vadprobe.analyze.evaluation.evaluation import INTERVAL_METRICS
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.report.published.numbers import SETS, published_on
from vadprobe.analyze.report.views import PageTable, Value
from vadprobe.store.files.text import percent

_HEADINGS = {
    "auc": "AUC",
    "ap_step": "AP (step)",
    "pr_area_trapezoid": "PR area (trapezoid)",
    "auc_abnormal_only": "AUC, anomalous videos",
    "auc_macro": "macro AUC",
}
_LOCATED = {
    "f1": "F1",
    "false_alarm_rate": "false alarms on normal videos",
    "auc_gated": "AUC gated",
    "auc_binary": "AUC binary",
    "event_map_mean": "event mAP",
    "n_events_found": "events found",
    "n_events_true": "true events",
    "video_auc": "AUC of whole videos",
}
_PREFIXES = {"ucf-crime": ("ucf", "auc"), "xd-violence": ("xd", "ap_step")}
"""By annotation's format, the beginning of the dataset's name and the metric that the papers print for it."""

PRINTED_NOTE = (
    "Printed numbers are from other authors, on their own features, splits and conventions; none was "
    "measured here. A printed number has no interval, so a difference to it shows little."
)


def results_table(parts: Sequence[ReportPart], labels: Sequence[str]) -> PageTable:
    """Return the metrics of each analysis, the ends of their intervals, baselines and the backbone's own answers."""
    rows: list[list[Value]] = []
    kinds: list[str] = []
    for part, label in zip(parts, labels, strict=True):
        result = part.result
        mark = " (transductive)" if result.get("transductive") else ""
        name_and_numbers = [label + mark, *(result[name] for name in INTERVAL_METRICS)]
        rows.append([*name_and_numbers, result["n_videos"], result["n_frames"]])
        kinds.append("measured")
        for name, numbers in _beside(result):
            rows.append([f"{label}: {name}", *(numbers.get(metric) for metric in INTERVAL_METRICS), "", ""])
            kinds.append("baseline")
    caption = "Results on the test split, with the ends of the intervals, baselines and the model's own answer"
    head = ["", *(_HEADINGS[name] for name in INTERVAL_METRICS), "videos", "frames"]
    return PageTable("results", caption, head, rows, kinds=kinds)


def _beside(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if result["intervals"]:
        share = f"{percent(result['bootstrap']['confidence'])} of video resamples"
        for place, end in ((0, "from"), (1, "to")):
            yield f"{share}, {end}", {name: ends[place] for name, ends in result["intervals"].items()}
    for name, title in BASELINE_NAMES.items():
        if name in result["baselines"]:
            yield f"baseline {title}", result["baselines"][name]
    for text in result["text_output"]:
        for name, found in text["rows"].items():
            yield (name, found) if found else (f"{name} (unknown: {text['reason']})", {})


def located_table(parts: Sequence[ReportPart], labels: Sequence[str]) -> PageTable:
    """Return the metrics of the decisions at the locator's threshold."""
    rows = [
        [label, part.result["sigma"], part.result["threshold"], *(part.result[name] for name in _LOCATED)]
        for part, label in zip(parts, labels, strict=True)
    ]
    head = ["", "sigma", "threshold", *_LOCATED.values()]
    return PageTable("located", "With the locator's threshold", head, rows, kinds=["measured"] * len(rows))


def classes_table(parts: Sequence[ReportPart], labels: Sequence[str]) -> PageTable | None:
    """Return the metrics by class of anomaly; None if no analysis has several classes."""
    rows = [
        [label, kind, found["n_videos"], found["n_frames"], found["auc"], found["ap_step"], found["auc_with_normal"]]
        for part, label in zip(parts, labels, strict=True)
        if len(part.result["classes"]) > 1
        for kind, found in part.result["classes"].items()
    ]
    head = ["", "kind", "videos", "frames", "AUC", "AP (step)", "AUC with normal videos"]
    return PageTable("kinds", "By kind of anomaly", head, rows, frozenset({0, 1})) if rows else None


def is_papers_set(part: ReportPart) -> bool:
    """Return True if the papers print numbers on the dataset, judged by its format and name."""
    return part.format in SETS and part.result["dataset"].lower().startswith(_PREFIXES[part.format][0])


def printed_tables(parts: Sequence[ReportPart], labels: Sequence[str]) -> list[PageTable]:
    """Return, for each of the papers' datasets, a table of measured and printed numbers in separate columns."""
    tables = []
    for name in SETS:
        mine = [(part, label) for part, label in zip(parts, labels, strict=True) if is_papers_set(part)]
        mine = [(part, label) for part, label in mine if part.format == name]
        if not mine:
            continue
        rows: list[list[Value]] = [_measured(part, label, _PREFIXES[name][1]) for part, label in mine]
        rows += [[one.row, None, "", one.value, one.source, one.caveat] for one in published_on(name)]
        kinds = ["measured"] * len(mine) + [""] * (len(rows) - len(mine))
        head = ["", "measured here, %", "interval, %", f"printed {SETS[name]}, %", "source", "caveat"]
        caption = f"Measured beside printed on {name}"
        tables.append(PageTable(f"printed-{name}", caption, head, rows, frozenset({0, 2, 4, 5}), kinds, digits=2,
                                missing="–"))  # fmt: skip
    return tables


def _measured(part: ReportPart, label: str, metric: str) -> list[Value]:
    value, ends = part.result[metric], part.result["intervals"].get(metric)
    interval = f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}" if ends and ends[0] is not None else "unknown"
    return [label, None if value is None else 100 * value, interval, None, "this page", ""]
