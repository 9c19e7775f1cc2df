"""Scores from text answers, by a rule that the user gives."""

import math
import re
from dataclasses import dataclass

from vadprobe.store.errors import VadprobeError

NUMBER = "number"
"""Rule by which an answer's score is the last number in it."""

_NUMBER = re.compile(r"(?<![\w.])[-+]?[0-9]+(?:\.[0-9]+)?(?![\w]|\.[0-9])")
_QUOTES = " \t\r\n\"'`*_[(#"


@dataclass(frozen=True)
class AnswerRule:
    """A rule that gives a score to each answer.

    Attributes:
        text: the rule as the user wrote it.
        phrases: beginnings of answers in lower case, with their scores, the longest first; empty for `NUMBER`.
    """

    text: str
    phrases: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, text: str) -> "AnswerRule":
        """Read a rule: `number`, or `phrase=score,phrase=score`.

        Raises:
            VadprobeError: if it is neither.
        """
        if text.strip().lower() == NUMBER:
            return cls(text)
        phrases: dict[str, float] = {}
        for part in text.split(","):
            phrase, sign, number = part.rpartition("=")
            phrase = " ".join(phrase.lower().split())
            try:
                score = float(number) if sign and phrase else math.nan
            except ValueError:
                score = math.nan
            if not math.isfinite(score) or phrase in phrases:
                raise VadprobeError(
                    f"--answers must be {NUMBER!r}, or beginnings of answers with their scores, each once, such as "
                    f"'anomalous scenes=1,normal scenes=0', got {text!r}."
                )
            phrases[phrase] = score
        return cls(text, tuple(sorted(phrases.items(), key=lambda item: -len(item[0]))))

    def score(self, answer: str) -> float:
        """Return the score of an answer; NaN if the rule does not cover it.

        An answer has the score of the longest phrase that it begins with, as whole words in any case. Quotes, brackets
        and marks of emphasis before the phrase are ignored.
        """
        if not self.phrases:
            found = _NUMBER.findall(answer)
            return float(found[-1]) if found else math.nan
        plain = " ".join(answer.lower().lstrip(_QUOTES).split())
        for phrase, score in self.phrases:
            if plain.startswith(phrase) and not plain[len(phrase) : len(phrase) + 1].isalnum():
                return score
        return math.nan
