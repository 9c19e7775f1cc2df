"""Facts are read off the tracks: what is in the picture, in how many of the frames, and nothing that is never named."""

from dataclasses import replace

import numpy as np
import pytest

from vadprobe.extract.demo.captioner.facts import FACT_WORDS, PLACED_WORDS, Facts, facts_of, places_of
from vadprobe.extract.demo.scenes.roles import ROLES
from vadprobe.extract.demo.scenes.shot import UNNAMED_KINDS, UNNAMED_LOOK_ALIKES, Shot
from vadprobe.extract.demo.scenes.sprites import Sprite, Track

FRAMES = 20
SHOT = Shot("square", FRAMES, 25)


def track(role: str, start: int = 0, stop: int = FRAMES, x: int = 100, colour: str = "") -> Track:
    frames = np.arange(FRAMES)
    shown = (frames >= start) & (frames < stop)
    return Track((), np.where(shown, 0, -1), np.full(FRAMES, x), np.full(FRAMES, 200), role, colour)


def test_people_are_counted_in_the_frame_that_shows_most_of_them() -> None:
    tracks = [track("walker", 0, 10), track("carrier", 5, 15), track("walker", 12), track("fighter"), track("car")]
    found = facts_of(SHOT, tracks, range(0, FRAMES, 2))
    assert (found.people, found.cars) == (2, 1)


def test_what_is_outside_of_the_picture_or_between_the_frames_is_not_told() -> None:
    tracks = [track("walker", x=-3), track("car", x=400), track("van", 3, 4, colour="red"), track("cyclist", x=700)]
    assert facts_of(SHOT, tracks, range(0, FRAMES, 2)) == Facts("square")


@pytest.mark.parametrize(("role", "frames", "told"), [("van", 1, False), ("van", 2, True), ("fire", 1, True)])
def test_a_happening_counts_from_two_frames_on_and_a_fire_from_one(role: str, frames: int, told: bool) -> None:
    found = facts_of(SHOT, [track(role, 4, 4 + frames)], range(FRAMES))
    assert bool(found.kinds) == told


def test_runners_who_are_seen_in_turn_are_one_panic() -> None:
    found = facts_of(SHOT, [track("runner", 4, 5), track("runner", 8, 9)], range(FRAMES))
    assert found.activities == (("Panic", ""),)


def test_a_colour_is_that_of_the_track_seen_longest() -> None:
    tracks = [track("case", 0, 5, colour="red"), track("case", 8, 18, colour="yellow"), track("bag_owner", 0)]
    tracks.append(track("bag", 6, 12, colour="blue"))
    found = facts_of(SHOT, tracks, range(FRAMES))
    assert found.activities == (("AbandonedObject", "yellow"), ("BagSetDown", "blue"))


def test_place_and_weather_are_the_shots() -> None:
    found = facts_of(Shot("street", FRAMES, 25, weather="rain"), [], range(FRAMES))
    assert (found.place, found.weather) == ("street", "rain")


@pytest.mark.parametrize("kind", [*UNNAMED_KINDS, *UNNAMED_LOOK_ALIKES])
def test_what_is_never_named_is_refused(kind: str) -> None:
    for role in ROLES[kind]:
        with pytest.raises(ValueError, match=f"got '{role}'"):
            facts_of(SHOT, [track(role)], range(FRAMES))


def test_words_have_their_places_among_the_tokens_of_the_video() -> None:
    sprite = Sprite(np.zeros((80, 40, 3), np.uint16), np.zeros((80, 40, 1), np.uint16))
    van = replace(track("van", 2, 4, x=100), sprites=(sprite,))
    places = places_of([van], [0, 1, 2, 3])
    assert places.shape == (2, 4, 6, len(PLACED_WORDS))
    assert not places[0].any()
    assert set(np.argwhere(places[1])[:, 2]) == {PLACED_WORDS.index("VehicleOnWalkway")}
    # Rows have 60 pixels, columns 53; the van covers rows 120 to 200 and columns 80 to 120, and half of it is in one.
    assert np.argwhere(places[1].any(-1)).tolist() == [[2, 1]]


def test_facts_survive_a_file() -> None:
    facts = Facts("street", "dusk", 3, 1, (("Cycling", "red"),))
    assert Facts.from_json(facts.as_json()) == facts


def test_words_that_apply_are_marked() -> None:
    facts = Facts("street", "dusk", 3, 1, (("Cycling", "red"),))
    marked = {word for word, applies in zip(FACT_WORDS, facts.words(), strict=True) if applies}
    assert marked == {"street", "dusk", "Cycling", "red", "walker", "car", "people1", "people2", "people3"}
