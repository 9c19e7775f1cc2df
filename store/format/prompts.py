"""The shipped prompts, by key. The first two are HeadHunt-VAD's public ones, the others are worded here."""

from dataclasses import dataclass

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.names import check_key


@dataclass(frozen=True)
class Prompt:
    """A question put to the backbone. `key` names its store, `text` is what the model reads."""

    key: str
    text: str

    def __post_init__(self) -> None:
        check_key("the prompt's key", self.key)
        if not self.text.strip():
            raise VadprobeError(f"prompt {self.key!r} has an empty text; write the question the model is asked.")


SHIPPED: dict[str, Prompt] = {
    prompt.key: prompt
    for prompt in (
        Prompt("coarse", "Identify any abnormal events or safety hazards in this video."),
        Prompt(
            "detailed",
            "Analyze the video for anomalies. Describe any violent activities, accidents, or deviations from normal "
            "patterns in detail.",
        ),
        Prompt("question", "Does anything abnormal happen in this video? Answer with yes or no."),
        Prompt(
            "guided",
            "Check the video for each of these: fighting, robbery, shooting, explosion, fire, a traffic accident, "
            "vandalism, someone running in panic, an object left behind. Is any of them present? "
            "Answer with yes or no.",
        ),
        Prompt(
            "role",
            "You watch a surveillance camera for the security staff and must call them when something is wrong. "
            "Look at this recording: do you call them? Answer with yes or no.",
        ),
    )
}


def shipped(key: str) -> Prompt:
    """Return the shipped prompt of that key.

    Raises:
        VadprobeError: if there is none.
    """
    if key not in SHIPPED:
        raise VadprobeError(
            f"there is no shipped prompt {key!r}; known keys are {', '.join(SHIPPED)}. For your own wording give "
            "a table with 'key' and 'text'."
        )
    return SHIPPED[key]
