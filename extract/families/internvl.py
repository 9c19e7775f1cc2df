"""Inputs of InternVL (2.5 and 3): a video is a list of numbered images of one fixed size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.families.family import ChatText, ClipInputs, expand
from vadprobe.extract.families.pixels import Frames, PixelRecipe


@dataclass(frozen=True)
class InternVL:
    """Family ``internvl``. Each frame is one image of the vision tower's own size."""

    chat: ChatText
    pixels: PixelRecipe
    tokens_per_frame: int
    name: str = "internvl"

    def recipe(self) -> dict[str, Any]:
        """Sizes in pixels, tokens per frame and the chat."""
        return {
            "frame_size": [self.pixels.height, self.pixels.width],
            "mean": list(self.pixels.mean),
            "std": list(self.pixels.std),
            "tokens_per_frame": self.tokens_per_frame,
            **self.chat.recipe(),
        }

    def tokenize(self, prompt: str, frames_per_clip: int) -> Tensor:
        """Token ids (1, tokens): every frame is announced by its number, from 1."""
        tokenizer = self.chat.tokenizer
        image = (
            tokenizer.start_image_token
            + tokenizer.context_image_token * self.tokens_per_frame
            + tokenizer.end_image_token
        )
        frames = "\n".join(f"Frame{number}: {image}" for number in range(1, frames_per_clip + 1))
        return self.chat.ids(expand(self.chat.render(prompt), tokenizer.video_token, frames))

    def resize(self, frames: np.ndarray) -> Tensor:
        """As ``PixelRecipe.resize``."""
        return self.pixels.resize(frames)

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """All frames of all clips as one batch of images; the model does not see the time between them."""
        pixels = self.pixels.apply(clips, device).flatten(0, 1)
        return ClipInputs(count=len(clips), vision={"pixel_values": pixels}, language={})

    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower and the projector."""
        return {"image": model.model.get_image_features(**inputs.vision, return_dict=True)}

    def language_inputs(self, ids: Tensor, inputs: ClipInputs) -> dict[str, Tensor]:
        """Ids and mask."""
        ids = ids.expand(inputs.count, -1)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
