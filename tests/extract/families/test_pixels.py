"""Pixels: antialiased bicubic resizing on 8-bit values and normalisation, against a slow float64 oracle."""

import numpy as np
import pytest
import torch

from vadprobe.extract.families.pixels import PixelRecipe

MEAN, STD = (0.48, 0.45, 0.40), (0.27, 0.26, 0.28)
CPU = torch.device("cpu")


def recipe(height: int, width: int) -> PixelRecipe:
    return PixelRecipe(height, width, MEAN, STD)


def levels(pixels: torch.Tensor) -> np.ndarray:
    """Undo the normalisation: (..., 3, height, width) on the 0..255 scale, float64."""
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (MEAN, STD))
    return (pixels.double().numpy() * std + mean) * 255


def cubic_weights(source: int, target: int) -> np.ndarray:
    """(target, source): the cubic filter with a = -1/2, widened when it reduces; rows sum to one."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target)[:, None] + 0.5) * scale
    distance = np.abs((np.arange(source)[None] + 0.5 - centres) / support)
    inner = (1.5 * distance - 2.5) * distance**2 + 1
    outer = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, inner, np.where(distance < 2, outer, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def resize_slowly(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """(frames, height, width, 3) to (frames, 3, height, width) on the 0..255 scale; rounded between the two passes."""
    wide = np.einsum("tx,fyxc->fcyt", cubic_weights(frames.shape[2], width), frames.astype(np.float64))
    wide = np.clip(np.round(wide), 0, 255)
    return np.clip(np.einsum("ty,fcyx->fctx", cubic_weights(frames.shape[1], height), wide), 0, 255)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(90, 120), (240, 320), (30, 40), (56, 200), (57, 83)])
def test_resizing_equals_the_oracle(size: tuple[int, int]) -> None:
    frames = noise(2, *size)
    found = levels(recipe(56, 84).apply([frames], CPU))[0]
    wanted = resize_slowly(frames, 56, 84)
    assert found.shape == (2, 3, 56, 84)
    assert np.abs(found - wanted).max() <= 1.5  # fixed-point weights, and one rounding to a whole level
    assert np.abs(found - wanted).mean() < 0.3


def test_frames_of_the_right_size_are_only_normalised() -> None:
    frames = noise(3, 20, 24)
    found = recipe(20, 24).apply([frames], CPU)[0].double().numpy()
    wanted = (frames.transpose(0, 3, 1, 2) / 255 - np.array(MEAN).reshape(3, 1, 1)) / np.array(STD).reshape(3, 1, 1)
    assert np.abs(found - wanted).max() < 2e-6  # float32: some roundings of values up to 2.3, eps / 2 each, over STD


def test_a_frame_of_one_colour_stays_so() -> None:
    frames = np.empty((1, 37, 51, 3), dtype=np.uint8)
    frames[...] = (0, 128, 255)
    found = levels(recipe(56, 84).apply([frames], CPU))
    assert np.abs(found - np.array([0, 128, 255]).reshape(3, 1, 1)).max() < 1e-3


def test_resized_values_are_whole_levels() -> None:
    found = levels(recipe(28, 28).apply([noise(1, 50, 70)], CPU))
    assert np.abs(found - np.round(found)).max() < 1e-3


def test_clips_of_different_sizes_in_one_batch_equal_each_alone() -> None:
    clips = [noise(2, 40, 60), noise(2, 100, 30), noise(2, 28, 42)]
    batch = recipe(28, 42).apply(clips, CPU)
    assert batch.shape == (3, 2, 3, 28, 42)
    assert batch.dtype == torch.float32
    for number, clip in enumerate(clips):
        assert torch.equal(batch[number], recipe(28, 42).apply([clip], CPU)[0])


def test_frames_that_must_not_be_written_are_taken_as_they_are() -> None:
    frames = np.frombuffer(noise(1, 30, 30).tobytes(), dtype=np.uint8).reshape(1, 30, 30, 3)
    before = frames.copy()
    recipe(28, 28).apply([frames], CPU)
    assert np.array_equal(frames, before)


def test_clips_with_different_numbers_of_frames_are_refused() -> None:
    with pytest.raises(RuntimeError, match="equal size"):
        recipe(28, 28).apply([noise(2, 30, 30), noise(3, 30, 30)], CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_pixels_of_the_cpu() -> None:
    clips = [noise(2, 90, 120), noise(2, 56, 84)]
    mine = recipe(56, 84).apply(clips, torch.device("cuda"))
    assert torch.equal(mine.cpu(), recipe(56, 84).apply(clips, CPU))
