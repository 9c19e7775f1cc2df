"""Frames to normalised pixels, bit-equal to the transformers video processors and without torchvision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class PixelRecipe:
    """How decoded frames become model pixels: the size in pixels, and mean and deviation per channel in [0, 1]."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, clips: Sequence[np.ndarray], device: torch.device) -> Tensor:
        """Resize and normalise.

        Args:
            clips: per clip (frames, height, width, 3) uint8; all clips have the same number of frames, their heights
                and widths may differ.
            device: where to compute.

        Returns:
            (clips, frames, 3, height, width) float32.
        """
        # Resized on the CPU: bicubic on uint8 is what the processors do, and GPUs have no such kernel.
        resized = torch.stack([self._resize(torch.tensor(clip)) for clip in clips]).to(device)
        # One fused step on the 0..255 scale, in the order of operations of the library's processors.
        mean = (torch.tensor(self.mean, device=device) * 255.0).view(3, 1, 1)
        std = (torch.tensor(self.std, device=device) * 255.0).view(3, 1, 1)
        return (resized.to(torch.float32) - mean) / std

    def _resize(self, frames: Tensor) -> Tensor:
        frames = frames.permute(0, 3, 1, 2).contiguous()
        if frames.shape[-2:] == (self.height, self.width):
            return frames
        # On uint8, as torchvision does it: interpolating floats would differ in the last bits.
        return interpolate(frames, size=(self.height, self.width), mode="bicubic", antialias=True)
