"""Inputs of Qwen2.5-VL: a video is a grid of patches, two frames deep, with real time between its slices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vadprobe.extract.families.chat import expand
from vadprobe.extract.families.own_family import ClipInputs, OwnFamily
from vadprobe.extract.families.pixels import Frames
from vadprobe.store.errors import VadprobeError

_VIDEO_TOKEN_TYPE = 2  # transformers' code for video tokens in mm_token_type_ids; 0 is text


@dataclass(frozen=True)
class Qwen25VL(OwnFamily):
    """Family `qwen2_5_vl`. Frames are resized to one fixed size, so every clip has the same number of tokens."""

    name: ClassVar[str] = "qwen2_5_vl"
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    video_token_id: int

    def __post_init__(self) -> None:
        factor = self.patch_size * self.merge_size
        if self.pixels.height % factor or self.pixels.width % factor:
            raise VadprobeError(
                f"frame_size must be multiples of {factor} pixels for this model (patch size {self.patch_size} times "
                f"merge size {self.merge_size}), got {self.pixels.height} x {self.pixels.width}."
            )

    def recipe(self) -> dict[str, Any]:
        """Return the pixels, the layout of patches and the chat."""
        patch = [self.temporal_patch_size, self.patch_size, self.merge_size]
        return {**self.pixels.recipe(), "patch": patch, **self.chat.recipe()}

    def tokenize(self, prompt: str, frames_per_clip: int, before: str = "") -> Tensor:
        """Return token ids (1, tokens): one video token per merged patch of every pair of frames."""
        count = math.prod(self._grid(frames_per_clip)) // self.merge_size**2
        token = self.chat.tokenizer.convert_ids_to_tokens(self.video_token_id)
        return self.chat.ids(expand(self.chat.render(prompt, before), token, token * count))

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Return patches in the model's order, the grid of each clip, and the seconds that a slice of frames spans."""
        patches = self._patchify(self.pixels.apply(clips, device))
        frames = len(clips[0])
        grid = torch.tensor([self._grid(frames)] * len(clips), device=device)
        spans = [self.temporal_patch_size * duration / frames for duration in seconds]
        return ClipInputs(
            count=len(clips),
            vision={"pixel_values_videos": patches, "video_grid_thw": grid},
            language={
                "video_grid_thw": grid,
                "second_per_grid_ts": torch.tensor(spans, dtype=torch.float32, device=device),
            },
        )

    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower."""
        return {"video": model.model.get_video_features(**inputs.vision, return_dict=True)}

    def language_inputs(self, ids: Tensor, inputs: ClipInputs) -> dict[str, Tensor]:
        """Return ids, mask, token types (without which positions are silently wrong), grid and seconds per slice."""
        inputs_of_all = super().language_inputs(ids, inputs)
        return {**inputs_of_all, "mm_token_type_ids": self._token_types(inputs_of_all["input_ids"])}

    def _token_types(self, ids: Tensor) -> Tensor:
        return torch.where(ids == self.video_token_id, _VIDEO_TOKEN_TYPE, 0).to(torch.int32)

    def _grid(self, frames: int) -> tuple[int, int, int]:
        """Return the number of patches in time, height and width; an odd last frame is paired with itself."""
        slices = -(-frames // self.temporal_patch_size)
        return slices, self.pixels.height // self.patch_size, self.pixels.width // self.patch_size

    def _patchify(self, video: Tensor) -> Tensor:
        """Cut (clips, frames, 3, height, width) into (patches of all clips, values of a patch).

        Patches that the model merges into one token lie next to each other.
        """
        padding = -video.shape[1] % self.temporal_patch_size
        if padding:
            video = torch.cat([video, video[:, -1:].expand(-1, padding, -1, -1, -1)], dim=1)
        slices, rows, columns = self._grid(video.shape[1])
        merge, patch, pair = self.merge_size, self.patch_size, self.temporal_patch_size
        parts = video.view(
            len(video), slices, pair, 3, rows // merge, merge, patch, columns // merge, merge, patch
        ).permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9)
        return parts.reshape(len(video) * slices * rows * columns, 3 * pair * patch * patch)
