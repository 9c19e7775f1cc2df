"""Plan of a result's explanations: which segments, which question, and how a text is generated."""

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
        frames: frames of a segment that it sees, spread evenly; None for as many as it saw of a scored clip.
        settings: most tokens of a text, and the choice of each.
        normal: normal segments that are explained beside the events.
        batch: texts that run side by side; changes them by rounding only.
    """

    prompt: str = EXPLANATION_PROMPT
    frames: int | None = None
    settings: ExplanationSettings = USUAL_SETTINGS
    normal: NormalChoice = NO_NORMAL
    batch: int = BATCH

    def to_json(self, frames: int) -> dict[str, Any]:
        """Return the settings of every text about so many frames as plain JSON values."""
        return {**self.settings.to_json(), "frames": frames}


USUAL_PLAN = ExplanationPlan()
"""Events alone, greedy, with the usual prompt."""


def prompt_text(job: Job, given: str) -> str:
    """Return the text of a prompt that a user names, by the key of one of the job's or of a shipped one, or writes.

    Raises:
        VadprobeError: if it is one word, and no key.
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
