"""Plan of a result's explanations: the segments, the question, and the settings of the texts."""

from dataclasses import dataclass
from typing import Any

from vadprobe.extract.model.texts.explanations import BATCH, EXPLANATION_PROMPT, USUAL_SETTINGS, ExplanationSettings
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.texts.chosen_segments import NO_NORMAL, NormalChoice
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED


@dataclass(frozen=True)
class ExplanationPlan:
    """Segments, prompt and settings of explanations.

    Attributes:
        prompt: question that the backbone is asked.
        frames: number of frames of a segment that it sees, spread evenly; None for as many as of a scored clip.
        settings: limit of a text in tokens, and the choice of each token.
        normal: choice of normal segments that are explained beside the events.
        batch: number of texts that run side by side; it changes texts by rounding only.
    """

    prompt: str = EXPLANATION_PROMPT
    frames: int | None = None
    settings: ExplanationSettings = USUAL_SETTINGS
    normal: NormalChoice = NO_NORMAL
    batch: int = BATCH

    def to_json(self, frames: int) -> dict[str, Any]:
        """Return the settings of every text about `frames` frames as plain JSON values."""
        return {**self.settings.to_json(), "frames": frames}


USUAL_PLAN = ExplanationPlan()
"""Default plan: events alone, greedy, with the default prompt."""


def prompt_text(job: Job, given: str) -> str:
    """Return the text of a prompt that a user gives: as the key of a prompt of the job, a shipped key, or a text.

    Raises:
        VadprobeError: if `given` is a single word and no key.
    """
    known = {**SHIPPED, **{prompt.key: prompt for prompt in job.prompts}}
    if given in known:
        return known[given].text
    if len(given.split()) < 2:
        raise VadprobeError(
            f"the prompt must be a sentence, or one of the keys {', '.join(known)}, got {given!r}; write the question "
            "in quotes."
        )
    return given
