"""Reading scores that others computed: JSON, NPZ, CSV, JSON Lines or Parquet, keyed by video name."""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from vadprobe.store.annotations.json_files import JsonObject, read_json_object
from vadprobe.store.annotations.names import video_name
from vadprobe.store.errors import VadprobeError
from vadprobe.store.joining import naming

_VIDEO_COLUMNS, _SCORE_COLUMNS = ("video_id", "video", "name"), ("score", "anomaly_score", "prediction")
_PLACES = (("start_frame", "stop_frame"), ("frame",), ("segment",))
SCORE_SUFFIXES = (".json", ".npz", ".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, eq=False)
class VideoScores:
    """One video's scores as the file has them; NaN is unknown.

    ``starts`` and ``stops`` are the file's own numbers, None where it has one score after the other; ``unit`` says what
    they count: "frame" or "segment". ``is_single_frames``: the file named frames one by one, and stops are starts + 1.
    """

    scores: np.ndarray
    starts: np.ndarray | None = None
    stops: np.ndarray | None = None
    unit: str = "frame"
    is_single_frames: bool = False


def read_scores(
    path: Path, *, key: str | None = None, video_column: str | None = None, score_column: str | None = None
) -> dict[str, VideoScores]:
    """Read a score file.

    - JSON: an object from video name to a list of scores (null is unknown), or to a list of [start, stop, score];
      ``key`` names the part of the file that holds it, dots going deeper.
    - NPZ: one array per video name, of one dimension. Arrays of Python objects are never loaded.
    - CSV, JSON Lines, Parquet: columns ``video_id``, ``score``, and either ``start_frame`` and ``stop_frame``, or
      ``frame``, or ``segment``.

    Returns:
        Scores by video name, without folder and video extension.

    Raises:
        VadprobeError: if the file is missing, of another format or malformed, a name occurs twice, or a score is
            infinite or not a number.
    """
    if not path.exists():
        raise VadprobeError(f"there is no score file {path}; check --scores.")
    suffix = path.suffix.lower()
    if suffix not in SCORE_SUFFIXES:
        raise VadprobeError(f"the score file {path} is none of {', '.join(SCORE_SUFFIXES)}; save it as one of them.")
    if key is not None and suffix != ".json":
        raise VadprobeError(f"a scores key ({key!r}) goes with a JSON file, and {path.name} is none; leave it out.")
    if suffix == ".json":
        return _named(path, _json_scores(path, key))
    if suffix == ".npz":
        return _named(path, _npz_scores(path))
    return _table_scores(path, _table(path), video_column, score_column)


def _named(path: Path, scores: list[tuple[str, VideoScores]]) -> dict[str, VideoScores]:
    found: dict[str, VideoScores] = {}
    for name, values in scores:
        video_id = video_name(name)
        if video_id in found:
            raise VadprobeError(f"{path} has scores of the video {video_id!r} twice; keep one of them.")
        if np.isinf(values.scores).any():
            raise VadprobeError(f"{path}: the scores of {name!r} hold an infinite value; a number or null is wanted.")
        found[video_id] = values
    return found


def _json_scores(path: Path, key: str | None) -> list[tuple[str, VideoScores]]:
    content: Any = read_json_object(path, "score file")
    for part in key.split(".") if key else ():
        if not isinstance(content, JsonObject) or part not in content:
            has = ", ".join(list(content)[:8]) if isinstance(content, dict) else type(content).__name__
            raise VadprobeError(f"{path} has no key {key!r}: there is no {part!r} among {has}; correct --scores-key.")
        content = content[part]
    if not isinstance(content, JsonObject) or not content:
        raise VadprobeError(f"{path}: an object from video names to scores is wanted under {key!r}.")
    nested = [name for name, value in content.pairs if isinstance(value, dict)]
    if nested and len(nested) == len(content):
        raise VadprobeError(
            f"{path} holds objects, not lists of scores, under {naming(nested)}; name the one that holds the scores, "
            f"such as --scores-key {nested[0]}."
        )
    return [(name, _json_video(path, name, value)) for name, value in content.pairs]


def _json_video(path: Path, name: str, value: Any) -> VideoScores:
    if isinstance(value, list) and value and all(isinstance(item, list) and len(item) == 3 for item in value):
        columns = [_numbers(path, name, [item[place] for item in value]) for place in range(3)]
        starts, stops = (_whole_frames(path, name, column) for column in columns[:2])
        return VideoScores(columns[2], starts, stops)
    if not isinstance(value, list):
        raise VadprobeError(f"{path}: the scores of {name!r} are no list; one number per frame or segment is wanted.")
    return VideoScores(_numbers(path, name, value))


def _numbers(path: Path, name: str, values: list[Any]) -> np.ndarray:
    plain = [math.nan if value is None else value for value in values]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in plain):
        wrong = next(i for i, v in enumerate(plain) if isinstance(v, bool) or not isinstance(v, int | float))
        raise VadprobeError(
            f"{path}: score {wrong} of {name!r} is {str(values[wrong])[:40]!r}; a number, or null (unknown), is wanted."
        )
    try:
        return np.array(plain, dtype=np.float64)
    except OverflowError as error:
        raise VadprobeError(f"{path}: a score of {name!r} is too large for a float; a number is wanted.") from error


def _whole_frames(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    if not np.all(np.isfinite(values) & (values == np.floor(values)) & (values >= 0) & (values < 2**40)):
        raise VadprobeError(f"{path}: {name!r} has a frame number that is not whole and at least 0; correct it.")
    return values.astype(np.int64)


def _npz_scores(path: Path) -> list[tuple[str, VideoScores]]:
    found = []
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                found.append((name, np.asarray(archive[name])))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, SyntaxError, NotImplementedError) as error:
        raise VadprobeError(
            f"the score file {path} is not readable as NPZ ({str(error).splitlines()[0]}); save one array of numbers "
            "per video with numpy.savez."
        ) from error
    for name, values in found:
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise VadprobeError(
                f"{path}: the array {name!r} is {values.dtype} of shape {values.shape}; one number per frame or "
                "segment is wanted."
            )
    return [(name, VideoScores(values.astype(np.float64))) for name, values in found]


def _table(path: Path) -> pa.Table:
    readers: Mapping[str, Any] = {".csv": pa.csv.read_csv, ".jsonl": pa.json.read_json, ".parquet": pq.read_table}
    try:
        return readers[path.suffix.lower()](path)
    except (pa.ArrowException, OSError) as error:
        raise VadprobeError(f"the score file {path} cannot be read ({str(error).splitlines()[0]}).") from error


def _table_scores(
    path: Path, table: pa.Table, video_column: str | None, score_column: str | None
) -> dict[str, VideoScores]:
    video = _column(path, table, "--video-column", (video_column,) if video_column else _VIDEO_COLUMNS)
    score = _column(path, table, "--score-column", (score_column,) if score_column else _SCORE_COLUMNS)
    places = next((names for names in _PLACES if set(names) <= set(table.column_names)), None)
    if places is None:
        raise VadprobeError(
            f"{path} has the columns {', '.join(table.column_names)}, and none says where a score belongs; add "
            "start_frame and stop_frame, or frame, or segment. The order of rows is not trusted."
        )
    if table.num_rows == 0:
        raise VadprobeError(f"the score file {path} has no row.")
    names = [None if name is None else video_name(str(name)) for name in table[video].to_pylist()]
    if None in names or "" in names:
        row = next(row for row, name in enumerate(names) if not name)
        raise VadprobeError(f"{path}, row {row + 1}: the column {video!r} is empty; every score needs a video name.")
    values = _table_numbers(path, table, score)
    columns = [_whole_frames(path, name, _table_numbers(path, table, name)) for name in places]
    codes: dict[str, int] = {}
    code = np.array([codes.setdefault(str(name), len(codes)) for name in names])
    order = np.lexsort((columns[0], code))
    bounds = np.searchsorted(code[order], np.arange(len(codes) + 1))
    unit = "segment" if places == ("segment",) else "frame"
    return {
        name: VideoScores(
            values[rows],
            columns[0][rows],
            columns[1][rows] if len(columns) == 2 else columns[0][rows] + 1,
            unit,
            places == ("frame",),
        )
        for name, number in codes.items()
        for rows in [order[bounds[number] : bounds[number + 1]]]
    }


def _column(path: Path, table: pa.Table, option: str, names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in table.column_names), None)
    if found is None:
        raise VadprobeError(
            f"{path} has no column {' or '.join(map(repr, names))}, only {', '.join(table.column_names)}; name it with "
            f"{option}."
        )
    return found


def _table_numbers(path: Path, table: pa.Table, name: str) -> np.ndarray:
    try:
        values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError) as error:
        raise VadprobeError(f"{path}: the column {name!r} is {table[name].type}, numbers are wanted.") from error
    if np.isinf(values).any():
        raise VadprobeError(f"{path}: the column {name!r} holds an infinite value; a number is wanted.")
    return np.asarray(values, dtype=np.float64)
