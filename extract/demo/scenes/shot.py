"""The script of one generated video."""

from dataclasses import dataclass

import numpy as np

PLACES = ("street", "walkway", "square", "parking")
KINDS = ("Panic", "Explosion", "VehicleOnWalkway", "Fighting", "AbandonedObject")
"""Anomalies of version 1 of the world."""

NAMED_KINDS = (*KINDS, "Cycling")
"""Anomalies of version 2 that the captioner's pre-training shows and names."""

UNNAMED_KINDS = ("Fall", "Climbing", "LooseAnimal", "Loitering")
"""Anomalies of version 2 that the captioner's pre-training neither shows nor names."""

NAMED_LOOK_ALIKES = (
    "Jogging",
    "Playing",
    "Hugging",
    "Dancing",
    "Delivery",
    "BagSetDown",
    "CaseCarried",
    "Steam",
    "BicyclePushed",
    "Sitting",
    "LeashedDog",
    "Waiting",
    "LadderWork",
)
"""Harmless happenings that the pre-training shows and names: each resembles an anomaly."""

UNNAMED_LOOK_ALIKES = ("Umbrella", "PramPushed", "BroomSweeping")
"""Harmless happenings that the pre-training neither shows nor names, so that novelty alone is no anomaly."""

WEATHER = ("clear", "dusk", "rain")


@dataclass(frozen=True)
class Happening:
    """Something that goes on in frames `[start, stop)` beside people who walk and cars that drive."""

    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Shot:
    """The script of one video.

    In version 1 the attributes from `harmless` on keep their defaults, and chance decides; in version 2 they are set.

    Attributes:
        place: one of `PLACES`.
        n_frames: length in frames.
        fps: frames per second.
        kind: kind of all its anomalies; None for a normal video.
        intervals: frames `[start, stop)` of anomalies, ascending and apart; empty for a normal video.
        harmless: look-alikes of anomalies.
        weather: one of `WEATHER`.
        shake: amplitude of the camera's movement in pixels.
        crowd: number of people who walk by.
        cars: number of cars on the road.
        faintness: from 0, people and vehicles as they are, to 1, invisible.
        occluders: number of posts and bushes before the walkway.
        version: of the world, 1 or 2.
    """

    place: str
    n_frames: int
    fps: int
    kind: str | None = None
    intervals: tuple[tuple[int, int], ...] = ()
    harmless: tuple[Happening, ...] = ()
    weather: str = "clear"
    shake: float = 0.0
    crowd: int = 0
    cars: int = 0
    faintness: float = 0.0
    occluders: int = 0
    version: int = 1

    @property
    def truth(self) -> np.ndarray:
        """(n_frames,) bool, True where a frame is anomalous."""
        truth = np.zeros(self.n_frames, dtype=bool)
        for start, stop in self.intervals:
            truth[start:stop] = True
        return truth
