"""The text-output baseline: the backbone's own probability of yes to each prompt, from stored first-token logits.

This is what a frozen model says, where the methods read what it holds: both papers argue that the latter is better.
"""

from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.store.errors import StoreError
from vadprobe.store.format.specification import DEMO_CAPTIONER, FeatureSpec
from vadprobe.store.reading.feature_store import FeatureStore

HOW_ANSWERS = (
    "p(yes): the backbone's own answer to the prompt, sigmoid(yes - no) of the two logits of its first token: the "
    "probability of yes among these two words. Nothing is fitted."
)
"""Explanation of the scores for readers of a table."""

NEVER_ASKED = (
    "The demo's captioner never learnt to answer yes or no: its p(yes) is shown as for any backbone, but means nothing."
)
"""Remark on the demo's own backbone."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities of yes (n,) float64 of rows under one prompt, NaN where a clip failed; or why there are none."""

    probabilities: np.ndarray | None = None
    reason: str = ""


def yes_probabilities(store: FeatureStore, rows: np.ndarray) -> np.ndarray:
    """Return sigmoid(yes - no) of the first token's logits of some rows, (n,) float64 in [0, 1]; a failed row is NaN.

    Each is of its own row alone: no label, no other row and nothing fitted is in it.

    Raises:
        StoreError: if the store holds no logits, or not those of a row.
    """
    from scipy.special import expit

    logits = store.answer_logits(rows).astype(np.float64)
    return np.asarray(expit(logits[:, 0] - logits[:, 1]))


def answers_by_prompt(inputs: AnalysisInputs, rows: np.ndarray) -> dict[str, Answers]:
    """Return the answers to every prompt of the job about some rows of the scored store.

    A prompt whose segments were not extracted, were cut in another way, or have no logits has the reason in their
    place.
    """
    return {prompt: _answers(inputs, prompt, rows) for prompt in inputs.prompts}


def _answers(inputs: AnalysisInputs, prompt: str, rows: np.ndarray) -> Answers:
    try:
        store = inputs.segments[prompt] if prompt in inputs.segments else inputs.open_segments(prompt)
        if store.spec.clips_digest != inputs.store.spec.clips_digest:
            return Answers(reason="its segments were cut from other videos; extract all prompts together")
        return Answers(yes_probabilities(store, rows))
    except StoreError as error:
        # The same words wherever the stores lie.
        return Answers(reason=str(error).replace(f"{inputs.store.path.parent}/", ""))


def answer_notes(spec: FeatureSpec) -> tuple[str, ...]:
    """Say how the scores are made, and what may be said of a backbone that was never asked."""
    card = spec.recipe.get("backbone_card") or {}
    return (HOW_ANSWERS, NEVER_ASKED) if card.get("kind") == DEMO_CAPTIONER else (HOW_ANSWERS,)
