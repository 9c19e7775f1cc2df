"""The cast of a shot: all its tracks, in the order in which they are painted."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vadprobe.extract.demo.scenes.shot import KINDS, Shot
from vadprobe.extract.demo.scenes.sprites import Sprite, Track, faded
from vadprobe.extract.demo.scenes.stories import bystanders, look_alikes, unnamed_look_alikes
from vadprobe.extract.demo.scenes.stories import first_anomalies as first
from vadprobe.extract.demo.scenes.stories import later_anomalies as later
from vadprobe.extract.demo.scenes.stories.passers_by import road_car, walker

Story = Callable[[np.random.Generator, Shot, int, int], list[Track]]

_FIRST = dict(
    zip(
        KINDS,
        (first.panic, first.explosion, first.vehicle_on_walkway, first.fighting, first.abandoned_object),
        strict=True,
    )
)
_SCALES = dict(zip(KINDS, ((0.35, 1.0), (0.3, 0.7), (0.6, 1.0), (0.78, 1.0), (0.5, 0.85)), strict=True))


def _scaled(kind: str) -> Story:
    return lambda rng, shot, start, stop: _FIRST[kind](rng, shot, start, stop, rng.uniform(*_SCALES[kind]))


STORIES: dict[str, Story] = {
    **{kind: _scaled(kind) for kind in KINDS},
    "Cycling": later.cycling,
    "Fall": later.fall,
    "Climbing": later.climbing,
    "LooseAnimal": later.loose_animal,
    "Loitering": later.loitering,
    "Jogging": look_alikes.jogging,
    "Playing": look_alikes.playing,
    "Hugging": look_alikes.hugging,
    "Dancing": look_alikes.dancing,
    "Delivery": look_alikes.delivery,
    "BagSetDown": look_alikes.bag_set_down,
    "CaseCarried": look_alikes.case_carried,
    "Steam": look_alikes.steam,
    "BicyclePushed": look_alikes.bicycle_pushed,
    "Sitting": bystanders.sitting_down,
    "LeashedDog": bystanders.leashed_dog,
    "Waiting": bystanders.waiting,
    "LadderWork": bystanders.ladder_work,
    "Umbrella": unnamed_look_alikes.umbrella,
    "PramPushed": unnamed_look_alikes.pram_pushed,
    "BroomSweeping": unnamed_look_alikes.broom_sweeping,
}
"""Stories of version 2 by happening."""

_IN_FRONT = ("fire", "smoke")


def cast(shot: Shot, crowd: np.random.Generator, story: np.random.Generator) -> tuple[Track, ...]:
    """Return all that moves in a shot, from the back of the picture to the front.

    Args:
        shot: the script.
        crowd: source of chance for passers-by and cars.
        story: source of chance for what happens.
    """
    return _first_cast(shot, crowd, story) if shot.version == 1 else _second_cast(shot, crowd, story)


def _first_cast(shot: Shot, crowd: np.random.Generator, story: np.random.Generator) -> tuple[Track, ...]:
    tracks = [walker(crowd, shot) for _ in range(crowd.integers(3, 6))]
    if shot.place in ("street", "parking"):
        tracks += [road_car(crowd, shot) for _ in range(2)]
    happening = [track for start, stop in shot.intervals for track in _FIRST[str(shot.kind)](story, shot, start, stop)]
    if shot.kind == "Explosion":
        return (*sorted(tracks, key=_depth), *happening)
    return tuple(sorted(tracks + happening, key=_depth))


def _second_cast(shot: Shot, crowd: np.random.Generator, story: np.random.Generator) -> tuple[Track, ...]:
    tracks = [walker(crowd, shot) for _ in range(shot.crowd)] + [road_car(crowd, shot) for _ in range(shot.cars)]
    anomalies, harmless = story.spawn(2)  # a shot without its intervals has the same harmless happenings
    for start, stop in shot.intervals:
        tracks += STORIES[str(shot.kind)](anomalies, shot, start, stop)
    for one in shot.harmless:
        tracks += STORIES[one.kind](harmless, shot, one.start, one.stop)
    ordered = sorted(tracks, key=lambda track: (track.role in _IN_FRONT, _depth(track)))
    return tuple(_faint(track, shot.faintness) for track in ordered)


def _depth(track: Track) -> int:
    return int(track.y[0])


def _faint(track: Track, faintness: float) -> Track:
    if not faintness:
        return track
    made: dict[int, Sprite] = {id(sprite): faded(sprite, faintness) for sprite in track.sprites}
    return replace(track, sprites=tuple(made[id(sprite)] for sprite in track.sprites))
