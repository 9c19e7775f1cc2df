"""Fixtures of several test files: tiny backbones of every family, small videos whose frames tell their own number.

Nothing heavy is imported at the top: the tests of the store and of stage 2 run without torch, PyAV and transformers.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tests.support.models.torchvision  # noqa: F401 - before anything imports transformers

if TYPE_CHECKING:
    from vadprobe.extract.model.backbone import Backbone, Description

# A shell starts what it runs in the background with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a missing checkpoint is missing at once, with or without a network

FAMILIES = ("qwen2_5_vl", "internvl", "internvl-llama", "llava_onevision", "qwen3_vl")
# Qwen takes any multiple of 28 or 32 pixels; the default of 448 x 448 is slow here.
SMALL_FRAMES = {"qwen2_5_vl": (56, 84), "qwen3_vl": (64, 96)}

DescribeTiny = Callable[..., "Description"]
WriteVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_backbones(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Checkpoint folder of each family."""
    import torch

    from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("backbones")
    return {family: make_tiny_backbone(folder / family, family) for family in (*FAMILIES, "qwen3_5")}


@pytest.fixture(scope="session")
def describe_tiny(tiny_backbones: Mapping[str, Path]) -> DescribeTiny:
    """Describe the tiny backbone of a family, in float32 unless the settings say otherwise."""
    from tests.support.models.described import described

    def describe_one(family: str, **settings: Any) -> "Description":
        if family in SMALL_FRAMES:
            settings.setdefault("frame_size", SMALL_FRAMES[family])
        return described(tiny_backbones[family], **settings)

    return describe_one


@pytest.fixture(scope="session", params=FAMILIES)
def backbone(request: pytest.FixtureRequest, describe_tiny: DescribeTiny) -> "Backbone":
    """A loaded tiny backbone, on the CPU in float32: one run of the test per family."""
    from vadprobe.extract.model.backbone import load

    return load(describe_tiny(request.param), "cpu", threads=1)


@pytest.fixture(scope="session")
def write_video() -> WriteVideo:
    """Write a video of 64 x 64 pixels whose every frame shows its number."""
    from tests.support.videos.drawn import write

    return partial(write, width=64)


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> Path:
    """Three readable videos: `first` (20 frames, 25 fps), `second` (33 frames, 10 fps), `third` (7 frames)."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "first.mp4", 20)
    write_video(folder / "second.mp4", 33, rate=10, height=48, width=80)
    write_video(folder / "third.mp4", 7)
    return folder


@pytest.fixture
def random_clips() -> Callable[[int, int], Sequence[np.ndarray]]:
    """Clips of noise, each of another size: (number of clips, frames per clip) to uint8 arrays."""

    def make(count: int, frames: int) -> Sequence[np.ndarray]:
        generator = np.random.default_rng(count * 100 + frames)
        sizes = [(60 + 8 * clip, 90 - 6 * clip) for clip in range(count)]
        return [generator.integers(0, 256, (frames, *size, 3), dtype=np.uint8) for size in sizes]

    return make


@pytest.fixture
def blank() -> Iterator[None]:
    """Draw no picture."""
    from tests.support.planted import blank_pictures

    with blank_pictures():
        yield
