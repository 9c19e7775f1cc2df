"""Laws of the grammar."""

import re

import numpy as np
import pytest

from vadprobe.extract.demo.captioner.facts import MANY, Facts
from vadprobe.extract.demo.captioner.sentences import (
    all_sentences,
    event_words,
    exclusive_words,
    filled,
    happenings,
    kinds_said,
    sentence,
    subjects_of,
    words_of,
)
from vadprobe.extract.demo.captioner.wordings import WORDINGS
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, NAMED_LOOK_ALIKES

JUDGEMENTS = (
    "normal abnormal anomalous anomaly anomalies usual unusual suspicious strange odd danger dangerous hazard unsafe "
    "safe wrong alarm incident emergency yes no true false"
)
UNNAMED = (
    "fall falls fallen falling fell collapse collapses lie lies lying climb climbs climbing climber wall loose "
    "animal animals loiter loiters loitering linger lingers pace paces umbrella pram broom sweep sweeps"
)


def test_every_named_happening_has_four_or_five_wordings() -> None:
    assert set(happenings()) == {*NAMED_KINDS, *NAMED_LOOK_ALIKES}
    assert all(4 <= len(WORDINGS[kind]) <= 5 for kind in happenings())


@pytest.mark.parametrize("words", [JUDGEMENTS, UNNAMED])
def test_no_sentence_judges_or_names_what_is_never_shown(words: str) -> None:
    said = {word for _, text in all_sentences() for word in words_of(text)}
    assert not said & set(words.split())


def test_a_sentence_begins_with_a_capital_letter_and_ends_with_its_only_full_stop() -> None:
    for _, text in all_sentences():
        assert re.fullmatch(r"[A-Z][a-z ,:]*\.", text), text


def test_articles_fit_their_colours() -> None:
    assert filled("{A} van and {a} case.", "orange") == "An orange van and an orange case."
    assert filled("{A} van.", "") == "A van."
    for _, text in all_sentences():
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text), text


def test_number_and_verb_agree() -> None:
    rng = np.random.default_rng(0)
    for people in range(MANY + 2):
        for _ in range(20):
            text = sentence(rng, subjects_of(Facts("square", people=people))["people"])
            assert (
                bool(re.search(r"\b(walks|is)\b", text)) == (people < 2) or "edestrian" in text or "here walk" in text
            )
            assert not re.search(r"\bpeople (walks|is)\b|\b(person|somebody|nobody) (walk|are)\b", text.lower())


def test_every_sentence_of_an_anomaly_has_a_word_of_its_own() -> None:
    for kind, text in all_sentences():
        if kind in NAMED_KINDS:
            assert set(words_of(text)) & exclusive_words(kind), text
            assert set(words_of(text)) & event_words(), text
        else:
            assert not set(words_of(text)) & event_words(), text


def test_kinds_are_read_back_from_any_sentence() -> None:
    for subject, text in all_sentences():
        assert kinds_said(text) == ({subject} if subject in happenings() else set()), text
    assert kinds_said("This is a street. Two people fight. Somebody jogs past.") == {"Fighting", "Jogging"}


def test_kinds_are_read_from_other_words_where_a_word_tells_them() -> None:
    assert kinds_said("Then smoke. It rains. A cyclist, red.") == {"Explosion", "Cycling"}
    assert kinds_said("People walk") == frozenset()


def test_nobody_is_counted_in_a_panic_and_no_car_is_missed_where_there_is_no_road() -> None:
    assert set(subjects_of(Facts("street", "rain"))) == {"place", "people", "cars", "weather"}
    assert set(subjects_of(Facts("walkway", activities=(("Panic", ""),)))) == {"place"}
