"""The raw annotations of HIVAU-70k: one JSON object per split, events in seconds."""

import math
import re
from pathlib import Path
from typing import Any

from vadprobe.store.datasets.annotations.conventions import MAX_FRAME, frames_of_seconds
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject, read_json_object, shown
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading, Row, RowError, check_visible, read_rows
from vadprobe.store.datasets.video import Interval, Split

_NORMAL_LABELS: tuple[Any, ...] = ([], ["Normal"], ["normal"], ["A"], "Normal", "normal", "A", "")


def read_hivau(path: Path) -> Reading[Annotation]:
    """Read `ucf_database_test.json` and its like: name to `n_frames`, `fps`, `label` and `events` [s, e).

    An empty label means normal. The events of normal videos are ordinary ones, not anomalies, and are not read. Seconds
    become the nearest frame, `round(seconds * fps)`; an event has at least one frame. An entry is rejected if a part is
    missing, impossible or repeated, if an anomalous video has no event, or if its name occurred before. Only 251 of
    UCF-Crime's 290 test videos are in the published file.

    Returns:
        One entry per key, in the file's order, with the split in the file's name ("train" or "test", else None).

    Raises:
        VadprobeError: if the file cannot be read, is no JSON object, or is empty.
    """
    content = read_json_object(path, "annotation file")
    values = dict(enumerate(content.pairs, start=1))
    named = re.findall(r"(?<![a-z])(train|test)(?![a-z])", path.stem.lower())
    split: Split | None = "train" if named == ["train"] else "test" if named == ["test"] else None

    def parse(row: Row) -> Annotation:
        name, value = values[row.number]
        return _annotation(video_name(name), value, split)

    rows = [Row(number, f"{name}: {shown(value)}") for number, (name, value) in values.items()]
    return read_rows(path, rows, parse, lambda annotation: annotation.video_id, unit="entry")


def _annotation(name: str, value: Any, split: Split | None) -> Annotation:
    if not isinstance(value, JsonObject) or not name:
        raise RowError("a video name and an object with n_frames, fps, label, events", "correct the entry")
    if value.repeated is not None:
        raise RowError(f"every key once ({value.repeated!r} is repeated)", "remove all but one")
    n_frames, fps, label = value.get("n_frames"), _number(value.get("fps")), value.get("label")
    if not isinstance(n_frames, int) or isinstance(n_frames, bool) or not 0 < n_frames < MAX_FRAME:
        raise RowError("'n_frames' as a whole number above 0", "correct the entry")
    if fps is None or not 0 < fps < 1e6:
        raise RowError("'fps' as a number above 0", "correct the entry")
    if label in _NORMAL_LABELS:
        return Annotation(name, 0, "Normal", n_frames=n_frames, fps=fps, split=split)
    labels: list[Any] = label if isinstance(label, list) else [label]
    if not all(isinstance(part, str) and part for part in labels):
        raise RowError("'label' as a list of words, empty for a normal video", "correct the entry")
    category = "-".join(labels)
    check_visible("'label'", category)
    intervals = tuple(_event(name, category, event, fps) for event in _events(value))
    return Annotation(name, 1, category, intervals, n_frames, fps, split)


def _events(value: JsonObject) -> list[Any]:
    events = value.get("events")
    if not isinstance(events, list) or not events:
        raise RowError("'events' as a list of at least one [start, end] for an anomalous video", "correct the entry")
    return events


def _event(name: str, category: str, event: Any, fps: float) -> Interval:
    seconds = [_number(second) for second in event] if isinstance(event, list) else []
    frames = frames_of_seconds(seconds[0], seconds[1], fps) if len(seconds) == 2 else None
    if frames is None:
        raise RowError("every event as [start, end] in seconds, 0 <= start < end", "correct the entry")
    return Interval(name, *frames, category)


def _number(value: Any) -> float | None:
    """Return a finite number, or None. Whole numbers too large for a float are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return None
    return float(value) if math.isfinite(value) else None
