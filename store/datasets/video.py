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
        leads_out = self.path.startswith(("/", "\\", "~")) or ".." in self.path.replace("\\", "/").split("/")
        checks = (
            (
                leads_out or "\0" in self.path,
                "path",
                "a path below the dataset's video folder, with '/' between its parts and without '..'",
            ),
            (self.split not in SPLITS, "split", f"one of {', '.join(SPLITS)}"),
            (not _is_count(self.n_frames), "n_frames", "a whole number from 0, or None"),
            (not _is_rate(self.fps), "fps", "a positive number, or None"),
            (self.label not in (None, 0, 1), "label", "1 (anomalous), 0 (normal) or None (unknown)"),
        )
        for is_wrong, name, rule in checks:
            if is_wrong:
                raise VadprobeError(f"video {self.video_id!r}: {name} must be {rule}, got {getattr(self, name)!r}.")


def _is_count(value: int | None) -> bool:
    return value is None or (isinstance(value, int) and value >= 0)


def _is_rate(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and value > 0)


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
