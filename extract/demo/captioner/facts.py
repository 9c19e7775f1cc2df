"""Facts of a clip that a caption may tell, read off the tracks of its scene."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE
from vadprobe.extract.demo.scenes.roles import COLOURS, KIND_OF, ROLES
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, NAMED_LOOK_ALIKES, PLACES, WEATHER, Shot
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH, Track

WALKING_ROLES = ("walker", "carrier")
"""Roles of people who walk through the picture; captions count them."""

MANY = 6
"""Number of walking people from which captions count no further."""

NAMED_ROLES = (*ROLES[""], *(role for kind in (*NAMED_KINDS, *NAMED_LOOK_ALIKES) for role in ROLES[kind]))
"""Roles that the pre-training may show."""

PLACED_WORDS = (*NAMED_KINDS, *NAMED_LOOK_ALIKES, *WALKING_ROLES[:1], "car")
"""Words that the vision tower learns together with the parts of the picture where they apply."""

_CELL = 28  # pixels of a frame of `FRAME_SIZE` on a side of one video token
_COVERED = 0.3  # least overlap of a track with a cell, as a part of the smaller of the two

_BRIEF = frozenset({"fire"})  # roles that count when one frame shows them
_FRAMES = 2  # number of frames that must show a happening of any other role

FACT_WORDS = (
    *PLACES,
    *(weather for weather in WEATHER if weather != "clear"),
    *NAMED_KINDS,
    *NAMED_LOOK_ALIKES,
    *COLOURS,
    *WALKING_ROLES[:1],
    "car",
    "cars",
    *(f"people{number}" for number in range(1, MANY + 1)),
)
"""Words that are true or false of a clip; the vision tower learns them first."""


@dataclass(frozen=True)
class Facts:
    """Things seen in the sampled frames of a clip.

    Nothing here considers what is hidden: a fact may lie behind a post, a bush or another figure.

    Attributes:
        place: one of `PLACES`.
        weather: one of `WEATHER`.
        people: the largest number of walking people in one frame.
        cars: the number of cars on the road that are seen in any frame.
        activities: each happening once, as (kind, colour), the colour "" where captions tell none.
    """

    place: str
    weather: str = "clear"
    people: int = 0
    cars: int = 0
    activities: tuple[tuple[str, str], ...] = ()

    @property
    def kinds(self) -> frozenset[str]:
        """Happenings that are seen."""
        return frozenset(kind for kind, _ in self.activities)

    def words(self) -> list[bool]:
        """Return for each of `FACT_WORDS` if it applies."""
        said = {self.place, self.weather, *self.kinds, *(colour for _, colour in self.activities)}
        said |= {WALKING_ROLES[0]} if self.people else set()
        said |= {word for number, word in ((1, "car"), (2, "cars")) if self.cars >= number}
        said |= {f"people{number}" for number in range(1, min(self.people, MANY) + 1)}
        return [word in said for word in FACT_WORDS]

    def as_json(self) -> dict[str, Any]:
        """Return the facts for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Facts":
        """Return the facts that `as_json` wrote."""
        activities = tuple((str(kind), str(colour)) for kind, colour in value["activities"])
        return cls(**{**value, "activities": activities})


def facts_of(shot: Shot, tracks: Sequence[Track], indices: Sequence[int]) -> Facts:
    """Return what the frames `indices` of a shot show.

    A happening counts when something of it is seen in two of the frames; for a fire one frame suffices.

    Raises:
        ValueError: if a track has a role that the pre-training must not show.
    """
    for track in tracks:
        if track.role not in NAMED_ROLES:
            raise ValueError(f"the role of a track must be one of {', '.join(NAMED_ROLES)}, got {track.role!r}.")
    frames = sorted(set(indices))
    people = [sum(t.is_seen(frame) for t in tracks if t.role in WALKING_ROLES) for frame in frames]
    cars = sum(any(t.is_seen(frame) for frame in frames) for t in tracks if t.role == "car")
    return Facts(shot.place, shot.weather, max(people), cars, _activities(tracks, frames))


def places_of(tracks: Sequence[Track], indices: Sequence[int]) -> np.ndarray:
    """Return where the words of `PLACED_WORDS` apply: (slices of two frames, rows, columns, words) bool.

    A cell is the part of a slice that one video token of the captioner sees. A word applies in a cell when a track of
    that word overlaps the cell, in one of the two frames, by at least 0.3 of the cell's area or of the track's,
    whichever is smaller.
    """
    height, width = FRAME_SIZE
    rows, columns = height // _CELL, width // _CELL
    found = np.zeros((len(indices) // 2, rows, columns, len(PLACED_WORDS)), dtype=bool)
    tops, lefts = np.arange(rows) * HEIGHT / rows, np.arange(columns) * WIDTH / columns
    for track in tracks:
        name = KIND_OF[track.role] or track.role
        if name not in PLACED_WORDS:
            continue  # a bench
        word = PLACED_WORDS.index(name)
        for place, frame in enumerate(indices[: 2 * len(found)]):
            if track.pose[frame] < 0:
                continue
            high, wide = track.sprites[track.pose[frame]].through.shape[:2]
            left, top = track.x[frame] - wide / 2, track.y[frame] - high
            down = _overlaps(tops, HEIGHT / rows, top, top + high)
            across = _overlaps(lefts, WIDTH / columns, left, left + wide)
            shared = down[:, np.newaxis] * across
            least = _COVERED * min(HEIGHT / rows * WIDTH / columns, high * wide)
            found[place // 2, ..., word] |= shared >= least
    return found


def _overlaps(starts: np.ndarray, length: float, start: float, stop: float) -> np.ndarray:
    """Return how much of `[start, stop)` lies in each stretch of `length` that begins at one of `starts`."""
    shared: np.ndarray = np.clip(np.minimum(starts + length, stop) - np.maximum(starts, start), 0, None)
    return shared


def _activities(tracks: Sequence[Track], frames: Sequence[int]) -> tuple[tuple[str, str], ...]:
    """Return each happening that is seen, with the colour of that coloured track of it which is seen longest."""
    shown: dict[str, set[int]] = {}
    told: set[str] = set()
    longest: dict[str, tuple[int, str]] = {}
    for track in tracks:
        kind = KIND_OF[track.role]
        seen = [frame for frame in frames if track.is_seen(frame)]
        if kind and seen:
            shown.setdefault(kind, set()).update(seen)
            if track.role in _BRIEF or len(shown[kind]) >= _FRAMES:
                told.add(kind)
            longest[kind] = max(longest.get(kind, (0, "")), (len(seen), track.colour), key=_by_colour_and_length)
    return tuple((kind, longest[kind][1]) for kind in (*NAMED_KINDS, *NAMED_LOOK_ALIKES) if kind in told)


def _by_colour_and_length(one: tuple[int, str]) -> tuple[bool, int]:
    length, colour = one
    return bool(colour), length
