"""Inputs of LLaVA-OneVision: a video is a list of frames of one fixed size, each pooled to a quarter of its patches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.families.family import ChatText, ClipInputs, expand
from vadprobe.extract.families.pixels import Frames, PixelRecipe


@dataclass(frozen=True)
class LlavaOnevision:
    """Family ``llava_onevision``. Frames have the vision tower's own size; one newline token ends the video."""

    chat: ChatText
    pixels: PixelRecipe
    patch_size: int
    video_token_id: int
    name: str = "llava_onevision"

    def recipe(self) -> dict[str, Any]:
        """Sizes in pixels, tokens per frame and the chat."""
        return {
            "frame_size": [self.pixels.height, self.pixels.width],
            "mean": list(self.pixels.mean),
            "std": list(self.pixels.std),
            "tokens_per_frame": self.tokens_per_frame,
            **self.chat.recipe(),
        }

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of one frame: its patches pooled two by two, an odd last row and column counting whole."""
        return math.ceil(self.pixels.height // self.patch_size / 2) ** 2

    def tokenize(self, prompt: str, frames_per_clip: int) -> Tensor:
        """Token ids (1, tokens): the video tokens of all frames, then one more for the newline after the video."""
        token = self.chat.tokenizer.convert_ids_to_tokens(self.video_token_id)
        video = token * (frames_per_clip * self.tokens_per_frame + 1)
        return self.chat.ids(expand(self.chat.render(prompt), token, video))

    def resize(self, frames: np.ndarray) -> Tensor:
        """As ``PixelRecipe.resize``."""
        return self.pixels.resize(frames)

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Frames (clips, frames, 3, height, width) float32; the model does not see the time between them."""
        return ClipInputs(
            count=len(clips), vision={"pixel_values_videos": self.pixels.apply(clips, device)}, language={}
        )

    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower, the projector and the pooling."""
        return {"video": model.model.get_video_features(**inputs.vision, return_dict=True)}

    def language_inputs(self, ids: Tensor, inputs: ClipInputs) -> dict[str, Tensor]:
        """Ids and mask."""
        ids = ids.expand(inputs.count, -1)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
