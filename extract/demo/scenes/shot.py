"""The script of one generated video."""

from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError

PLACES = ("street", "walkway", "square", "parking")
KINDS = ("Panic", "Explosion", "VehicleOnWalkway", "Fighting", "AbandonedObject")


@dataclass(frozen=True)
class Shot:
    """The script of one video: its place, length, rate, and the frames ``[start, stop)`` of an anomaly of ``kind``."""

    place: str
    n_frames: int
    fps: int
    kind: str | None = None
    intervals: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise VadprobeError(f"the place must be one of {', '.join(PLACES)}, got {self.place!r}.")
        if self.n_frames < 1 or self.fps < 1:
            raise VadprobeError(f"frames and frames per second must be at least 1, got {self.n_frames} and {self.fps}.")
        if (self.kind is None) != (not self.intervals) or self.kind not in (None, *KINDS):
            raise VadprobeError(
                f"the kind {self.kind!r} goes with {len(self.intervals)} intervals; a normal video has kind None and "
                f"no interval, an anomalous one has at least one interval and a kind of {', '.join(KINDS)}."
            )
        edges = [0, *(edge for interval in self.intervals for edge in interval), self.n_frames]
        if edges != sorted(edges) or any(start == stop for start, stop in self.intervals):
            raise VadprobeError(
                f"the intervals {self.intervals} must be ascending, apart, not empty, and inside the frames "
                f"[0, {self.n_frames}), half-open."
            )

    @property
    def truth(self) -> np.ndarray:
        """(n_frames,) bool, True where a frame is anomalous."""
        truth = np.zeros(self.n_frames, dtype=bool)
        for start, stop in self.intervals:
            truth[start:stop] = True
        return truth
