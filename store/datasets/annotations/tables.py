"""Reader of a table of your own videos, as CSV, JSON Lines or Parquet: one row per video or per anomalous interval."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vadprobe.store.datasets.annotations.conventions import MAX_FRAME, frames_of_seconds
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.json_objects import shown
from vadprobe.store.datasets.annotations.rows.rows import (
    Annotation,
    Reading,
    Rejection,
    RowError,
    check_name,
    check_visible,
)
from vadprobe.store.datasets.annotations.rows.table_rows import TABLE_SUFFIXES, read_table_rows
from vadprobe.store.datasets.video import SPLITS, Interval, Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import visible

__all__ = ["COLUMNS", "TABLE_SUFFIXES", "read_table"]

_ENDS = ("start_frame", "stop_frame", "start_second", "stop_second")
COLUMNS = ("video_id", "path", "split", "label", "category", "n_frames", "fps", *_ENDS, "intervals")
_LABELS = {"0": 0, "1": 1, "normal": 0, "anomalous": 1, "abnormal": 1, "false": 0, "true": 1}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_MAX_FPS = 1e6
_OF_SECONDS = "correct the intervals, or give seconds in the columns start_second, stop_second and fps"


def read_table(path: StorePath) -> Reading[Annotation]:
    """Read a manifest table.

    Columns, all but the first optional:

    `video_id` (or `path`, whose file name then is the name; a folder and a video extension are no part of it);
    `path` relative to the video folder; `split` train, validation or test (default); `label` 0/1 or
    normal/anomalous; `category`; `n_frames`; `fps`; `start_frame`, `stop_frame` of one anomalous interval,
    counted from 0, half-open, or `start_second`, `stop_second` with `fps`; or `intervals`: "10-20;40-80" in
    CSV, such words or lists of pairs elsewhere. Empty and missing values are the same.

    A video may have several rows, one per interval; their other values must agree. A video with an interval is
    anomalous. A row is rejected if it lacks a value of a CSV column, repeats a JSON key, has an impossible value,
    contradicts an earlier row of the video, or has label 0 and an interval. Columns of other names are left out and
    noted.

    Returns:
        One entry per video, in the order of first rows; `n_rows` counts rows, so it may exceed the number of entries.

    Raises:
        VadprobeError: if the file cannot be read, is of another format, has no row or no name column.
    """
    rows, columns = read_table_rows(path, COLUMNS)
    if not rows:
        raise VadprobeError(f"the manifest {path} has no row; write one for each video.")
    other = [visible(column) or "(no name)" for column in columns if column not in COLUMNS]
    if not {"video_id", "path"} & set(columns):
        raise VadprobeError(
            f"{path} must have a column 'video_id' or 'path', got {', '.join(other) or 'neither'}. The columns "
            f"that are read: {', '.join(COLUMNS)}."
        )
    notes = (f"columns not used: {', '.join(other)}",) if other else ()
    found: dict[str, tuple[int, Annotation]] = {}
    written: dict[str, str] = {}
    rejected = []
    unit = "entry" if path.suffix.lower() == ".parquet" else "line"
    for row in rows:
        try:
            if row.expected:
                raise RowError(row.expected, "correct the row")
            annotation = _annotation(row.values)
            as_written = str(row.values.get("video_id", annotation.video_id))
            if written.setdefault(annotation.video_id, as_written) != as_written:
                same = written[annotation.video_id]
                raise RowError(f"one name per video (without folder and extension, {same!r} is the same)", "rename one")
            number, earlier = found.get(annotation.video_id, (row.number, None))
            joined = _joined(number, earlier, annotation, unit) if earlier else annotation
            found[annotation.video_id] = (number, joined)
        except VadprobeError as error:
            rejected.append(Rejection.of(error, path, row.number, row.text, unit))
    entries = tuple(annotation for _, annotation in found.values())
    return Reading(path, len(rows), entries, tuple(rejected), notes)


def _annotation(values: Mapping[str, Any]) -> Annotation:
    path = _word(values, "path")
    name = video_name(_word(values, "video_id") or path or "")
    if not name:
        raise RowError("a video name in 'video_id' or 'path'", "name the video")
    check_name(name)
    split = _word(values, "split")
    if split is not None and split not in SPLITS:
        raise RowError(f"a split of {', '.join(SPLITS)} (got {split!r})", "correct the split")
    n_frames = _whole(values, "n_frames")
    fps = _number(values, "fps")
    if fps is not None and not 0 < fps < _MAX_FPS:
        raise RowError(f"'fps' as a number above 0 (got {shown(values['fps'])})", "correct the value")
    category = _word(values, "category")
    intervals = tuple(Interval(name, start, stop, category) for start, stop in _frames(values, fps))
    label = _label(values)
    if label == 0 and intervals:
        raise RowError("no interval for a normal video (label 0)", "correct the label or remove the interval")
    label = 1 if intervals else label
    Video(name, path or "", n_frames, fps, split or "test", label, category)  # its own checks, named in the row
    return Annotation(name, label, category, intervals, n_frames, fps, split, path)


def _frames(values: Mapping[str, Any], fps: float | None) -> list[tuple[int, int]]:
    pairs: list[tuple[Any, Any]] = []
    if "intervals" in values:
        pairs += _listed_pairs(values["intervals"])
    for unit in ("frame", "second"):
        ends = (f"start_{unit}", f"stop_{unit}")
        if (ends[0] in values) != (ends[1] in values):
            raise RowError(f"both {ends[0]!r} and {ends[1]!r}, or neither", "complete the row")
    if "start_frame" in values:
        pairs.append((_whole(values, "start_frame"), _whole(values, "stop_frame")))
    if "start_second" in values:
        frames = frames_of_seconds(_number(values, "start_second"), _number(values, "stop_second"), fps)
        if frames is None:
            raise RowError("0 <= start_second < stop_second, with 'fps'", "complete the row")
        pairs.append(frames)
    for start, stop in pairs:
        are_whole = all(isinstance(frame, int) and not isinstance(frame, bool) for frame in (start, stop))
        if not are_whole or not 0 <= start < stop < MAX_FRAME:
            raise RowError("intervals of whole frames with 0 <= start < stop (half-open)", "correct the interval")
    return pairs


def _listed_pairs(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(";") if part.strip()]
        found = [re.fullmatch(r"([0-9]{1,13})\s*-\s*([0-9]{1,13})", part) for part in parts]
        if not parts or not all(found):
            raise RowError("'intervals' as 10-20;40-80, in frames", _OF_SECONDS)
        return [(int(match[1]), int(match[2])) for match in found if match]
    if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return [(pair[0], pair[1]) for pair in value]
    raise RowError("'intervals' as a list of [start, stop]", "correct the intervals")


def _label(values: Mapping[str, Any]) -> int | None:
    if "label" not in values:
        return None
    text = str(values["label"]).lower()
    text = {"0.0": "0", "1.0": "1"}.get(text, text)
    if text not in _LABELS:
        raise RowError(f"a label of {', '.join(_LABELS)} (got {shown(values['label'])})", "correct the label")
    return _LABELS[text]


def _word(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        check_visible(repr(name), value)
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowError(f"{name!r} as a word (got {shown(value)})", "correct the value")


def _number(values: Mapping[str, Any], name: str) -> float | None:
    if name not in values:
        return None
    value = values[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value)) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowError(f"{name!r} as a number (got {shown(value)})", "correct the value")
    return number


def _whole(values: Mapping[str, Any], name: str) -> int | None:
    number = _number(values, name)
    if number is None:
        return None
    if not number.is_integer() or not 0 <= number < MAX_FRAME:
        raise RowError(f"{name!r} as a whole number from 0 (got {shown(values[name])})", "correct the value")
    return int(number)


def _joined(number: int, first: Annotation, later: Annotation, unit: str) -> Annotation:
    """Join two rows of one video; a value that only one of them has is kept."""
    merged: dict[str, Any] = {}
    for name in ("n_frames", "fps", "split", "path", "label", "category"):
        mine, theirs = getattr(first, name), getattr(later, name)
        if name != "category" and None not in (mine, theirs) and mine != theirs:
            raise RowError(f"the {name} of {unit} {number}, {mine!r}", "make the rows of the video agree")
        merged[name] = theirs if mine is None else mine
    if set(later.intervals) <= set(first.intervals):
        raise RowError(f"one row per interval (this one says nothing new after {unit} {number})", "remove the row")
    return replace(first, **merged, intervals=first.intervals + later.intervals)
