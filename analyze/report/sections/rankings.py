"""Charts of the ranking: receiver operating characteristic, precision over recall, and calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vadprobe.analyze.report.evaluation_text import number
from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.report.sections.measured_clips import MeasuredClips
from vadprobe.analyze.report.views import Group, PageChart, PageTable, Value

_MOST_POINTS = 240
_UNIT = (-0.02, 1.02)
"""Range of an axis of fractions, so that a line at 0 or 1 does not lie on the frame."""


def rankings(parts: Sequence[ReportPart], labels: Sequence[str], clips: Sequence[MeasuredClips | None]) -> Group:
    """Return charts with the curves of all analyses; an analysis with frames of one class only is left out."""
    roc, precision = [], []
    points: list[list[Value]] = []
    for of, (label, mine) in enumerate(zip(labels, clips, strict=True)):
        if mine is None or not len(mine.known):
            continue
        ranking = mine.known.ranking()
        if not ranking.has_both_classes:
            continue
        true, false = ranking.true_positives, ranking.false_positives
        recall, alarms = true / ranking.n_positives, false / ranking.n_negatives
        kept = _kept(recall, alarms)
        roc.append(_line(label, of, np.append(0, alarms[kept]), np.append(0, recall[kept])))
        exact = true / (true + false)
        precision.append(_line(label, of, recall[kept], exact[kept]))
        points += [
            [label, float(ranking.thresholds[n]), float(alarms[n]), float(recall[n]), float(exact[n])]
            for n in kept.tolist()
        ]
    charts = [*_ranking_charts(parts, labels, roc, precision), *_calibration(parts, labels)]
    head = ["", "threshold", "false positive rate", "recall", "precision"]
    table = PageTable("ranking-points", "Points of the curves", head, points, shown=0)
    lines = [
        f"{label}: {part.result['reliability']['line']}."
        for part, label in zip(parts, labels, strict=True)
        if part.result["reliability"]
    ]
    meaning = next((part.result["reliability"]["meaning"] for part in parts if part.result["reliability"]), "")
    return Group("Ranking and calibration", (table,) if points else (), charts, notes=[meaning] if meaning else [],
                 lines=lines)  # fmt: skip


def _kept(recall: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """Return positions of points evenly spread along a curve, with the first and the last among them."""
    if len(recall) <= _MOST_POINTS:
        return np.arange(len(recall))
    along = recall + alarms
    return np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], _MOST_POINTS)).clip(0, len(along) - 1))


def _line(name: str, of: int, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    return {"name": name, "of": of, "x": np.round(x, 4).tolist(), "y": np.round(y, 4).tolist()}


def _ranking_charts(
    parts: Sequence[ReportPart], labels: Sequence[str], roc: list[Any], precision: list[Any]
) -> list[PageChart]:
    if not roc:
        return []
    unit = _UNIT
    words = {
        metric: ", ".join(f"{label} {number(part.result[metric])}" for part, label in zip(parts, labels, strict=True))
        for metric in ("auc", "ap_step")
    }
    return [
        PageChart(
            "roc", "lines", "Receiver operating characteristic",
            f"Recall over false positive rate on all frames. AUC: {words['auc']}.",
            {"x": {"label": "false positive rate", "range": unit}, "y": {"label": "recall", "range": unit},
             "series": roc, "diagonal": True},
            f"Area under the curve: {words['auc']}. The dashed diagonal is guessing.",
        ),
        PageChart(
            "precision", "lines", "Precision over recall",
            f"Precision over recall on all frames. AP: {words['ap_step']}.",
            {"x": {"label": "recall", "range": unit}, "y": {"label": "precision", "range": unit}, "series": precision},
            f"Average precision (step): {words['ap_step']}. Guessing has the share of anomalous frames.",
        ),
    ]  # fmt: skip


def _calibration(parts: Sequence[ReportPart], labels: Sequence[str]) -> list[PageChart]:
    """Return a chart of the observed fraction of anomalous frames over the mean probability of each bin."""
    series, rows = [], []
    for of, (part, label) in enumerate(zip(parts, labels, strict=True)):
        if part.result["reliability"] is None:
            continue
        bins = [one for one in part.result["reliability"]["bins"] if one["n_frames"]]
        columns = [[one[name] for one in bins] for name in ("mean_probability", "observed", "low", "high")]
        series.append(
            {"name": label, "of": of, **dict(zip(("x", "y", "low", "high"), columns, strict=True)), "points": True}
        )
        rows += [
            [label, *(one[name] for name in ("lower", "upper", "n_frames", "n_videos", "mean_probability", "observed",
                                             "low", "high"))]
            for one in bins
        ]  # fmt: skip
    if not series:
        return []
    typed: list[list[Value]] = rows
    head = ["", "from", "to", "frames", "videos", "mean probability", "observed share", "low", "high"]
    data = {
        "x": {"label": "mean probability of a bin", "range": _UNIT},
        "y": {"label": "share of anomalous frames", "range": _UNIT},
        "series": series,
        "diagonal": True,
    }
    caption = (
        "Bars are intervals over resampled videos; on the dashed diagonal the observed share equals the probability."
    )
    label = "Observed share of anomalous frames over the mean probability, bin by bin; the table has the numbers."
    table = PageTable("calibration-bins", "Bins of the probability", head, typed)
    return [PageChart("calibration", "lines", "Probabilities and what happened", label, data, caption, table)]
