"""Tables of the test videos: all videos, false alarms, misses, and events."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vadprobe.analyze.figures.curves import videos_to_draw
from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.report.sections.curves import kind_of
from vadprobe.analyze.report.sections.measured_clips import MeasuredClips
from vadprobe.analyze.report.views import PageTable, Value

SHOWN = 60
"""Largest number of rows of false alarms, misses and events in the page; the CSV files have all rows."""


def examples(parts: Sequence[ReportPart]) -> list[tuple[str, str]]:
    """Return the (dataset, video) that the page shows first, chosen by name and truth alone."""
    found: dict[tuple[str, str], None] = {}
    for part in parts:
        scored = set(pc.unique(part.scores["video_id"]).to_pylist())
        found |= dict.fromkeys(
            (part.truth.name, v.video_id) for v in videos_to_draw(part.truth, scored, part.curves, 2)
        )
    return list(found)


def videos_table(
    parts: Sequence[ReportPart], labels: Sequence[str], clips: Sequence[MeasuredClips | None]
) -> PageTable:
    """Return one row for each labelled test video and analysis: fraction of wrong frames, and costs of errors."""
    rows: list[list[Value]] = []
    for part, label, mine in zip(parts, labels, clips, strict=True):
        if mine is None:
            continue
        codes, n_videos = mine.scores.codes, len(mine.truth.video_ids)
        wrong = np.where(mine.detected, mine.normal, mine.anomalous) * ~np.isnan(mine.scores.scores)
        known = (mine.normal + mine.anomalous) * ~np.isnan(mine.scores.scores)
        sums = [
            np.bincount(codes, weights=np.nan_to_num(values), minlength=n_videos)
            for values in (wrong, known, mine.false_alarm_costs, mine.miss_costs)
        ]
        peaks = np.full(n_videos, -np.inf)
        np.fmax.at(peaks, codes, mine.scores.scores)
        for code, name in enumerate(mine.truth.video_ids):
            n_wrong, n_known, alarms, misses = (float(values[code]) for values in sums)
            rows.append(
                [
                    name, label, part.truth.name, kind_of(part.truth.by_id[name]), int(mine.truth.n_frames[code]),
                    n_wrong / n_known if n_known else None, alarms, misses,
                    float(peaks[code]) if np.isfinite(peaks[code]) else None,
                ]
            )  # fmt: skip
    rows.sort(key=lambda row: (row[5] is None, float(row[5] or 0), str(row[0])))
    head = ["video", "analysis", "dataset", "truth", "frames", "share of wrong frames", "cost of false alarms",
            "cost of misses", "highest score"]  # fmt: skip
    caption = "Test videos, the best first: those with the smallest share of frames that are decided wrongly"
    return PageTable("videos", caption, head, rows, frozenset({0, 1, 2, 3}), shown=2000, opens_at=-1)


def false_alarms_table(
    parts: Sequence[ReportPart], labels: Sequence[str], clips: Sequence[MeasuredClips | None]
) -> PageTable:
    """Return detected events, sorted by descending cost of their normal frames."""
    rows: list[list[Value]] = []
    for part, label, mine in zip(parts, labels, clips, strict=True):
        if mine is None:
            continue
        code_of = {name: code for code, name in enumerate(mine.truth.video_ids)}
        for event in _events(part.events):
            if event["video_id"] not in code_of:
                continue
            inside = _inside(mine, code_of[event["video_id"]], event["start_frame"], event["stop_frame"])
            cost = float(np.nansum(mine.false_alarm_costs[inside]))
            normal = int(mine.normal[inside].sum())
            if normal:
                rows.append(
                    [event["video_id"], label, event["start_frame"], event["stop_frame"], event["start_second"],
                     normal, event["peak_score"], cost]
                )  # fmt: skip
    rows.sort(key=lambda row: -float(row[7] or 0))
    head = ["video", "analysis", "from frame", "before frame", "second", "normal frames", "peak score", "cost"]
    caption = "False alarms: detected events by the cost of the normal frames in them"
    return PageTable("false-alarms", caption, head, rows, frozenset({0, 1}), shown=SHOWN, opens_at=2)


def misses_table(
    parts: Sequence[ReportPart], labels: Sequence[str], clips: Sequence[MeasuredClips | None]
) -> PageTable:
    """Return true intervals, sorted by descending cost of their undetected frames."""
    rows: list[list[Value]] = []
    for label, mine in zip(labels, clips, strict=True):
        if mine is None:
            continue
        truth = mine.truth
        starts, stops = mine.scores.start_frames, mine.scores.stop_frames
        lacking = mine.threshold - mine.scores.scores
        for code, start, stop in zip(
            truth.interval_codes.tolist(), truth.interval_starts.tolist(), truth.interval_stops.tolist(), strict=True
        ):
            inside = _inside(mine, code, start, stop)
            frames = np.minimum(stops[inside], stop) - np.maximum(starts[inside], start)
            missed = frames * ~mine.detected[inside]
            cost = float(np.nansum(missed * lacking[inside]))
            if missed.sum():
                share = float(missed.sum() / (stop - start))
                peak = mine.scores.scores[inside]
                highest = float(np.nanmax(peak)) if not np.isnan(peak).all() else None
                rows.append([truth.video_ids[code], label, start, stop, int(missed.sum()), share, highest, cost])
    rows.sort(key=lambda row: -float(row[7] or 0))
    head = ["video", "analysis", "from frame", "before frame", "missed frames", "share missed",
            "highest score", "cost"]  # fmt: skip
    caption = "Misses: true intervals by the cost of their frames that were not detected"
    return PageTable("misses", caption, head, rows, frozenset({0, 1}), shown=SHOWN, opens_at=2)


def events_table(parts: Sequence[ReportPart], labels: Sequence[str]) -> PageTable:
    """Return all detected events of test videos, the highest peak first, with texts about them."""
    rows: list[list[Value]] = []
    for part, label in zip(parts, labels, strict=True):
        texts = _texts(part)
        for event in _events(part.events):
            spans = texts.get(event["video_id"], [])
            first, last = event["start_frame"], event["stop_frame"]
            whole = [text for start, stop, text in spans if (start, stop) == (first, last)]
            meets = whole or [text for start, stop, text in spans if start < last and first < stop]
            text = " / ".join(dict.fromkeys(meets[:3]))
            numbers = (event[name] for name in ("iou", "mean_score", "start_frame", "stop_frame"))
            place = (event[name] for name in ("start_second", "stop_second", "peak_score"))
            rows.append([event["video_id"], label, *place, text, *numbers])
    rows.sort(key=lambda row: -float(row[4] or 0))
    head = ["video", "analysis", "from second", "to second", "peak score",
            "generated text (of the event, or of up to three of its segments)", "greatest IoU", "mean score",
            "from frame", "before frame"]  # fmt: skip
    caption = "Detected events of the test videos, the highest score first"
    if not any(row[5] for row in rows):
        rows = [[*row[:5], *row[6:]] for row in rows]
        return PageTable("events", caption, [*head[:5], *head[6:]], rows, frozenset({0, 1}), shown=SHOWN, opens_at=7)
    return PageTable("events", caption, head, rows, frozenset({0, 1, 5}), shown=SHOWN, opens_at=8)


def _inside(mine: MeasuredClips, code: int, start: int, stop: int) -> np.ndarray:
    """Return positions of the segments of a video that overlap the frames [start, stop)."""
    first, last = np.searchsorted(mine.scores.codes, [code, code + 1])
    starts, stops = mine.scores.start_frames[first:last], mine.scores.stop_frames[first:last]
    return np.asarray(first + np.flatnonzero((starts < stop) & (start < stops)))


def _events(events: pa.Table) -> list[dict[str, Any]]:
    of_test = pc.and_(pc.equal(events["split"], "test"), pc.equal(events["kind"], "anomalous"))
    return list(events.filter(of_test).to_pylist())


def _texts(part: ReportPart) -> dict[str, list[tuple[int, int, str]]]:
    found: dict[str, list[tuple[int, int, str]]] = {}
    for name, start, stop, text in part.texts.known if part.texts else ():
        found.setdefault(name, []).append((start, stop, " ".join(text.split())))
    return found
