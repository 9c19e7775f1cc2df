"""The sections of a job file that decide what a store holds."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import LAST_PROMPT, Position, Prompt, shipped
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.settings import Section


class StoreConfig(Section):
    """Section `[store]`: where features are kept."""

    root: str = Field(description="folder of the feature stores")


class SamplingConfig(Section):
    """One `[[sampling]]`: how videos are cut into clips, and for which splits."""

    unit: Literal["segment", "video"] = Field(
        description="'segment': clips of equal length, one after another; 'video': one clip, the whole video"
    )
    clip_length: int | None = Field(default=None, ge=1, description="frames of a segment; left out for whole videos")
    frames_per_clip: int = Field(ge=1, description="number of frames of a clip that the backbone sees")
    splits: tuple[Split, ...] = Field(
        default=("train", "validation", "test"), description="splits whose videos are cut"
    )
    layers: tuple[int, ...] | None = Field(
        default=None, description="layers of the hidden states to keep, 0 is the embedding; by default all"
    )
    heads: tuple[tuple[int, int], ...] | None = Field(
        default=None, description="heads to keep as [block, head] from 0; by default all"
    )
    answers: bool = Field(
        default=True, description="keep the logits of yes and no; without them a pass ends at the deepest layer kept"
    )
    detector: str | None = Field(
        default=None,
        description="a detector's file: keep the layers or heads that it reads, and no answers; a pass "
        "ends after the deepest of them. The sampling, the backbone and one of the prompts "
        "must be the detector's",
    )
    full_splits: tuple[Split, ...] = Field(
        default=(), description="splits whose videos keep every layer and head, for example to calibrate on"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "SamplingConfig":
        try:
            self.sampling()
        except VadprobeError as error:  # pydantic reports a ValueError with its place in the file
            raise ValueError(str(error)) from error
        if self.detector is not None and {"layers", "heads", "answers"} & self.model_fields_set:
            raise ValueError("detector names the layers, heads and answers to keep; leave these keys out, or detector")
        stray = [split for split in self.full_splits if split not in self.splits]
        if stray:
            raise ValueError(f"full_splits names {stray[0]!r}, which is not among the splits {', '.join(self.splits)}")
        return self

    def sampling(self) -> Sampling:
        """Return the validated value."""
        return Sampling(self.unit, self.clip_length, self.frames_per_clip)


class PromptConfig(Section):
    """A table in `prompts`: your own prompt, or a shipped one with a text before the video or read at other tokens.

    `prompts = ["coarse", {key = "mine", text = "Is there smoke?", positions = ["last-prompt", "last-vision"]}]` makes
    three stores, `coarse`, `mine` and `mine-last-vision`; one pass computes the last two. An analysis reads the stores
    of its `position`. Prompts with the same text before the video share the pass over it; others cannot.
    """

    key: str = Field(description="folder name of the prompt in the store")
    text: str | None = Field(
        default=None, description="what the model is asked after the video; by default the shipped prompt of that key"
    )
    before: str = Field(default="", description="what the model reads before the video")
    positions: tuple[Position, ...] = Field(
        default=(LAST_PROMPT,),
        min_length=1,
        description="tokens whose values are kept, all from one pass, a store for each: the last before the answer, "
        "the last vision token, the mean over the vision tokens, or over all tokens after the video. A store of a "
        "position other than 'last-prompt' is called KEY-POSITION",
    )

    @field_validator("positions")
    @classmethod
    def _is_each_once(cls, positions: tuple[Position, ...]) -> tuple[Position, ...]:
        if len(set(positions)) < len(positions):
            raise ValueError(f"positions name one twice ({', '.join(positions)})")
        return positions

    def prompts(self) -> tuple[Prompt, ...]:
        """Return a validated prompt for each position.

        Raises:
            VadprobeError: if there is no text and no shipped prompt of that key, or a part is wrong.
        """
        text = shipped(self.key).text if self.text is None else self.text
        return tuple(Prompt(self.key, text, self.before).at(position) for position in self.positions)
