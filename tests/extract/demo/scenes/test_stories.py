"""Stories of version 2: every happening is seen while the script says so, and nowhere else."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from vadprobe.extract.demo.contact_sheet import shot_with
from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.roles import KIND_OF, ROLES
from vadprobe.extract.demo.scenes.shot import (
    NAMED_KINDS,
    NAMED_LOOK_ALIKES,
    UNNAMED_KINDS,
    UNNAMED_LOOK_ALIKES,
    Happening,
    Shot,
)
from vadprobe.extract.demo.scenes.stories.cast import STORIES, cast

ANOMALIES = (*NAMED_KINDS, *UNNAMED_KINDS)
HARMLESS = (*NAMED_LOOK_ALIKES, *UNNAMED_LOOK_ALIKES)
KINDS = (*ANOMALIES, *HARMLESS)


def test_every_kind_has_a_story_and_roles() -> None:
    assert set(STORIES) == set(KINDS) == set(ROLES) - {""}
    assert len(KINDS) == len(set(KINDS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(2))
def test_a_happening_is_seen_in_its_interval_and_its_roles_only_there(kind: str, number: int) -> None:
    shot, (start, stop) = shot_with(kind, 4 * number)
    film = Film(shot, [5, number, 0, 0])
    mine = [track for track in film.tracks if KIND_OF[track.role] == kind]
    assert mine, kind
    seen = np.array([any(track.is_seen(frame, 0) for track in mine) for frame in range(shot.n_frames)])
    assert seen[start:stop].mean() > 0.6
    inside = shot.truth if kind in ANOMALIES else np.zeros(shot.n_frames, dtype=bool)
    if kind in HARMLESS:
        inside[start:stop] = True
    if kind not in ("CaseCarried", "BagSetDown"):  # their owners carry something before and after
        assert not seen[~inside].any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_track_has_a_role_that_belongs_to_the_script(kind: str) -> None:
    shot, _ = shot_with(kind, 1)
    allowed = {"", kind}
    if kind in ("AbandonedObject", "BagSetDown"):
        allowed.add("CaseCarried")
    assert {KIND_OF[track.role] for track in Film(shot, [5, 0, 0, 0]).tracks} <= allowed


def ways(shot: Shot) -> list[tuple[object, ...]]:
    """Return role, colour and way of every track of a shot."""
    tracks = cast(shot, np.random.default_rng(1), np.random.default_rng(2))
    return [(one.role, one.colour, one.pose.tobytes(), one.x.tobytes(), one.y.tobytes()) for one in tracks]


@pytest.mark.parametrize("harmless", ["Jogging", "BagSetDown", "LeashedDog", "Umbrella"])
@pytest.mark.parametrize("kind", ANOMALIES)
def test_an_anomaly_changes_neither_the_passers_by_nor_the_harmless(kind: str, harmless: str) -> None:
    shot, _ = shot_with(kind, 4)
    others = (Happening(harmless, 20, 70), Happening(harmless, 120, 190))
    shot = replace(shot, place="street", crowd=3, cars=2, harmless=others)
    with_it, without = ways(shot), ways(replace(shot, intervals=()))
    roles = Counter(str(way[0]) for way in without)
    assert roles["car"] == 2
    assert roles["walker"] >= 3
    assert any(KIND_OF[role] == harmless for role in roles)
    if kind == "Panic":  # passers-by run too
        with_it, without = ([way for way in one if way[0] != "walker"] for one in (with_it, without))
    assert not Counter(without) - Counter(with_it)
    more = {str(way[0]) for way in Counter(with_it) - Counter(without)}
    assert more & set(ROLES[kind])
    assert more <= {*ROLES[kind], "walker", "carrier"}  # who falls, say, walks there before


@pytest.mark.parametrize("kind", ANOMALIES)
def test_an_anomaly_leaves_the_noise_and_what_is_far_from_it_as_they_are(kind: str) -> None:
    shot, (start, stop) = shot_with(kind, 2)
    (with_it,), (without,) = (
        list(Film(one, [5, 1, 0, 0]).frames([(start + stop) // 2])) for one in (shot, replace(shot, intervals=()))
    )
    changed = (with_it != without).any(-1)
    assert changed.any()
    if kind != "Explosion":  # its glare reaches everywhere
        assert changed.mean() < 0.9


def test_faint_figures_are_nearer_to_the_ground_behind_them() -> None:
    shot, (start, stop) = shot_with("VehicleOnWalkway", 0)
    shot = replace(shot, weather="clear", shake=0.0, occluders=0, faintness=0.0)
    middle = (start + stop) // 2
    seed = [5, 2, 0, 0]
    (empty,) = Film(replace(shot, intervals=(), crowd=0, cars=0, harmless=()), seed).frames([middle])
    plain, faint = (
        next(Film(replace(shot, crowd=0, cars=0, harmless=(), faintness=one), seed).frames([middle])).astype(float)
        for one in (0.0, 0.4)
    )
    assert np.abs(faint - empty).mean() < 0.8 * np.abs(plain - empty).mean()
