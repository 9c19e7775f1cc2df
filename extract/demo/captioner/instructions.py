"""Instructions and their answers: captions, and questions whose answer leaves the happenings out."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from vadprobe.extract.demo.captioner.facts import Facts
from vadprobe.extract.demo.captioner.sentences import sentence, subjects_of
from vadprobe.store.format.prompts import SHIPPED

InstructionKind = Literal["shipped", "happens", "describe", "question"]

INSTRUCTIONS: dict[InstructionKind, tuple[str, ...]] = {
    "shipped": tuple(prompt.text for prompt in SHIPPED.values()),
    "happens": (
        "What happens in this video?",
        "Is there anything that stands out?",
        "What should one look at here?",
        "Describe the main event.",
        "Which events does this recording show?",
        "What goes on here?",
        "Report what is going on.",
    ),
    "describe": (
        "Describe the video.",
        "What is seen in this video?",
        "Write a caption.",
        "Describe what the camera shows.",
        "Summarize this recording.",
        "Tell me about this clip.",
    ),
}
"""Instructions that a caption answers."""

QUESTIONS: dict[str, tuple[str, ...]] = {
    "place": ("Which place is this?", "Where is the camera?", "Describe the place."),
    "people": ("How many people walk there?", "Are there pedestrians?", "Who walks past?"),
    "cars": ("Which vehicles are on the road?", "Is there traffic?", "Do cars drive by?"),
    "weather": ("What is the weather like?", "Describe the light and the weather."),
}
"""Questions by the subject of their answer."""

SHARES: dict[InstructionKind, float] = {"shipped": 0.5, "happens": 0.2, "describe": 0.15, "question": 0.15}
"""Shares of the kinds of instructions."""

_SKIPPED = 0.4  # share of happenings left out of an answer that describes
_SENTENCES = (2, 4)


def ask(rng: np.random.Generator, facts: Facts, kind: InstructionKind | None = None) -> tuple[str, str]:
    """Return an instruction and its answer; `kind` is chosen by `SHARES` where it is None."""
    kinds = list(SHARES)
    kind = kind or kinds[int(rng.choice(len(kinds), p=list(SHARES.values())))]
    if kind == "question":
        subjects = subjects_of(facts)
        asked = _pick(rng, list(subjects))
        return _pick(rng, QUESTIONS[asked]), sentence(rng, subjects[asked])
    return _pick(rng, INSTRUCTIONS[kind]), caption(rng, facts, with_all=kind != "describe")


def caption(rng: np.random.Generator, facts: Facts, with_all: bool = True) -> str:
    """Return two to four sentences in random order: what happens, and some other facts.

    Args:
        rng: source of chance.
        facts: what is seen.
        with_all: tell every happening; with False some may be left out.
    """
    told = [activity for activity in facts.activities if with_all or rng.random() >= _SKIPPED]
    subjects = list(subjects_of(facts).values())
    least, most = _SENTENCES
    if len(told) + len(subjects) < least:
        told = list(facts.activities)
    sentences = [sentence(rng, kind, colour) for kind, colour in told]
    count = int(np.clip(len(sentences) + rng.integers(1, 3), least, most))
    for index in rng.permutation(len(subjects))[: max(count - len(sentences), 0)]:
        sentences.append(sentence(rng, subjects[index]))
    return " ".join(sentences[index] for index in rng.permutation(len(sentences)))


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
