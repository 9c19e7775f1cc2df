"""The seam between what reads video and what scores it: frames in order, with their times."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import numpy as np

from vadprobe.store.errors import VadprobeError


class SourceError(VadprobeError):
    """A source that broke off, with its reason. Frames it gave before stay valid."""


class TimedFrame(NamedTuple):
    """One frame of a source.

    Attributes:
        index: number of the frame, ascending. Numbers that are left out belong to frames that are lost or were dropped;
            segment t of `w` frames is `[t w, (t + 1) w)` all the same.
        seconds: time since the first frame of the source.
        pixels: (height, width, 3) uint8, RGB, the way up that the source asks for.
        wall: time of day, in seconds since 1970 (UTC), at which a live frame was taken, as far as its arrival tells;
            None for recorded video.
        follows_gap: frames between this one and the one before are missing: nothing is smoothed or joined across.
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
        fps: frames per second; None where they are not known (yet).
        notes: sentences on what happened so far: what was lost, dropped, or joined.
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
            SourceError: if it breaks off.
        """

    def close(self) -> None:
        """Release what the source holds; another thread may call this to end `frames`."""


def utc_text(wall: float) -> str:
    """Return a time of day as ISO 8601 in UTC with milliseconds, `2026-11-30T16:20:01.040Z`."""
    stamp = datetime.fromtimestamp(wall, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
