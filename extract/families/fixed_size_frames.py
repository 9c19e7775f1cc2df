"""Families that take every frame in the vision tower's own size, with a fixed number of tokens: InternVL and LLaVA.

Their models do not see the time between frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vadprobe.extract.families.chat import expand
from vadprobe.extract.families.own_family import ClipInputs, OwnFamily
from vadprobe.extract.families.pixels import Frames


@dataclass(frozen=True)
class FixedSizeFrames(OwnFamily):
    """A family whose frames have one size and one number of tokens."""

    tokens_per_frame: int

    def recipe(self) -> dict[str, Any]:
        """Return the pixels, the tokens per frame and the chat."""
        return {**self.pixels.recipe(), "tokens_per_frame": self.tokens_per_frame, **self.chat.recipe()}


@dataclass(frozen=True)
class InternVL(FixedSizeFrames):
    """Family `internvl` (2.5 and 3): a video is a list of numbered images."""

    name: ClassVar[str] = "internvl"

    def tokenize(self, prompt: str, frames_per_clip: int, before: str = "") -> Tensor:
        """Return token ids (1, tokens): every frame is announced by its number, from 1."""
        tokenizer = self.chat.tokenizer
        image = (
            tokenizer.start_image_token
            + tokenizer.context_image_token * self.tokens_per_frame
            + tokenizer.end_image_token
        )
        frames = "\n".join(f"Frame{number}: {image}" for number in range(1, frames_per_clip + 1))
        return self.chat.ids(expand(self.chat.render(prompt, before), tokenizer.video_token, frames))

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Return the frames of all clips as one batch of images, (clips * frames, 3, height, width) float32."""
        pixels = self.pixels.apply(clips, device).flatten(0, 1)
        return ClipInputs(count=len(clips), vision={"pixel_values": pixels}, language={})

    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower and the projector."""
        return {"image": model.model.get_image_features(**inputs.vision, return_dict=True)}


@dataclass(frozen=True)
class LlavaOnevision(FixedSizeFrames):
    """Family `llava_onevision`: a frame is pooled to a quarter of its patches; one newline token ends the video."""

    name: ClassVar[str] = "llava_onevision"
    video_token_id: int

    def tokenize(self, prompt: str, frames_per_clip: int, before: str = "") -> Tensor:
        """Return token ids (1, tokens): the video tokens of all frames, then one for the newline after the video."""
        token = self.chat.tokenizer.convert_ids_to_tokens(self.video_token_id)
        video = token * (frames_per_clip * self.tokens_per_frame + 1)
        return self.chat.ids(expand(self.chat.render(prompt, before), token, video))

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Return the frames, (clips, frames, 3, height, width) float32."""
        pixels = self.pixels.apply(clips, device)
        return ClipInputs(count=len(clips), vision={"pixel_values_videos": pixels}, language={})

    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower, the projector and the pooling."""
        return {"video": model.model.get_video_features(**inputs.vision, return_dict=True)}
