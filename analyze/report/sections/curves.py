"""Curves of the test videos as compact data: scores, truth, detections and texts of all analyses, by video."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.report.sections.encoding import encoded
from vadprobe.store.datasets.video import Video

MOST_TEXT = 400_000
"""Largest size of texts in bytes; beyond it, texts of segments neither detected nor anomalous are left out."""

_Rows = Mapping[str, np.ndarray]


def curves(parts: Sequence[ReportPart], labels: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the data of every test video, and notes on what was left out.

    Videos of one name and dataset are one entry with a series for each analysis.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    series: list[dict[str, Any]] = []
    for number, (part, label) in enumerate(zip(parts, labels, strict=True)):
        test = part.scores.filter(pc.equal(part.scores["split"], "test"))
        values = np.concatenate([test[name].to_numpy() for name in ("raw_score", "score")])
        known = values[np.isfinite(values)]
        low, high = min([0.0, *known.tolist()]), max([1.0, *known.tolist()])
        locator = part.detector.locator
        series.append({"name": label, "low": low, "high": high, "threshold": locator.threshold})
        detected = _spans(part.events)
        for name, rows in by_video(test, ("start_frame", "stop_frame", "raw_score", "score")).items():
            video = part.truth.by_id[name]
            entry = entries.setdefault((part.truth.name, name), _entry(part, video, int(rows["stop_frame"].max())))
            found = _segments(rows)
            entry["series"].append(
                {
                    "of": number,
                    **_edges(found["start_frame"], found["stop_frame"]),
                    "raw": encoded(found["raw_score"], low, high),
                    "score": encoded(found["score"], low, high),
                    "detected": detected.get(name, []),
                }
            )
            if name in part.strips and "strip" not in entry:
                strip = part.strips[name]
                entry["strip"] = [base64.b64encode(strip.webp).decode("ascii"), strip.count]
    notes, words = _add_texts(parts, entries)
    videos = [entries[key] for key in sorted(entries)]
    given = [part.texts for part in parts if part.texts is not None]
    notes += dict.fromkeys(note for one in given for note in one.notes)
    notice = " ".join(dict.fromkeys(one.notice for one in given if one.rows.num_rows))
    return {"parts": series, "videos": videos, "words": words, "notice": notice}, notes


def by_video(table: pa.Table, columns: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Return columns of a table by video and name, each video's rows sorted by start."""
    unique, codes = np.unique(np.array(table["video_id"].to_pylist(), dtype=str), return_inverse=True)
    order = np.lexsort((table["start_frame"].to_numpy(), codes))
    found = {name: table[name].to_numpy(zero_copy_only=False)[order] for name in columns}
    bounds = np.searchsorted(codes[order], np.arange(len(unique) + 1))
    return {
        str(name): {column: values[bounds[n] : bounds[n + 1]] for column, values in found.items()}
        for n, name in enumerate(unique)
    }


def kind_of(video: Video) -> str:
    """Return the label of a video in words."""
    return {None: "no label", 0: "normal", 1: f"anomalous: {video.category or 'kind unknown'}"}[video.label]


def _entry(part: ReportPart, video: Video, n_frames: int) -> dict[str, Any]:
    intervals = part.truth.intervals_of(video.video_id)
    truth = [[one.start_frame, min(one.stop_frame, n_frames)] for one in intervals if one.start_frame < n_frames]
    return {
        "name": video.video_id,
        "set": part.truth.name,
        "kind": kind_of(video),
        "labelled": video.label is not None,
        "fps": video.fps,
        "frames": n_frames,
        "truth": truth,
        "series": [],
    }


def _segments(rows: _Rows) -> dict[str, np.ndarray]:
    """Return a video's segments; a gap between two of them becomes a segment without a score."""
    starts, stops = rows["start_frame"], rows["stop_frame"]
    gaps = np.flatnonzero(stops[:-1] < starts[1:])
    if not len(gaps):
        return dict(rows)
    unknown = np.full(len(gaps), np.nan)
    at = gaps + 1
    return {
        "start_frame": np.insert(starts, at, stops[gaps]),
        "stop_frame": np.insert(stops, at, starts[gaps + 1]),
        **{name: np.insert(rows[name], at, unknown) for name in ("raw_score", "score")},
    }


def _edges(starts: np.ndarray, stops: np.ndarray) -> dict[str, Any]:
    """Return the edges of segments: one length if all segments but the last have it, else every edge."""
    edges = [*starts.tolist(), int(stops[-1])]
    length = int(stops[0] - starts[0])
    if edges[0] == 0 and all(edge == length * n for n, edge in enumerate(edges[:-1])) and length > 0:
        return {"length": length}
    return {"edges": edges}


def _spans(events: pa.Table) -> dict[str, list[list[int]]]:
    """Return the half-open frames of detected segments, by video."""
    rows = events.filter(pc.equal(events["kind"], "anomalous"))
    found: dict[str, list[list[int]]] = {}
    columns = (rows[name].to_pylist() for name in ("video_id", "start_frame", "stop_frame"))
    for name, start, stop in zip(*columns, strict=True):
        found.setdefault(name, []).append([start, stop])
    return found


def _add_texts(
    parts: Sequence[ReportPart], entries: Mapping[tuple[str, str], dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Add texts to the entries of their videos as indices into a list of distinct texts; return notes and the list."""
    rows = [
        (part.truth.name, *row)
        for part in parts
        for row in (part.texts.known if part.texts else ())
        if (part.truth.name, row[0]) in entries
    ]
    rows = list(dict.fromkeys(rows))
    rows.sort(key=lambda row: not _matters(entries[row[0], row[1]], row[2], row[3]))
    numbers: dict[str, int] = {}
    room, left_out = MOST_TEXT, 0
    for dataset, name, start, stop, text in rows:
        room -= 16 + (0 if text in numbers else len(text.encode()) + 4)
        if room < 0:
            left_out += 1
            continue
        place = numbers.setdefault(text, len(numbers))
        entries[dataset, name].setdefault("texts", []).append([start, stop, place])
    for entry in entries.values():
        entry.get("texts", []).sort()
    more = [f"{left_out} generated texts are not in the page, to keep it small; texts.parquet has them."]
    return more if left_out else [], list(numbers)


def _matters(entry: Mapping[str, Any], start: int, stop: int) -> bool:
    """Return True for a segment that overlaps a true interval or a detected segment."""
    spans = [*entry["truth"], *(span for one in entry["series"] for span in one["detected"])]
    return any(first < stop and start < last for first, last in spans)
