"""One video of a dataset and its true intervals."""

import math
from dataclasses import dataclass
from typing import Literal

from vadprobe.store.errors import VadprobeError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Video:
    """One video of a dataset.

    ``n_frames`` and ``fps`` are None until the file has been probed. ``label`` is 1 (anomalous), 0 (normal) or None
    (unknown). ``path`` is relative to the dataset's video folder, with ``/`` between its parts.
    """

    video_id: str
    path: str
    n_frames: int | None = None
    fps: float | None = None
    split: Split = "test"
    label: int | None = None
    category: str | None = None

    def __post_init__(self) -> None:
        if not self.video_id:
            raise VadprobeError(f"video_id is empty for the file {self.path!r}; every video needs a name.")
        if (
            self.path.startswith(("/", "\\", "~"))
            or ".." in self.path.replace("\\", "/").split("/")
            or "\0" in self.path
        ):
            raise VadprobeError(
                f"video {self.video_id!r}: path is {self.path!r}; a path below the dataset's video folder is wanted, "
                "with '/' between its parts and without '..'."
            )
        if self.split not in SPLITS:
            raise VadprobeError(
                f"video {self.video_id!r}: split is {self.split!r}; it must be one of {', '.join(SPLITS)}."
            )
        if self.n_frames is not None and (not isinstance(self.n_frames, int) or self.n_frames < 0):
            raise VadprobeError(
                f"video {self.video_id!r}: n_frames is {self.n_frames!r}; a whole number from 0, or none, is wanted."
            )
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise VadprobeError(f"video {self.video_id!r}: fps is {self.fps!r}; a positive number, or none, is wanted.")
        if self.label not in (None, 0, 1):
            raise VadprobeError(
                f"video {self.video_id!r}: label is {self.label!r}; it must be 1 (anomalous), 0 (normal) "
                "or missing (unknown)."
            )


@dataclass(frozen=True, order=True)
class Interval:
    """An anomalous interval ``[start_frame, stop_frame)`` of a video."""

    video_id: str
    start_frame: int
    stop_frame: int
    category: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start_frame < self.stop_frame:
            raise VadprobeError(
                f"video {self.video_id!r}: the interval [{self.start_frame}, {self.stop_frame}) is empty or negative; "
                "0 <= start_frame < stop_frame is wanted, counted in frames from 0, half-open."
            )
