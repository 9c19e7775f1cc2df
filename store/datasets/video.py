"""Videos of a dataset and their anomalous intervals."""

import math
from dataclasses import dataclass
from typing import Literal

from vadprobe.store.errors import VadprobeError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Video:
    """One video of a dataset.

    `n_frames` and `fps` are None until the file has been opened. `label` is 1 (anomalous), 0 (normal) or None
    (unknown). `path` is relative to the dataset's video folder, with `/` between its parts.
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
        path, n, fps = self.path, self.n_frames, self.fps
        leads_out = path.startswith(("/", "\\", "~")) or ".." in path.replace("\\", "/").split("/") or "\0" in path
        checks = (
            (not leads_out, "path", "below the dataset's video folder, with '/' between its parts and without '..'"),
            (self.split in SPLITS, "split", f"one of {', '.join(SPLITS)}"),
            (n is None or (isinstance(n, int) and n >= 0), "n_frames", "a whole number from 0, or None"),
            (fps is None or (math.isfinite(fps) and fps > 0), "fps", "a positive number, or None"),
            (self.label in (None, 0, 1), "label", "1 (anomalous), 0 (normal) or None (unknown)"),
        )
        for fits, name, rule in checks:
            if not fits:
                raise VadprobeError(f"video {self.video_id!r}: {name} must be {rule}, got {getattr(self, name)!r}.")


@dataclass(frozen=True, order=True)
class Interval:
    """An anomalous interval `[start_frame, stop_frame)` of a video."""

    video_id: str
    start_frame: int
    stop_frame: int
    category: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start_frame < self.stop_frame:
            raise VadprobeError(
                f"video {self.video_id!r}: an interval must have 0 <= start_frame < stop_frame (frames counted from 0, "
                f"half-open), got [{self.start_frame}, {self.stop_frame})."
            )
