"""Scores of one video as a file has them, and the checks that all formats share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import short

LARGEST = 1e100
"""No score is beyond it; sums of such numbers over frames would overflow."""

_MAX_PLACE = 2**40

SHOWN = 40
"""Characters of a wrong value that a message repeats."""


@dataclass(frozen=True, eq=False)
class VideoScores:
    """One video's scores as the file has them; NaN is unknown.

    `starts` and `stops` are the file's own numbers, None where it has one score after the other; `unit` says what
    they count: "frame" or "segment". `is_single_frames`: the file named frames one by one, and stops are starts + 1.
    `n_unmapped`: answers in words of which the rule made no score.
    """

    scores: np.ndarray
    starts: np.ndarray | None = None
    stops: np.ndarray | None = None
    unit: str = "frame"
    is_single_frames: bool = False
    n_unmapped: int = 0


def is_text(name: str) -> bool:
    """Tell if a name can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_kind(value: Any) -> str:
    """Name the kind of a JSON value that is not what it should be."""
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else repr(value)[:SHOWN]


def numbers(path: Path, place: Callable[[int], str], values: Sequence[Any]) -> np.ndarray:
    """Return numbers with NaN for None; `place` says in words where the one of an index stands."""
    plain = [math.nan if value is None else value for value in values]
    wrong = next((i for i, value in enumerate(plain) if type(value) not in (float, int)), None)
    if wrong is not None:
        got = short(repr(values[wrong]), SHOWN)
        raise VadprobeError(f"{path}: {place(wrong)} must be a number, or null (unknown), got {got}.")
    try:
        return np.array(plain, dtype=np.float64)
    except OverflowError as error:
        large = next(i for i, value in enumerate(plain) if type(value) is int and abs(value) > LARGEST)
        raise VadprobeError(f"{path}: {place(large)} must be a number within 1e100.") from error


def whole_frames(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return frame or segment numbers as int64."""
    wrong = ~(np.isfinite(values) & (values == np.floor(values)) & (values >= 0) & (values < _MAX_PLACE))
    if wrong.any():
        got = "null" if math.isnan(values[wrong][0]) else f"{values[wrong][0]:g}"
        raise VadprobeError(
            f"{path}: a frame or segment number of {name!r} must be a whole number from 0, below {_MAX_PLACE}, got "
            f"{got}."
        )
    return values.astype(np.int64)
