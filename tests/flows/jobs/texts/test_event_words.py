"""Words of an event: what is none is refused, and only whole words are found in a text."""

import pytest

from vadprobe.flows.jobs.texts.event_words import check_words, says_one
from vadprobe.store.errors import VadprobeError


def test_words_are_whole_words() -> None:
    words = frozenset({"van", "fire"})
    assert says_one("A red Van, on the road.", words)
    assert not says_one("The caravan is fireproof.", words)


@pytest.mark.parametrize("word", ["left luggage", "hit-and-run", "", "4x4", "van."])
def test_what_is_found_in_no_text_is_refused(word: str) -> None:
    assert not says_one(f"A {word} here.", frozenset({word}))
    with pytest.raises(VadprobeError, match="must be one word of letters only, got"):
        check_words(["fire", word])
    check_words(["fire", "\u00fcberfall"])
