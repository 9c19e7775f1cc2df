"""Inputs of each family equal, bit for bit, those of the library's own processor."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata

from tests.support.models.begin_token import with_begin_token
from tests.support.models.described import described
from tests.support.models.torchvision import needs_torchvision
from tests.support.profiles import thinned
from vadprobe.extract.model.backbone import Description

pytestmark = needs_torchvision
CPU = torch.device("cpu")
PROMPTS = ("Is it?", "Describe violence, accidents, or other deviations; in détail… 日本")
DescribeTiny = Callable[..., Description]
MakeClips = Callable[[int, int], Sequence[np.ndarray]]

processor_of = functools.cache(AutoProcessor.from_pretrained)
SETTINGS = {
    "qwen2_5_vl": {"size": {"shortest_edge": 56 * 56, "longest_edge": 140 * 140}, "cap_pixels_per_frame": False},
    "internvl": {},
    "internvl-llama": {},
    "llava_onevision": {},
    "qwen3_vl": {"size": {"shortest_edge": 64 * 64, "longest_edge": 160 * 160}, "cap_pixels_per_frame": False},
}


def processed(
    folder: Path, kind: str, frames: np.ndarray, prompt: str, count: int, fps: float, indices: Sequence[float]
) -> Mapping[str, Tensor]:
    """Return the inputs that AutoProcessor makes of one clip, as its documentation shows."""
    processor = processor_of(folder)
    content = [{"type": "video"}, {"type": "text", "text": prompt}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    result: Mapping[str, Tensor] = processor(
        text=[text],
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        video_metadata=[VideoMetadata(total_num_frames=count, fps=fps, frames_indices=list(indices))],
        do_sample_frames=False,
        return_tensors="pt",
        **SETTINGS[kind],
    )
    return result


@pytest.mark.parametrize(
    ("kind", "frames", "size"),
    [
        (kind, frames, size)
        for kind, frames, size in thinned(
            list(SETTINGS), [1, 2, 5, 8], [(60, 90), (240, 320), (120, 68), (33, 200), (112, 112), (57, 91)]
        )
        if kind != "qwen3_vl" or frames > 1  # the library's processor of this family refuses a single frame
    ],
    ids=str,
)
def test_inputs_are_those_of_the_processor(
    tiny_backbones: Mapping[str, Path], describe_tiny: DescribeTiny, kind: str, frames: int, size: tuple[int, int]
) -> None:
    clip = np.random.default_rng(frames).integers(0, 256, (frames, *size, 3), dtype=np.uint8)
    middles = [24 * (2 * part + 1) / (2 * frames) for part in range(frames)]  # before rounding down to whole frames
    for prompt in PROMPTS:
        wanted = processed(tiny_backbones[kind], kind, clip, prompt, 24, 29.97, middles)
        frame_size = None
        if patch := {"qwen2_5_vl": 14, "qwen3_vl": 16}.get(kind):
            # The processor keeps the aspect ratio; here a job fixes the size.
            _, rows, columns = wanted["video_grid_thw"][0].tolist()
            frame_size = (patch * rows, patch * columns)
        family = describe_tiny(kind, frame_size=frame_size).family
        inputs = family.prepare([clip], [24 / 29.97], CPU)
        mine = {**inputs.vision, **family.language_inputs(family.tokenize(prompt, frames), inputs)}
        assert mine.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(mine[name], torch.as_tensor(value).to(mine[name].dtype)), name


@pytest.mark.parametrize("fps", [25.0, 30.0, 29.97, 23.976, 10.0, 19.62, 30.067303940694497])
@pytest.mark.parametrize(("length", "frames"), [(24, 8), (48, 16), (7, 8), (1, 8), (411, 8)])
def test_seconds_per_slice_are_those_of_the_processor(
    tiny_backbones: Mapping[str, Path], describe_tiny: DescribeTiny, fps: float, length: int, frames: int
) -> None:
    clip = np.zeros((frames, 56, 56, 3), dtype=np.uint8)
    folder, kind = tiny_backbones["qwen2_5_vl"], "qwen2_5_vl"
    wanted = processed(folder, kind, clip, "Is it?", length, fps, [0] * frames)["second_per_grid_ts"]
    found = describe_tiny(kind).family.prepare([clip], [length / fps], CPU).language["second_per_grid_ts"]
    assert found.tolist() == torch.as_tensor(wanted, dtype=torch.float32).tolist()


@pytest.mark.parametrize("fps", [25.0, 30.0, 29.97, 23.976, 10.0, 19.62, 30.067303940694497])
@pytest.mark.parametrize(("length", "frames"), [(24, 8), (48, 16), (7, 8), (411, 5), (9000, 16)])
def test_time_stamps_are_those_of_the_processor(
    tiny_backbones: Mapping[str, Path], describe_tiny: DescribeTiny, fps: float, length: int, frames: int
) -> None:
    clip = np.zeros((frames, 64, 64, 3), dtype=np.uint8)
    middles = [length * (2 * part + 1) / (2 * frames) for part in range(frames)]
    wanted = processed(tiny_backbones["qwen3_vl"], "qwen3_vl", clip, "Is it?", length, fps, middles)
    _, rows, columns = wanted["video_grid_thw"][0].tolist()
    family = describe_tiny("qwen3_vl", frame_size=(16 * rows, 16 * columns)).family
    found = family.language_inputs(family.tokenize("Is it?", frames), family.prepare([clip], [length / fps], CPU))
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        assert found[name].tolist() == torch.as_tensor(wanted[name]).tolist(), name


@pytest.mark.parametrize("nested", [False, True])
def test_scaling_is_that_of_the_processor(checkpoint: Path, nested: bool) -> None:
    path = checkpoint / "video_preprocessor_config.json"
    content = {**json.loads(path.read_text()), "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    if nested:
        path = checkpoint / "processor_config.json"
        content = {**json.loads(path.read_text()), "video_processor": content}
    path.write_text(json.dumps(content))
    clip = np.random.default_rng(0).integers(0, 256, (2, 56, 70, 3), dtype=np.uint8)
    wanted = processed(checkpoint, "internvl", clip, "Is it?", 2, 25.0, [0, 1])["pixel_values"]
    assert torch.equal(described(checkpoint).family.prepare([clip], [0.08], CPU).vision["pixel_values"], wanted)


def test_ids_with_a_begin_token_are_those_of_the_processor(checkpoint: Path) -> None:
    with_begin_token(checkpoint)
    clip = np.zeros((2, 56, 56, 3), dtype=np.uint8)
    wanted = processed(checkpoint, "internvl", clip, "Is it?", 2, 25.0, [0, 1])["input_ids"]
    assert described(checkpoint).family.tokenize("Is it?", 2).tolist() == wanted.tolist()
