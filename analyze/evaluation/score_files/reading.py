"""Reading score files of other programs: JSON, NPZ, CSV, JSON Lines or Parquet, keyed by video name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vadprobe.analyze.evaluation.score_files.answers import AnswerRule
from vadprobe.analyze.evaluation.score_files.json_files import json_scores
from vadprobe.analyze.evaluation.score_files.npz_files import npz_scores
from vadprobe.analyze.evaluation.score_files.tables import table_scores
from vadprobe.analyze.evaluation.score_files.values import LARGEST, VideoScores, is_text
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.parquet import notes_in
from vadprobe.store.files.text import error_text

SCORE_SUFFIXES = (".json", ".npz", ".csv", ".jsonl", ".parquet")
_TABLE_SUFFIXES = SCORE_SUFFIXES[2:]


def read_scores(
    path: Path,
    *,
    key: str | None = None,
    video_column: str | None = None,
    score_column: str | None = None,
    answers: AnswerRule | None = None,
) -> dict[str, VideoScores]:
    """Read a score file.

    - JSON: an object from video name to a list of scores (null is unknown), to a list of [start, stop, score], or to an
      object from "start, stop" to a score or to a list that begins with one; `key` names the part of the file that
      holds it, dots going deeper and '*' into every video's object; `answers` makes scores of answers in words.
    - NPZ: one array per video name, of one dimension. Arrays of Python objects are never loaded.
    - CSV, JSON Lines, Parquet: columns `video_id`, `score`, and either `start_frame` and `stop_frame`, or
      `frame`, or `segment`.

    Returns:
        Scores by video name, without folder and video extension.

    Raises:
        VadprobeError: if the file is missing, of another format or malformed, a name is empty or occurs twice, or a
            score is infinite or not a number.
    """
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise VadprobeError(f"the score file {path} cannot be opened ({error_text(error)}); check --scores.") from error
    if not is_there:
        raise VadprobeError(f"there is no score file {path}; check --scores.")
    if is_folder:
        raise VadprobeError(f"--scores {path} is a folder; name the score file in it ({', '.join(SCORE_SUFFIXES)}).")
    suffix = path.suffix.lower()
    if suffix not in SCORE_SUFFIXES:
        raise VadprobeError(f"the score file {path} is none of {', '.join(SCORE_SUFFIXES)}; save it as one of them.")
    if key is not None and suffix != ".json":
        raise VadprobeError(f"a scores key ({key!r}) goes with a JSON file, and {path.name} is not one; leave it out.")
    if answers is not None and suffix != ".json":
        raise VadprobeError(f"--answers goes with a JSON file, and {path.name} is not one; leave it out.")
    column = video_column or score_column
    if column is not None and suffix not in _TABLE_SUFFIXES:
        raise VadprobeError(
            f"a column ({column!r}) is of a table ({', '.join(_TABLE_SUFFIXES)}), and {path.name} is not "
            "one; leave out --video-column and --score-column."
        )
    if suffix == ".json":
        return _named(path, json_scores(path, key, answers))
    if suffix == ".npz":
        return _named(path, npz_scores(path))
    return _named(path, table_scores(path, video_column, score_column))


def notes_of(path: Path) -> tuple[str, ...]:
    """Return the notes for readers in a score file that vadprobe wrote; empty for other files."""
    return notes_in(path) if path.suffix.lower() == ".parquet" else ()


def _named(path: Path, scores: Sequence[tuple[str, VideoScores]]) -> dict[str, VideoScores]:
    """Key the scores by video names without folder and extension, each once."""
    found: dict[str, VideoScores] = {}
    written: dict[str, str] = {}
    for name, values in scores:
        video_id = video_name(name)
        if not video_id or not is_text(name):
            raise VadprobeError(f"{path}: {name!a} is not a video name; name the video that its scores belong to.")
        if video_id in found:
            both = f" ({written[video_id]!r} and {name!r})" if written[video_id] != name else ""
            raise VadprobeError(f"{path} has scores of the video {video_id!r} twice{both}; keep one of them.")
        large = values.scores[np.abs(values.scores) > LARGEST]
        if len(large):
            kind = "an infinite value" if np.isinf(large[0]) else f"{large[0]:g}"
            raise VadprobeError(
                f"{path}: the scores of {name!r} must be numbers within 1e100, or null (unknown), got {kind}."
            )
        found[video_id], written[video_id] = values, name
    return found
