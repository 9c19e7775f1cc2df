"""The interface between reading video and scoring it: frames in order, with their times."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import numpy as np

from vadprobe.store.errors import VadprobeError


class SourceError(VadprobeError):
    """Raised when a source breaks off, with its reason. Frames that it gave before stay valid."""


class TimedFrame(NamedTuple):
    """One frame of a source.

    Attributes:
        index: number of the frame, ascending. Lost and dropped frames keep their numbers, so segment t of w frames is
            always `[t w, (t + 1) w)`.
        seconds: time since the first frame of the source.
        pixels: (height, width, 3) uint8, RGB, the right way up.
        wall: time of day, in seconds since 1970 (UTC), at which a live frame was taken, estimated from its arrival;
            None for recorded video.
        follows_gap: True if frames between this one and the one before are missing; nothing is smoothed or joined
            across the gap.
    """

    index: int  # type: ignore[assignment] # tuples have a method of this name, which nobody calls
    seconds: float
    pixels: np.ndarray
    wall: float | None = None
    follows_gap: bool = False


class FrameSource(Protocol):
    """Frames of one video or stream, each given once.

    Attributes:
        name: name of the source, which fits into a file's name and holds no secret.
        fps: frames per second; None as long as they are unknown.
        notes: sentences on frames that were lost, dropped or joined so far.
    """

    @property
    def name(self) -> str:
        """Name of the source."""

    @property
    def fps(self) -> float | None:
        """Average frames per second."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what happened so far."""

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames until the source ends.

        Raises:
            SourceError: if the source breaks off.
        """

    def close(self) -> None:
        """Release what the source holds; another thread may call this to end `frames`."""


def utc_text(wall: float) -> str:
    """Return a time of day as ISO 8601 in UTC with milliseconds, `2026-11-30T16:20:01.040Z`."""
    stamp = datetime.fromtimestamp(wall, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
