"""The script of one generated video."""

from dataclasses import dataclass

import numpy as np

PLACES = ("street", "walkway", "square", "parking")
KINDS = ("Panic", "Explosion", "VehicleOnWalkway", "Fighting", "AbandonedObject")


@dataclass(frozen=True)
class Shot:
    """The script of one video: its place, length, rate, and the frames `[start, stop)` of an anomaly of `kind`.

    Intervals are ascending and apart; a normal video has none, and no kind.
    """

    place: str
    n_frames: int
    fps: int
    kind: str | None = None
    intervals: tuple[tuple[int, int], ...] = ()

    @property
    def truth(self) -> np.ndarray:
        """(n_frames,) bool, True where a frame is anomalous."""
        truth = np.zeros(self.n_frames, dtype=bool)
        for start, stop in self.intervals:
            truth[start:stop] = True
        return truth
