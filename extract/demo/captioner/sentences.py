"""Sentences of captions: what is seen, in several wordings each, and how to read kinds back out of a text."""

import re
from collections.abc import Iterator
from functools import cache

import numpy as np

from vadprobe.extract.demo.captioner.facts import MANY, Facts
from vadprobe.extract.demo.scenes.roles import COLOURS
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS

WORDINGS: dict[str, tuple[str, ...]] = {
    "Panic": (
        "People flee in a hurry.",
        "A crowd rushes past.",
        "Many people rush and flee.",
        "A crowd of people runs.",
    ),
    "Explosion": (
        "A fire burns and smoke rises.",
        "Flames burst out with thick smoke.",
        "Fire and thick smoke.",
        "An explosion with flames.",
    ),
    "VehicleOnWalkway": (
        "{A} van drives on the pavement.",
        "{A} van rolls along the walkway.",
        "Across the walkway rolls {a} van.",
        "There is {a} van on the pavement.",
    ),
    "Fighting": (
        "Two people fight.",
        "Two people hit each other.",
        "A fight between two people.",
        "Two people beat and shove each other.",
    ),
    "AbandonedObject": (
        "{A} suitcase stands there alone.",
        "There is {a} suitcase without its owner.",
        "Somebody left {a} suitcase on the ground.",
        "On the ground stands {a} suitcase, alone.",
    ),
    "Cycling": (
        "Somebody rides {a} bicycle along the walkway.",
        "A cyclist on {a} bicycle passes.",
        "A rider on {a} bicycle comes along.",
        "A person cycles past on {a} bicycle.",
    ),
    "Jogging": (
        "Somebody jogs past.",
        "A jogger comes along the walkway.",
        "A person in sportswear is jogging.",
        "One person runs for exercise.",
    ),
    "Playing": (
        "Children play with each other.",
        "Playing children hop about.",
        "Some children are at play.",
        "Children romp in a game.",
    ),
    "Hugging": (
        "Two people hug each other.",
        "Two people greet with a hug.",
        "Two people embrace.",
        "Two friends hold each other in their arms.",
    ),
    "Dancing": (
        "Two people dance.",
        "Two people are dancing together.",
        "A dance of two people.",
        "Two dancers move to music.",
    ),
    "Delivery": (
        "{A} van stops on the road for a delivery.",
        "{A} van is parked at the kerb.",
        "At the kerb stands {a} van with its parcels.",
        "{A} van halts on the road.",
    ),
    "BagSetDown": (
        "Somebody sets {a} bag down and stays with it.",
        "{A} bag stands beside its owner.",
        "A person puts {a} bag on the ground.",
        "A person keeps {a} bag close by.",
    ),
    "CaseCarried": (
        "Somebody carries {a} suitcase.",
        "A person with {a} suitcase in the hand walks by.",
        "Somebody walks with {a} suitcase in the hand.",
        "{A} suitcase is carried past.",
    ),
    "Steam": (
        "Steam rises from the ground.",
        "A white cloud of steam drifts.",
        "Steam comes out of a grate.",
        "There is a plume of steam.",
    ),
    "BicyclePushed": (
        "Somebody pushes {a} bicycle.",
        "A person on foot leads {a} bicycle.",
        "Somebody on foot pushes {a} bicycle along.",
        "{A} bicycle is pushed past.",
    ),
    "street": (
        "A street with a road.",
        "This is a street.",
        "The camera shows a road and a walkway.",
        "Houses stand along a road.",
    ),
    "walkway": (
        "A path between trees.",
        "This is a path by a lawn.",
        "The camera shows trees and a lawn.",
        "Trees stand along a path.",
    ),
    "square": (
        "A square before a house.",
        "This is a paved square.",
        "The camera shows a house front.",
        "A house stands at a square.",
    ),
    "parking": (
        "A parking lot.",
        "This is a lot with parked cars.",
        "The camera shows parking bays.",
        "Cars stand in parking bays.",
    ),
    "dusk": (
        "It is getting dark.",
        "The light is dim.",
        "It is dusk.",
        "The evening has come.",
    ),
    "rain": (
        "It rains.",
        "Rain comes down.",
        "The ground is wet with rain.",
        "It is a rainy day.",
    ),
    "no cars": (
        "The road is free of cars.",
        "The road is empty.",
        "There is not a car on the road.",
    ),
    "car": (
        "A car drives slowly on the road.",
        "One car passes in the background.",
        "On the road drives a car.",
    ),
    "cars": (
        "Cars drive slowly on the road.",
        "A few cars pass in the background.",
        "On the road drive several cars.",
    ),
    "people0": (
        "Nobody walks there.",
        "Nobody is on foot.",
        "There is nobody who walks.",
    ),
    **{
        f"people{number}": (
            f"{who} walk past.",
            f"{who} are walking there.",
            f"Pedestrians: {who[0].lower()}{who[1:]}.",
            f"There walk {who[0].lower()}{who[1:]}.",
        )
        for number, who in enumerate(("Two people", "Three people", "Four people", "Five people", "Many people"), 2)
    },
    "people1": (
        "One person walks past.",
        "Somebody is walking there.",
        "A pedestrian walks across.",
        "There walks one person.",
    ),
}
"""Wordings of each subject; {a} and {A} stand for "a" or "an" and a colour, the second with a capital letter."""

_COLOURS = ("", *COLOURS)


def filled(wording: str, colour: str) -> str:
    """Return a wording with its article and colour, or the article alone where `colour` is ""."""
    article = "an" if colour[:1] in ("a", "e", "i", "o", "u") else "a"
    phrase = f"{article} {colour}" if colour else article
    return wording.replace("{a}", phrase).replace("{A}", phrase.capitalize())


def sentence(rng: np.random.Generator, subject: str, colour: str = "") -> str:
    """Return one of a subject's wordings."""
    wordings = WORDINGS[subject]
    return filled(wordings[int(rng.integers(len(wordings)))], colour)


def subjects_of(facts: Facts) -> dict[str, str]:
    """Return the subjects that may be told beside the happenings, by what is asked for.

    Among people who flee, and around a fire, nobody is counted; where there is no road, no car is missed.
    """
    subjects = {"place": facts.place}
    if not facts.kinds & {"Panic", "Explosion"}:
        subjects["people"] = f"people{min(facts.people, MANY)}"
    if facts.place in ("street", "parking"):
        subjects["cars"] = ("no cars", "car", "cars")[min(facts.cars, 2)]
    if facts.weather != "clear":
        subjects["weather"] = facts.weather
    return subjects


def words_of(text: str) -> list[str]:
    """Return the words of a text in small letters."""
    return re.findall(r"[a-z]+", text.lower())


def all_sentences() -> Iterator[tuple[str, str]]:
    """Yield every sentence of the grammar after its subject."""
    for subject, wordings in WORDINGS.items():
        for wording in wordings:
            for colour in _COLOURS if "{" in wording else ("",):
                yield subject, filled(wording, colour)


@cache
def event_words() -> frozenset[str]:
    """Return the words that occur in sentences of the anomalies that are named, and in no other sentence."""
    inside = {word for kind, text in all_sentences() if kind in NAMED_KINDS for word in words_of(text)}
    outside = {word for kind, text in all_sentences() if kind not in NAMED_KINDS for word in words_of(text)}
    return frozenset(inside - outside)


@cache
def exclusive_words(kind: str) -> frozenset[str]:
    """Return the words that occur in sentences of this subject alone."""
    inside = {word for subject, text in all_sentences() if subject == kind for word in words_of(text)}
    outside = {word for subject, text in all_sentences() if subject != kind for word in words_of(text)}
    return frozenset(inside - outside)


@cache
def _subject_by_sentence() -> dict[str, str]:
    return {text: subject for subject, text in all_sentences()}


def kinds_said(text: str) -> frozenset[str]:
    """Return the happenings whose sentences a text contains.

    A sentence that is not of the grammar counts for the kinds of which it has a word that no other subject has.
    """
    from_grammar = _subject_by_sentence()
    said = set()
    for part in re.findall(r"[^.]+\.?", text):
        subject = from_grammar.get(part.strip())
        if subject is not None:
            said.add(subject)
        else:
            words = set(words_of(part))
            said |= {subject for subject in happenings() if words & exclusive_words(subject)}
    return frozenset(said & set(happenings()))


def happenings() -> tuple[str, ...]:
    """Return the subjects that are happenings: the named anomalies, and what resembles them."""
    return tuple(subject for subject in WORDINGS if subject[0].isupper())
