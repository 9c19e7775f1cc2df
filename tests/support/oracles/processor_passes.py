"""Passes of clips through models whose inputs the library's processor makes, and the library's own call."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.video_utils import VideoMetadata

from tests.support.models.torchvision import needs_torchvision
from vadprobe.extract.families.processor import ProcessorFamily
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import Captured, capture

CPU = torch.device("cpu")
FRAMES, SECONDS = 3, [0.96, 4.0]
QUESTION = "Does anything abnormal happen in this video? Answer with yes or no."
# transformers' processors of GLM and MiniCPM-V convert a tensor to an array in a way that NumPy 2 deprecates.
_OLD_ARRAYS = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
_NUMBERS = pytest.mark.skipif(
    find_spec("num2words") is None, reason="SmolVLM's processor needs num2words, which is not installed"
)
KINDS = (
    *("llava", "idefics3", "gemma3"),
    *(pytest.param(kind, marks=needs_torchvision) for kind in ("qwen2_vl", "gemma4", "llava_next_video")),
    *(
        pytest.param(kind, marks=(needs_torchvision, _OLD_ARRAYS))
        for kind in ("glm4v_moe", "qwen3_vl_moe", "minicpmv4_6")
    ),
    pytest.param("smolvlm", marks=(needs_torchvision, _NUMBERS)),
)
"""Families that are read through the library's processor; those that are read as videos need torchvision."""
Checkpoints = Mapping[str, Path]


def family_of(backbone: Backbone) -> ProcessorFamily:
    family = backbone.description.family
    assert isinstance(family, ProcessorFamily)
    return family


def noise(count: int, size: tuple[int, int] = (70, 90)) -> list[np.ndarray]:
    make = np.random.default_rng(count)
    return [make.integers(0, 256, (FRAMES, *size, 3), dtype=np.uint8) for _ in range(count)]


def from_library(backbone: Backbone, clip: np.ndarray, seconds: float, prompt: str) -> dict[str, Any]:
    """Make the library's documented call for one conversation: media in the messages, tokenized with the template."""
    processor = family_of(backbone).processor
    medium: list[dict[str, Any]]
    settings: dict[str, Any] = {}
    if family_of(backbone).medium == "video":
        medium = [{"type": "video", "video": torch.from_numpy(clip).permute(0, 3, 1, 2)}]
        middles = [(2 * frame + 1) * seconds / (2 * FRAMES) * 25 for frame in range(FRAMES)]
        times = VideoMetadata(total_num_frames=round(seconds * 25), fps=25.0, frames_indices=middles, duration=seconds)
        settings = {"do_sample_frames": False, "video_metadata": [times]}
    else:
        medium = [{"type": "image", "image": Image.fromarray(frame)} for frame in clip]
    turns = [{"role": "user", "content": [*medium, {"type": "text", "text": prompt}]}]
    return dict(
        processor.apply_chat_template(
            turns,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs=settings,
        )
    )


def captures(backbone: Backbone, clips: Sequence[np.ndarray], seconds: Sequence[float], **more: Any) -> list[Captured]:
    inputs = family_of(backbone).inputs(QUESTION, clips, seconds, CPU, backbone.model.dtype)
    answers = backbone.description.answer_ids
    return [capture(backbone.model, backbone.parts, one, answers, with_head=True, **more) for one in inputs]
