"""Segments and events as the files of a detection hold them, one JSON object a line."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from vadprobe.store.errors import VadprobeError

State = Literal["anomalous", "normal", "unknown"]
Read = TypeVar("Read")


@dataclass(frozen=True)
class StoredSegment:
    """A line of the scores; the fields are those of `ShownSegment`."""

    start_frame: int
    stop_frame: int
    start_second: float
    stop_second: float
    score: float | None
    smoothed: float | None
    state: State


@dataclass(frozen=True)
class StoredEvent:
    """A line of the events; the fields are those of `ShownEvent`."""

    start_frame: int
    stop_frame: int
    start_second: float
    stop_second: float
    peak_score: float


def read_segments(path: Path, video: str) -> Iterator[StoredSegment]:
    """Yield the segments of one video, read as they are needed.

    Raises:
        VadprobeError: if the file is missing, or a line is no segment.
    """
    return _lines(path, video, _segment)


def read_events(path: Path, video: str) -> Iterator[StoredEvent]:
    """Yield the events of one video.

    Raises:
        VadprobeError: if the file is missing, or a line is no event.
    """
    return _lines(path, video, _event)


def _segment(line: Mapping[str, Any]) -> StoredSegment:
    score, smoothed = (None if line[name] is None else float(line[name]) for name in ("score", "smoothed"))
    if line["state"] not in ("anomalous", "normal", "unknown"):
        raise ValueError("unknown state")
    return StoredSegment(*_place(line), score, smoothed, cast(State, line["state"]))


def _event(line: Mapping[str, Any]) -> StoredEvent:
    return StoredEvent(*_place(line), float(line["peak_score"]))


def _place(line: Mapping[str, Any]) -> tuple[int, int, float, float]:
    return (
        int(line["start_frame"]),
        int(line["stop_frame"]),
        float(line["start_second"]),
        float(line["stop_second"]),
    )


def _lines(path: Path, video: str, read: Callable[[Mapping[str, Any]], Read]) -> Iterator[Read]:
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError as error:
        raise VadprobeError(
            f"{path.parent} must be the results of a detection, but has no {path.name}; run 'vadprobe detect' first."
        ) from error
    with file:
        for number, text in enumerate(file, start=1):
            try:
                line = json.loads(text)
                found = read(line) if line["video"] == video else None
            except (KeyError, TypeError, ValueError) as error:
                raise VadprobeError(f"line {number} of {path.name} cannot be read; run the detection again.") from error
            if found is not None:
                yield found
