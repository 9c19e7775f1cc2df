"""Scores of videos from a table in CSV, JSON Lines or Parquet, with columns for videos, scores and frames."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vadprobe.analyze.evaluation.score_files.values import VideoScores, is_text, json_kind, numbers, whole_frames
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject
from vadprobe.store.datasets.annotations.rows.rows import read_text
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text

_VIDEO_COLUMNS, _SCORE_COLUMNS = ("video_id", "video", "name"), ("score", "anomaly_score", "prediction")
_PLACES = (("start_frame", "stop_frame"), ("frame",), ("segment",))


def table_scores(path: Path, video_column: str | None, score_column: str | None) -> list[tuple[str, VideoScores]]:
    """Return the scores of a table by video, in order; without column names the usual columns are read."""
    videos = (video_column,) if video_column else _VIDEO_COLUMNS
    scores = (score_column,) if score_column else _SCORE_COLUMNS
    table = _table(path, videos, scores)
    if table.num_rows == 0:
        raise VadprobeError(f"the score file {path} has no row; it must have one per frame or segment.")
    video = _column(path, table, "--video-column", videos)
    score = _column(path, table, "--score-column", scores)
    places = next((names for names in _PLACES if set(names) <= set(table.column_names)), None)
    if places is None:
        raise VadprobeError(
            f"{path} has the columns {_columns(table)}, but no column says which frames a score belongs "
            "to; add start_frame and stop_frame, or frame, or segment. The order of rows is not trusted."
        )
    names, code = _video_codes(path, table, video)
    values = _table_numbers(path, table, score)
    columns = [whole_frames(path, name, _table_numbers(path, table, name)) for name in places]
    order = np.lexsort((columns[0], code))
    bounds = np.searchsorted(code[order], np.arange(len(names) + 1))
    unit = "segment" if places == ("segment",) else "frame"
    found = []
    for number, name in enumerate(names):
        rows = order[bounds[number] : bounds[number + 1]]
        starts = columns[0][rows]
        stops = columns[1][rows] if len(columns) == 2 else starts + 1
        found.append((name, VideoScores(values[rows], starts, stops, unit, places == ("frame",))))
    return found


def _table(path: Path, videos: Sequence[str], scores: Sequence[str]) -> pa.Table:
    """Read a table with names as text and needed columns as numbers; white space around column names is removed."""
    number_columns = (*scores, *(name for names in _PLACES for name in names))
    try:
        if path.suffix.lower() == ".csv":
            # Without types, "007" would become the number 7, and a column that begins with many 0 integers.
            types = {
                f"{before}{name}": pa.string() if name in videos else pa.float64()
                for name in (*number_columns, *videos)
                for before in ("", " ")
            }
            table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types))
        elif path.suffix.lower() == ".jsonl":
            table = _json_lines(path, videos, number_columns)
        else:
            table = pq.read_table(path)
        names = [name.strip() for name in table.column_names]
    except VadprobeError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise VadprobeError(
            f"the score file {path} cannot be read ({error_text(error)}); correct it, or save it again."
        ) from error
    twice = next((name for name in names if names.count(name) > 1 and name in (*videos, *number_columns)), None)
    if twice is not None:
        raise VadprobeError(f"{path} has the column {twice!r} twice; rename one.")
    return table.rename_columns(names)


def _json_lines(path: Path, videos: Sequence[str], number_columns: Sequence[str]) -> pa.Table:
    rows: dict[int, JsonObject] = {}
    for number, line in enumerate(read_text(path, "score file").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=JsonObject)
        except (ValueError, RecursionError) as error:
            raise VadprobeError(
                f"the score file {path}, line {number}, must be one object in JSON ({error_text(error)})."
            ) from error
        if not isinstance(row, JsonObject) or len(row) < len(row.pairs):
            got = "an object with a key twice" if isinstance(row, JsonObject) else json_kind(row)
            raise VadprobeError(f"the score file {path}, line {number}, must be one object in JSON, got {got}.")
        rows[number] = row
    columns: dict[str, Any] = {}
    lines = list(rows)
    for name in dict.fromkeys(name for row in rows.values() for name in row if is_text(name)):
        values = [row.get(name) for row in rows.values()]
        if name in number_columns:
            columns[name] = numbers(path, _in_line(name, lines), values)
        elif name in videos:
            wrong = next((i for i, v in enumerate(values) if not isinstance(v, str) or not is_text(v)), None)
            if wrong is not None:
                raise VadprobeError(
                    f"{path}: {name!r} in line {lines[wrong]} must be a video name, got {ascii(values[wrong])[:40]}."
                )
            columns[name] = pa.array(values, pa.string())
        else:
            columns[name] = pa.nulls(len(rows))
    return pa.table(columns)


def _in_line(name: str, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda row: f"{name!r} in line {lines[row]}"


def _columns(table: pa.Table) -> str:
    return ", ".join(map(repr, table.column_names)) or "(none)"


def _column(path: Path, table: pa.Table, option: str, names: Sequence[str]) -> str:
    found = next((name for name in names if name in table.column_names), None)
    if found is None:
        raise VadprobeError(
            f"{path} has no column {' or '.join(map(repr, names))}, only {_columns(table)}; name it with {option}."
        )
    return found


def _video_codes(path: Path, table: pa.Table, column: str) -> tuple[list[str], np.ndarray]:
    """Return the names in the file, and for each row the index of its name, (rows,)."""
    try:
        texts = table[column].cast(pa.string()).combine_chunks()
        encoded = texts.dictionary_encode()
        names = [str(name) for name in encoded.dictionary.to_pylist()]
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise VadprobeError(
            f"{path}: the column {column!r} must hold video names, got {table[column].type}; name another with "
            "--video-column."
        ) from error
    empty = texts.is_null().to_numpy(zero_copy_only=False)
    codes = np.where(empty, -1, encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.int64)
    empty |= np.array([not name for name in names] + [True])[codes]
    if empty.any():
        row = int(np.flatnonzero(empty)[0]) + 1
        raise VadprobeError(f"{path}: the column {column!r} is empty in row {row}; every score needs a video name.")
    return names, codes


def _table_numbers(path: Path, table: pa.Table, name: str) -> np.ndarray:
    kind = table[name].type
    message = f"{path}: the column {name!r} must hold numbers, got {kind}; correct it or name another column."
    if not any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)):
        raise VadprobeError(message)
    try:
        values = table[name].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise VadprobeError(message) from error
    return np.asarray(values, dtype=np.float64)
