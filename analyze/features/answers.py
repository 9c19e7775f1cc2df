"""The text-output baseline: the backbone's own probability of yes to each prompt, from stored first-token logits.

It uses what a frozen model answers, while the methods use its internal features; both papers argue for the latter.
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
"""Explanation of these scores for readers of a table."""

NEVER_ASKED = (
    "The demo's captioner never learnt to answer yes or no: its p(yes) is shown as for any backbone, but means nothing."
)
"""Remark on the demo's own backbone."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities of yes under one prompt, (n,) float64, NaN where a clip failed; or why there are none."""

    probabilities: np.ndarray | None = None
    reason: str = ""


def yes_probabilities(store: FeatureStore, rows: np.ndarray) -> np.ndarray:
    """Return sigmoid(yes - no) of the first token's logits of some rows, (n,) float64 in [0, 1]; a failed row is NaN.

    A row's value depends on that row alone: no label, no other row and no fit is used.

    Raises:
        StoreError: if the store holds no logits, or not those of a row.
    """
    from scipy.special import expit

    logits = store.answer_logits(rows).astype(np.float64)
    return np.asarray(expit(logits[:, 0] - logits[:, 1]))


def answers_by_prompt(inputs: AnalysisInputs, rows: np.ndarray) -> dict[str, Answers]:
    """Return the answers to every prompt of the job for some rows of the scored store.

    A prompt has a reason in place of answers if its segments were not extracted, were cut in another way, or have no
    logits.
    """
    return {prompt: _answers(inputs, prompt, rows) for prompt in inputs.prompts}


def _answers(inputs: AnalysisInputs, prompt: str, rows: np.ndarray) -> Answers:
    try:
        store = inputs.segments[prompt] if prompt in inputs.segments else inputs.open_segments(prompt)
        if store.spec.clips_digest != inputs.store.spec.clips_digest:
            return Answers(reason="its segments were cut from other videos; extract all prompts together")
        return Answers(yes_probabilities(store, rows))
    except StoreError as error:
        # The reason must be the same wherever the stores lie.
        return Answers(reason=str(error).replace(f"{inputs.store.path.parent}/", ""))


def answer_notes(spec: FeatureSpec) -> tuple[str, ...]:
    """Return notes on how the scores are computed, with a warning for a backbone that never learnt to answer."""
    card = spec.recipe.get("backbone_card") or {}
    return (HOW_ANSWERS, NEVER_ASKED) if card.get("kind") == DEMO_CAPTIONER else (HOW_ANSWERS,)
