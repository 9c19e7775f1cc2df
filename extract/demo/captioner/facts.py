"""What a caption may tell of a clip, read off the tracks of its scene."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vadprobe.extract.demo.scenes.roles import COLOURS, KIND_OF, ROLES
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, NAMED_LOOK_ALIKES, PLACES, WEATHER, Shot
from vadprobe.extract.demo.scenes.sprites import Track

WALKING_ROLES = ("walker", "carrier")
"""Roles of people who walk through the picture; captions count them."""

MANY = 6
"""From this number on, walking people are told as one."""

NAMED_ROLES = ("walker", "car", *(role for kind in (*NAMED_KINDS, *NAMED_LOOK_ALIKES) for role in ROLES[kind]))
"""Roles that the pre-training may show."""

_BRIEF = frozenset({"fire"})  # roles that one frame shows well enough
_FRAMES = 2  # in which anything else must be seen

FACT_WORDS = (
    *PLACES,
    *(weather for weather in WEATHER if weather != "clear"),
    *NAMED_KINDS,
    *NAMED_LOOK_ALIKES,
    *COLOURS,
    "car",
    "cars",
    *(f"people{number}" for number in range(1, MANY + 1)),
)
"""Words that apply to a clip or do not, which the vision tower learns first."""


@dataclass(frozen=True)
class Facts:
    """What is seen in the sampled frames of a clip.

    `people` is the largest number of walking people in one frame, `cars` the number of cars on the road that are seen
    at all. `activities` holds each happening once, with its colour or "".
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
        """Return which of `FACT_WORDS` apply."""
        said = {self.place, self.weather, *self.kinds, *(colour for _, colour in self.activities)}
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

    A happening counts when something of it is seen in two of the frames; a fire, in one.

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


def _activities(tracks: Sequence[Track], frames: Sequence[int]) -> tuple[tuple[str, str], ...]:
    """Return each happening that is seen, with the colour of its track that is seen longest."""
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
