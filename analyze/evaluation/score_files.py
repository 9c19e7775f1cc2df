"""Reading scores that others computed: JSON, NPZ, CSV, JSON Lines or Parquet, keyed by video name."""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject, read_json_object
from vadprobe.store.datasets.annotations.rows.rows import read_text
from vadprobe.store.datasets.joining import naming
from vadprobe.store.errors import VadprobeError

_VIDEO_COLUMNS, _SCORE_COLUMNS = ("video_id", "video", "name"), ("score", "anomaly_score", "prediction")
_PLACES = (("start_frame", "stop_frame"), ("frame",), ("segment",))
SCORE_SUFFIXES = (".json", ".npz", ".csv", ".jsonl", ".parquet")
_TABLE_SUFFIXES = SCORE_SUFFIXES[2:]

_LARGEST = 1e100
"""No score is beyond it; sums of such numbers over frames would overflow."""

_MAX_PLACE = 2**40


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
        VadprobeError: if the file is missing, of another format or malformed, a name is empty or occurs twice, or a
            score is infinite or not a number.
    """
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise VadprobeError(f"the score file {path} cannot be opened ({_said(error)}); check --scores.") from error
    if not is_there:
        raise VadprobeError(f"there is no score file {path}; check --scores.")
    if is_folder:
        raise VadprobeError(f"--scores {path} is a folder; name the score file in it ({', '.join(SCORE_SUFFIXES)}).")
    suffix = path.suffix.lower()
    if suffix not in SCORE_SUFFIXES:
        raise VadprobeError(f"the score file {path} is none of {', '.join(SCORE_SUFFIXES)}; save it as one of them.")
    if key is not None and suffix != ".json":
        raise VadprobeError(f"a scores key ({key!r}) goes with a JSON file, and {path.name} is none; leave it out.")
    column = video_column or score_column
    if column is not None and suffix not in _TABLE_SUFFIXES:
        raise VadprobeError(
            f"a column ({column!r}) is of a table ({', '.join(_TABLE_SUFFIXES)}), and {path.name} is none; leave out "
            "--video-column and --score-column."
        )
    if suffix == ".json":
        return _named(path, _json_scores(path, key))
    if suffix == ".npz":
        return _named(path, _npz_scores(path))
    videos = (video_column,) if video_column else _VIDEO_COLUMNS
    scores = (score_column,) if score_column else _SCORE_COLUMNS
    return _named(path, _table_scores(path, _table(path, videos, scores), videos, scores))


def _named(path: Path, scores: Sequence[tuple[str, VideoScores]]) -> dict[str, VideoScores]:
    found: dict[str, VideoScores] = {}
    said: dict[str, str] = {}
    for name, values in scores:
        video_id = video_name(name)
        if not video_id or not _is_text(name):
            raise VadprobeError(f"{path}: {name!a} is no video name; name the video its scores belong to.")
        if video_id in found:
            both = f" ({said[video_id]!r} and {name!r})" if said[video_id] != name else ""
            raise VadprobeError(f"{path} has scores of the video {video_id!r} twice{both}; keep one of them.")
        large = values.scores[np.abs(values.scores) > _LARGEST]
        if len(large):
            kind = "an infinite value" if np.isinf(large[0]) else f"{large[0]:g}"
            raise VadprobeError(
                f"{path}: the scores of {name!r} hold {kind}; a number within 1e100, or null (unknown), is wanted."
            )
        found[video_id], said[video_id] = values, name
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _said(error: BaseException) -> str:
    """The first line of an error's own words, or its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _json_scores(path: Path, key: str | None) -> list[tuple[str, VideoScores]]:
    content = _json_part(path, read_json_object(path, "score file"), key)
    if not isinstance(content, JsonObject) or not content:
        got = "an empty object" if isinstance(content, dict) else _json_kind(content)
        raise VadprobeError(f"{path} holds {got} under {key!r}; an object from video names to scores is wanted.")
    nested = [name for name, value in content.pairs if isinstance(value, dict)]
    if nested:
        below = next((found for name in nested for found in _keys_of_lists(content[name], name)), None)
        hint = (
            "a list for every video is wanted. If other things stand beside the scores, put these under a key and name "
            "it with --scores-key"
            if below is None
            else f"name the one that holds the scores, such as --scores-key {key + '.' if key else ''}{below}"
        )
        raise VadprobeError(f"{path} holds objects, not lists of scores, under {naming(nested)}; {hint}.")
    return [(name, _json_video(path, name, value)) for name, value in content.pairs]


def _json_part(path: Path, content: JsonObject, key: str | None) -> Any:
    """What is under a key, itself or with dots going deeper."""
    if key is None:
        return content
    part: Any = content
    for step in (key,) if key in content else key.split("."):
        if not isinstance(part, JsonObject) or step not in part:
            has = naming(list(part)) if isinstance(part, dict) else _json_kind(part)
            raise VadprobeError(f"{path} has no key {key!r}: there is no {step!r} among {has}; correct --scores-key.")
        if sum(name == step for name, _ in part.pairs) > 1:
            raise VadprobeError(f"{path} has the key {step!r} twice; keep one of them.")
        part = part[step]
    return part


def _keys_of_lists(value: Any, key: str, depth: int = 3) -> Iterator[str]:
    """Dotted keys of the objects that hold a list, a few levels deep."""
    if not isinstance(value, dict) or depth == 0:
        return
    if any(isinstance(part, list) for part in value.values()):
        yield key
    for name, part in value.items():
        yield from _keys_of_lists(part, f"{key}.{name}", depth - 1)


def _json_kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else repr(value)[:40]


def _json_video(path: Path, name: str, value: Any) -> VideoScores:
    if isinstance(value, list) and value and all(isinstance(item, list) and len(item) == 3 for item in value):
        columns = [
            _numbers(path, lambda i: f"segment {i} of {name!r}", [row[place] for row in value]) for place in range(3)
        ]
        starts, stops = (_whole_frames(path, name, column) for column in columns[:2])
        return VideoScores(columns[2], starts, stops)
    if not isinstance(value, list):
        raise VadprobeError(
            f"{path}: the scores of {name!r} are {_json_kind(value)}, no list; one number per frame or segment is "
            "wanted. If other things stand beside the scores, put these under a key and name it with --scores-key."
        )
    if any(isinstance(item, list | dict) for item in value):
        raise VadprobeError(
            f"{path}: the scores of {name!r} hold {_shortened(next(i for i in value if isinstance(i, list | dict)))}; "
            "a list of numbers, or a list of [start, stop, score] only, is wanted."
        )
    return VideoScores(_numbers(path, lambda i: f"score {i} of {name!r}", value))


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _numbers(path: Path, place: Callable[[int], str], values: Sequence[Any]) -> np.ndarray:
    """Numbers with NaN for None; ``place`` says in words where the one of an index stands."""
    plain = [math.nan if value is None else value for value in values]
    if not all(type(value) is float or type(value) is int for value in plain):
        wrong = next(i for i, v in enumerate(plain) if type(v) is not float and type(v) is not int)
        raise VadprobeError(
            f"{path}: {place(wrong)} is {_shortened(values[wrong])}; a number, or null (unknown), is wanted."
        )
    try:
        return np.array(plain, dtype=np.float64)
    except OverflowError as error:
        wrong = next(i for i, value in enumerate(plain) if type(value) is int and abs(value) > _LARGEST)
        raise VadprobeError(f"{path}: {place(wrong)} is too large a number; one within 1e100 is wanted.") from error


def _shown(value: float) -> str:
    return "null" if math.isnan(value) else f"{value:g}"


def _whole_frames(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    wrong = ~(np.isfinite(values) & (values == np.floor(values)) & (values >= 0) & (values < _MAX_PLACE))
    if wrong.any():
        raise VadprobeError(
            f"{path}: {name!r} has the frame or segment number {_shown(values[wrong][0])}; a whole number from 0, "
            f"below {_MAX_PLACE}, is wanted."
        )
    return values.astype(np.int64)


# What reading a damaged or foreign archive raises: NumPy, zipfile and the header's parser each have their own.
_NPZ_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    KeyError,
    TypeError,
)


def _npz_scores(path: Path) -> list[tuple[str, VideoScores]]:
    found: list[tuple[str, Any]] = []
    try:
        # A lone array is opened too, and has no names; object arrays raise ValueError.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                found.append((name, archive[name]))
    except _NPZ_ERRORS as error:
        if "pickle" in str(error).lower():
            raise VadprobeError(
                f"the score file {path} holds Python objects, which are never loaded; save one array of numbers per "
                "video with numpy.savez."
            ) from error
        raise VadprobeError(
            f"the score file {path} is not readable as NPZ ({_said(error)}); save one array of numbers per video with "
            "numpy.savez."
        ) from error
    if not found:
        raise VadprobeError(f"the score file {path} holds no array; save one per video with numpy.savez.")
    for name, values in found:
        if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iuf":
            got = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "no array"
            raise VadprobeError(
                f"{path}: the array {name!r} is {got}; one number per frame or segment is wanted, in one dimension."
            )
    with np.errstate(over="ignore"):  # a long double that no double holds becomes infinite, which is refused
        return [(name, VideoScores(values.astype(np.float64))) for name, values in found]


def _table(path: Path, videos: Sequence[str], scores: Sequence[str]) -> pa.Table:
    """The table with names as text and the columns that matter as numbers, its column names without white space."""
    numbers = (*scores, *(name for names in _PLACES for name in names))
    try:
        if path.suffix.lower() == ".csv":
            # Without types, "007" would be the number 7, and a column that begins with many 0 an integer one.
            types = {
                f"{before}{name}": pa.string() if name in videos else pa.float64()
                for name in (*numbers, *videos)
                for before in ("", " ")
            }
            table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types))
        elif path.suffix.lower() == ".jsonl":
            table = _json_lines(path, videos, numbers)
        else:
            table = pq.read_table(path)
        names = [name.strip() for name in table.column_names]
    except VadprobeError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise VadprobeError(
            f"the score file {path} cannot be read ({_said(error)}); correct it, or save it again."
        ) from error
    twice = next((name for name in names if names.count(name) > 1 and name in (*videos, *numbers)), None)
    if twice is not None:
        raise VadprobeError(f"{path} has the column {twice!r} twice; rename one.")
    return table.rename_columns(names)


def _json_lines(path: Path, videos: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    rows: list[JsonObject] = []
    lines: list[int] = []
    for number, line in enumerate(read_text(path, "score file").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=JsonObject)
        except (ValueError, RecursionError) as error:
            raise VadprobeError(
                f"the score file {path}, line {number}, is not valid JSON ({_said(error)}); one object per line is "
                "wanted."
            ) from error
        if not isinstance(row, JsonObject) or len(row) < len(row.pairs):
            got = "an object with a key twice" if isinstance(row, JsonObject) else _json_kind(row)
            raise VadprobeError(f"the score file {path}, line {number}, is {got}; one object per line is wanted.")
        rows.append(row)
        lines.append(number)
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row if _is_text(name)):
        values = [row.get(name) for row in rows]
        if name in numbers:
            columns[name] = _numbers(path, _in_line(name, lines), values)
        elif name in videos:
            wrong = next((i for i, v in enumerate(values) if not isinstance(v, str) or not _is_text(v)), None)
            if wrong is not None:
                raise VadprobeError(
                    f"{path}: {name!r} in line {lines[wrong]} is {ascii(values[wrong])[:40]}; a video name is wanted."
                )
            columns[name] = pa.array(values, pa.string())
        else:
            columns[name] = pa.nulls(len(rows))
    return pa.table(columns)


def _in_line(name: str, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda row: f"{name!r} in line {lines[row]}"


def _table_scores(
    path: Path, table: pa.Table, videos: Sequence[str], scores: Sequence[str]
) -> list[tuple[str, VideoScores]]:
    if table.num_rows == 0:
        raise VadprobeError(f"the score file {path} has no row; one per frame or segment is wanted.")
    video = _column(path, table, "--video-column", videos)
    score = _column(path, table, "--score-column", scores)
    places = next((names for names in _PLACES if set(names) <= set(table.column_names)), None)
    if places is None:
        raise VadprobeError(
            f"{path} has the columns {_columns(table)}, and none says where a score belongs; add start_frame and "
            "stop_frame, or frame, or segment. The order of rows is not trusted."
        )
    names, code = _video_codes(path, table, video)
    values = _table_numbers(path, table, score)
    columns = [_whole_frames(path, name, _table_numbers(path, table, name)) for name in places]
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
    """The names as the file has them, and (rows,) which of them each row is of."""
    try:
        texts = table[column].cast(pa.string()).combine_chunks()
        encoded = texts.dictionary_encode()
        names = [str(name) for name in encoded.dictionary.to_pylist()]
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise VadprobeError(
            f"{path}: the column {column!r} is {table[column].type}, video names are wanted; name another with "
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
    message = f"{path}: the column {name!r} is {kind}, numbers are wanted; correct it or name another column."
    if not any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)):
        raise VadprobeError(message)
    try:
        values = table[name].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise VadprobeError(message) from error
    return np.asarray(values, dtype=np.float64)
