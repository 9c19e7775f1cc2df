"""The shipped prompts, by key. The first two are HeadHunt-VAD's public ones, the others are worded here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.names import check_key

Position = Literal["last-prompt", "last-vision", "mean-vision", "mean-prompt"]
"""Tokens whose values are the features."""

LAST_PROMPT: Position = "last-prompt"
"""The last token before the answer, which the papers read."""

POSITIONS: Mapping[Position, tuple[str, str]] = {
    "last-prompt": ("of the last prompt token", "at the last prompt token"),
    "last-vision": ("of the last vision token", "at the last vision token"),
    "mean-vision": ("averaged over the vision tokens", "averaged over the vision tokens"),
    "mean-prompt": ("averaged over the tokens behind the video", "averaged over the tokens behind the video"),
}
"""Each position in words: for a hidden state, and for the output of a head."""


@dataclass(frozen=True)
class Prompt:
    """A question put to the backbone, and the tokens whose values are kept.

    Attributes:
        key: name of its store.
        text: text that the model reads behind the video.
        before: text that it reads before the video; may be empty.
        position: tokens whose values are the features. Vision tokens are those that stand for the frames; "mean-prompt"
            is over all tokens behind the last of them, the chat template's own included.
    """

    key: str
    text: str
    before: str = ""
    position: Position = LAST_PROMPT

    def __post_init__(self) -> None:
        check_key("the prompt's key", self.key)
        if not self.text.strip():
            raise VadprobeError(f"prompt {self.key!r} has an empty text; write the question the model is asked.")
        if self.before and not self.before.strip():
            raise VadprobeError(f"prompt {self.key!r} has nothing but space before the video; leave 'before' out.")
        if self.position not in POSITIONS:
            raise VadprobeError(
                f"prompt {self.key!r}: position must be one of {', '.join(POSITIONS)}, got {self.position!r}."
            )

    def at(self, position: Position) -> "Prompt":
        """Return the prompt read at another position; the new key names the position unless it is "last-prompt"."""
        return replace(self, key=key_at(self.key, position), position=position)

    def asks_as(self, other: "Prompt") -> bool:
        """Return True if the model reads the same in both, so that one pass serves them."""
        return (self.text, self.before) == (other.text, other.before)

    def describe(self) -> str:
        """Return the prompt in words: its text, and the position if it is not "last-prompt"."""
        words = f'before the video "{self.before}", behind it "{self.text}"' if self.before else self.text
        return words if self.position == LAST_PROMPT else f"{words} (values {POSITIONS[self.position][1]})"

    @property
    def format_version(self) -> int:
        """Lowest version of the store format that can hold this prompt."""
        return 2 if self.before or self.position != LAST_PROMPT else 1

    def to_json(self) -> dict[str, Any]:
        """Return the prompt as plain JSON values; `before` and `position` only where they differ from the defaults."""
        usual = {"before": "", "position": LAST_PROMPT}
        return {name: value for name, value in asdict(self).items() if value != usual.get(name)}


def key_at(key: str, position: Position) -> str:
    """Return the key of a prompt that is read at `position`; it names the prompt's store."""
    return key if position == LAST_PROMPT else f"{key}-{position}"


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
