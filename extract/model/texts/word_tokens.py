"""Tokens that are one of some words, whose probability is summed while a text is generated."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class WordTokens:
    """Ids of the tokens that are one of some words: `first` where a text begins, `later` behind other text."""

    first: tuple[int, ...] = ()
    later: tuple[int, ...] = ()

    @classmethod
    def of(cls, tokenizer: Any, words: Iterable[str]) -> "WordTokens":
        """Find the tokens of words, written small and with a capital.

        Only a token that is a whole word counts. Where a tokenizer splits a word, its first piece may begin other
        words, or be a word itself: "A" in "A" + "lone". So a word that is a single token only behind other text has no
        mass where a text begins.

        Raises:
            VadprobeError: if the tokenizer has no token of a word.
        """
        first: set[int] = set()
        later: set[int] = set()
        for word in words:
            beginning, behind = _whole(tokenizer, word)
            if not beginning | behind:
                raise VadprobeError(
                    f"the tokenizer must have one token for the word {word!r}, got several, and other "
                    "words begin with the same; leave it out, or choose another word."
                )
            first |= beginning
            later |= behind
        return cls(tuple(sorted(first)), tuple(sorted(later)))


def known_words(tokenizer: Any, words: Iterable[str]) -> frozenset[str]:
    """Return the words for which the tokenizer has a token, so that `WordTokens.of` accepts them."""
    return frozenset(word for word in words if any(_whole(tokenizer, word)))


def _whole(tokenizer: Any, word: str) -> tuple[set[int], set[int]]:
    """Return the tokens that are a word, small or with a capital: where a text begins, and behind other text."""
    forms = dict.fromkeys((word, word[:1].upper() + word[1:]))
    stop = len(_ids(tokenizer, "."))
    beginning = [_ids(tokenizer, form) for form in forms]
    behind = [_ids(tokenizer, f". {form}")[stop:] for form in forms]
    first, later = (
        {ids[0] for ids in found if len(ids) == 1 and tokenizer.decode(ids).strip().lower() == word.lower()}
        for found in (beginning, behind)
    )
    return first, later


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))
