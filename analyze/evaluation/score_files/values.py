"""Scores of one video as they are in a file, and checks for all formats."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import short

LARGEST = 1e100
"""Largest absolute score that is accepted; sums of larger numbers over frames might overflow."""

_MAX_PLACE = 2**40

SHOWN = 40
"""Largest number of characters of a wrong value in a message."""


@dataclass(frozen=True, eq=False)
class VideoScores:
    """One video's scores as they are in a file; NaN is unknown.

    Attributes:
        scores: (n,) float64.
        starts, stops: (n,) the file's own numbers; None if the file has scores one after another without them.
        unit: unit of these numbers, "frame" or "segment".
        is_single_frames: True if the file names single frames, so that stops are starts + 1.
        n_unmapped: number of answers in words that the rule does not cover.
    """

    scores: np.ndarray
    starts: np.ndarray | None = None
    stops: np.ndarray | None = None
    unit: str = "frame"
    is_single_frames: bool = False
    n_unmapped: int = 0


def is_text(name: str) -> bool:
    """Return whether a name can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_kind(value: Any) -> str:
    """Return the kind of a JSON value in words, for messages."""
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else repr(value)[:SHOWN]


def numbers(path: Path, place: Callable[[int], str], values: Sequence[Any]) -> np.ndarray:
    """Return numbers with NaN for None; `place` gives the place of an index in words, for messages."""
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
