"""Decoded frames to normalised pixels: the same bits as transformers' video processors, without torchvision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

Frames = np.ndarray | Tensor
"""A clip as it was decoded, (frames, height, width, 3) uint8, or resized, (frames, 3, height, width) uint8."""


@dataclass(frozen=True)
class PixelRecipe:
    """Size in pixels of the model's frames, and mean and deviation per channel of pixels in [0, 1]."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def recipe(self) -> dict[str, Any]:
        """Return the values as JSON, for a store's specification."""
        return {"frame_size": [self.height, self.width], "mean": list(self.mean), "std": list(self.std)}

    def resize(self, frames: np.ndarray) -> Tensor:
        """Resize a clip, (frames, height, width, 3) uint8, to the model's size: (frames, 3, height, width) uint8.

        It runs on the CPU: the library's processors resize uint8 values (bicubic), for which GPUs have no kernel.
        """
        pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()
        if pixels.shape[-2:] == (self.height, self.width):
            return pixels
        # On uint8, as torchvision does it: interpolating floats would differ in the last bits.
        return interpolate(pixels, size=(self.height, self.width), mode="bicubic", antialias=True)

    def apply(self, clips: Sequence[Frames], device: torch.device) -> Tensor:
        """Resize and normalise clips, all with the same number of frames; heights and widths may differ.

        Returns:
            (clips, frames, 3, height, width) float32 on the device.
        """
        resized = torch.stack([clip if isinstance(clip, Tensor) else self.resize(clip) for clip in clips])
        if device.type == "cuda":
            resized = resized.pin_memory()  # a copy from pinned memory does not stop the host
        resized = resized.to(device, non_blocking=True)
        # One fused step on the 0..255 scale, in the order of operations of the library's processors.
        mean = (torch.tensor(self.mean, device=device) * 255.0).view(3, 1, 1)
        std = (torch.tensor(self.std, device=device) * 255.0).view(3, 1, 1)
        return (resized.to(torch.float32) - mean) / std
