"""Sentences of captions from their wordings, and how kinds are read back out of a text."""

import re
from collections.abc import Iterator
from functools import cache

import numpy as np

from vadprobe.extract.demo.captioner.facts import MANY, Facts
from vadprobe.extract.demo.captioner.wordings import WORDINGS
from vadprobe.extract.demo.scenes.roles import COLOURS
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS

_COLOURS = ("", *COLOURS)


def filled(wording: str, colour: str) -> str:
    """Return a wording with its article and colour, or the article alone where `colour` is ""."""
    article = "an" if colour[:1] in ("a", "e", "i", "o", "u") else "a"
    phrase = f"{article} {colour}" if colour else article
    return wording.replace("{a}", phrase).replace("{A}", phrase.capitalize())


def sentence(rng: np.random.Generator, subject: str, colour: str = "") -> str:
    """Return one of a subject's wordings, chosen at random, with its article and colour."""
    wordings = WORDINGS[subject]
    return filled(wordings[int(rng.integers(len(wordings)))], colour)


def subjects_of(facts: Facts) -> dict[str, str]:
    """Return the subjects that a caption may tell beside the happenings, by the kind of question that asks for them.

    People are not counted in a panic or around a fire. Cars are told only where there is a road or a lane.
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
    """Yield (subject, sentence) for every sentence of the grammar."""
    for subject, wordings in WORDINGS.items():
        for wording in wordings:
            for colour in _COLOURS if "{" in wording else ("",):
                yield subject, filled(wording, colour)


@cache
def event_words() -> frozenset[str]:
    """Return the words that occur only in sentences about the named anomalies."""
    inside = {word for kind, text in all_sentences() if kind in NAMED_KINDS for word in words_of(text)}
    outside = {word for kind, text in all_sentences() if kind not in NAMED_KINDS for word in words_of(text)}
    return frozenset(inside - outside)


@cache
def exclusive_words(kind: str) -> frozenset[str]:
    """Return the words that occur only in sentences of the subject `kind`."""
    inside = {word for subject, text in all_sentences() if subject == kind for word in words_of(text)}
    outside = {word for subject, text in all_sentences() if subject != kind for word in words_of(text)}
    return frozenset(inside - outside)


@cache
def _subject_by_sentence() -> dict[str, str]:
    return {text: subject for subject, text in all_sentences()}


def kinds_said(text: str) -> frozenset[str]:
    """Return the happenings whose sentences a text contains.

    A sentence outside the grammar counts for every kind of which it contains an exclusive word.
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
