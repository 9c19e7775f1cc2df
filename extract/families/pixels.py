"""Frames to normalised pixels, bit-equal to the transformers video processors and without torchvision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

Frames = np.ndarray | Tensor
"""A clip as it was decoded, or already resized."""


@dataclass(frozen=True)
class PixelRecipe:
    """How decoded frames become model pixels: the size in pixels, and mean and deviation per channel in [0, 1]."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def resize(self, frames: np.ndarray) -> Tensor:
        """A clip, (frames, height, width, 3) uint8, in the model's size: (frames, 3, height, width) uint8.

        On the CPU: bicubic on uint8 is what the processors do, and GPUs have no such kernel.
        """
        pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()
        if pixels.shape[-2:] == (self.height, self.width):
            return pixels
        # On uint8, as torchvision does it: interpolating floats would differ in the last bits.
        return interpolate(pixels, size=(self.height, self.width), mode="bicubic", antialias=True)

    def apply(self, clips: Sequence[Frames], device: torch.device) -> Tensor:
        """Resize and normalise.

        Args:
            clips: per clip (frames, height, width, 3) uint8, or a tensor that ``resize`` has made of it; all clips
                have the same number of frames, the heights and widths of arrays may differ.
            device: where to compute.

        Returns:
            (clips, frames, 3, height, width) float32.
        """
        resized = torch.stack([clip if isinstance(clip, Tensor) else self.resize(clip) for clip in clips])
        if device.type == "cuda":
            resized = resized.pin_memory()  # so that the copy does not stop the host
        resized = resized.to(device, non_blocking=True)
        # One fused step on the 0..255 scale, in the order of operations of the library's processors.
        mean = (torch.tensor(self.mean, device=device) * 255.0).view(3, 1, 1)
        std = (torch.tensor(self.std, device=device) * 255.0).view(3, 1, 1)
        return (resized.to(torch.float32) - mean) / std
