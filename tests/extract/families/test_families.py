"""Inputs of each family: token layout, patches and times."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.models.begin_token import with_begin_token
from tests.support.models.described import described, without_weights
from vadprobe.extract.families.chat import expand
from vadprobe.extract.families.fixed_size_frames import InternVL
from vadprobe.extract.model.backbone import Description
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import Prompt

CPU = torch.device("cpu")
PROMPTS = ("Is it?", "Describe violence, accidents, or other deviations; in détail… 日本")
DescribeTiny = Callable[..., Description]
MakeClips = Callable[[int, int], Sequence[np.ndarray]]


def qwen(describe_tiny: DescribeTiny, height: int = 56, width: int = 84) -> Any:
    return describe_tiny("qwen2_5_vl", frame_size=(height, width)).family


def qwen3(describe_tiny: DescribeTiny, height: int = 64, width: int = 96) -> Any:
    return describe_tiny("qwen3_vl", frame_size=(height, width)).family


def text_of(family: Any, ids: Tensor) -> str:
    return str(family.chat.tokenizer.decode(ids[0]))


# Token layout


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 12])
def test_internvl_numbers_every_frame_from_one(describe_tiny: DescribeTiny, frames: int) -> None:
    family = describe_tiny("internvl").family
    image = "<img>" + "<IMG_CONTEXT>" * 16 + "</img>"
    lines = "\n".join(f"Frame{number + 1}: {image}" for number in range(frames))
    wanted = f"<|im_start|>user\n{lines}\nIs it?<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(family, family.tokenize("Is it?", frames)) == wanted


@pytest.mark.parametrize(("frames", "slices"), [(1, 1), (2, 1), (5, 3), (8, 4)])
@pytest.mark.parametrize("size", [(56, 84), (28, 28), (112, 56)])
def test_qwen_has_one_token_per_merged_patch_of_two_frames(
    describe_tiny: DescribeTiny, frames: int, slices: int, size: tuple[int, int]
) -> None:
    family = qwen(describe_tiny, *size)
    video = "<|video_pad|>" * (slices * size[0] // 28 * size[1] // 28)
    wanted = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n<|vision_start|>{video}<|vision_end|>Is it?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text_of(family, family.tokenize("Is it?", frames)) == wanted


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_llava_pools_an_odd_grid_upwards_and_ends_the_video_with_a_newline(
    describe_tiny: DescribeTiny, frames: int
) -> None:
    family = describe_tiny("llava_onevision").family
    video = "<video>" * (frames * 16 + 1)  # 7 x 7 patches become 4 x 4
    wanted = f"<|im_start|>user {video}\nIs it?<|im_end|><|im_start|>assistant\n"
    assert text_of(family, family.tokenize("Is it?", frames)) == wanted


@pytest.mark.parametrize(
    ("frames", "seconds", "stamps"),
    [
        (1, 1.0, ["0.5"]),
        (2, 1.0, ["0.5"]),
        (5, 2.0, ["0.4", "1.2", "1.8"]),  # the last frame is paired with itself
        (8, 24 / 25, ["0.1", "0.4", "0.6", "0.8"]),
        (4, 400.0, ["100.0", "300.0"]),
    ],
)
@pytest.mark.parametrize("size", [(64, 96), (32, 32)])
def test_qwen3_writes_the_time_before_every_slice(
    describe_tiny: DescribeTiny, frames: int, seconds: float, stamps: list[str], size: tuple[int, int]
) -> None:
    family = qwen3(describe_tiny, *size)
    clip = np.zeros((frames, 40, 40, 3), dtype=np.uint8)
    found = family.language_inputs(family.tokenize("Is it?", frames), family.prepare([clip], [seconds], CPU))
    part = "<|vision_start|>" + "<|video_pad|>" * (size[0] // 32 * size[1] // 32) + "<|vision_end|>"
    video = "".join(f"<{stamp} seconds>{part}" for stamp in stamps)
    wanted = f"<|im_start|>user\n<|vision_start|>{video}<|vision_end|>Is it?<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(family, found["input_ids"]) == wanted
    assert found["attention_mask"].all()


@pytest.mark.parametrize("prompt", [*PROMPTS, "Before <0.0 seconds> or <9.9 seconds>?", "\u0065\u0301 <0.0 seconds>"])
def test_qwen3_stamps_nothing_but_the_video(describe_tiny: DescribeTiny, prompt: str) -> None:
    family = qwen3(describe_tiny)
    ids = family.tokenize(prompt, 3)
    inputs = family.prepare([np.zeros((3, 40, 40, 3), dtype=np.uint8)], [0.0], CPU)
    assert torch.equal(family.language_inputs(ids, inputs)["input_ids"], ids)  # at zero seconds there is nothing to do


def test_qwen3_pads_clips_with_shorter_stamps_on_the_left(describe_tiny: DescribeTiny) -> None:
    family = qwen3(describe_tiny)
    clip = np.zeros((2, 40, 40, 3), dtype=np.uint8)
    ids = family.tokenize("Is it?", 2)
    found = family.language_inputs(ids, family.prepare([clip] * 2, [2.0, 200.0], CPU))
    missing = found["input_ids"].shape[1] - ids.shape[1]
    assert missing > 0
    assert found["attention_mask"].tolist() == [[0] * missing + [1] * ids.shape[1], [1] * found["input_ids"].shape[1]]
    kinds = found["mm_token_type_ids"]
    assert kinds.dtype == torch.int32
    assert ((kinds == 2) == (found["input_ids"] == family.video_token_id)).all()
    alone = family.language_inputs(ids, family.prepare([clip], [2.0], CPU))["input_ids"]
    assert torch.equal(found["input_ids"][:1, missing:], alone)


def test_qwen3_refuses_tokens_of_another_number_of_frames(describe_tiny: DescribeTiny) -> None:
    family = qwen3(describe_tiny)
    inputs = family.prepare([np.zeros((4, 40, 40, 3), dtype=np.uint8)], [1.0], CPU)
    with pytest.raises(VadprobeError, match="have 1 time stamps and the clip has 2 slices of 2 frames"):
        family.language_inputs(family.tokenize("Is it?", 2), inputs)


def test_qwen3_names_the_layout_of_its_video_tokens(describe_tiny: DescribeTiny) -> None:
    recipe = qwen3(describe_tiny, 96, 64).recipe()
    assert recipe["video_layout"].startswith("transformers ")
    assert recipe["time_stamps"] == "seconds from the clip's start"
    assert (recipe["patch"], recipe["frame_size"]) == ([2, 16, 2], [96, 64])


def test_the_prompt_reaches_the_model_unchanged_and_the_answer_begins_behind_it(backbone: Any) -> None:
    family = backbone.description.family
    for prompt in PROMPTS:
        ids = family.tokenize(prompt, 2)
        assert (ids.dtype, ids.shape[0]) == (torch.int64, 1)
        assert re.search(rf"{re.escape(prompt)}<\|im_end\|>\n?<\|im_start\|>assistant\n$", text_of(family, ids))


def test_a_prompt_is_tokenized_once_for_all_batches(
    describe_tiny: DescribeTiny, random_clips: MakeClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, asked, tokenize = describe_tiny("internvl").family, [], InternVL.tokenize
    monkeypatch.setattr(InternVL, "encode", lambda self, model, inputs: {})
    monkeypatch.setattr(InternVL, "tokenize", lambda self, *which: asked.append(which) or tokenize(self, *which))
    of = SimpleNamespace(frames_per_clip=2)
    specs: Any = [SimpleNamespace(prompt=Prompt("a", text), sampling=of, recipe={"prefix": ""}) for text in PROMPTS]
    for _ in range(3):
        passes = [one for (one,) in family.passes(None, CPU, random_clips(2, 2), [1.0, 1.0], specs)]
        for one, text in zip(passes, PROMPTS, strict=True):
            assert torch.equal(one.inputs["input_ids"][1:], tokenize(family, text, 2))
    assert asked == [(text, 2, "") for text in PROMPTS]


def test_the_placeholder_must_be_there_exactly_once(backbone: Any) -> None:
    assert expand("a <v> b", "<v>", "xx") == "a xx b"
    for text in ("nothing", "<v> and <v>"):
        with pytest.raises(VadprobeError, match="exactly once, got"):
            expand(text, "<v>", "x")
    family = backbone.description.family
    token = "<video>" if family.name in ("internvl", "llava_onevision") else "<|video_pad|>"
    with pytest.raises(VadprobeError, match="reads as a control token"):
        family.tokenize(f"What is {token}?", 2)


# Chat templates


def test_a_template_in_an_older_file_is_the_same_template(checkpoint: Path) -> None:
    before = described(checkpoint).family
    newer = checkpoint / "chat_template.jinja"
    (checkpoint / "chat_template.json").write_text(json.dumps({"chat_template": newer.read_text()}))
    newer.unlink()
    after = described(checkpoint).family
    assert after.recipe() == before.recipe()
    assert torch.equal(after.tokenize("Is it?", 2), before.tokenize("Is it?", 2))


def test_a_checkpoint_without_a_template_is_refused(checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").unlink()
    with pytest.raises(VadprobeError, match="has no chat template"):
        described(checkpoint)


def test_another_template_is_another_recipe(checkpoint: Path) -> None:
    before = described(checkpoint).family.recipe()
    template = checkpoint / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant", "system"))
    after = described(checkpoint).family.recipe()
    assert after["chat_template"] != before["chat_template"]
    assert {**after, "chat_template": ""} == {**before, "chat_template": ""}


def test_the_recipe_is_plain_json(backbone: Any) -> None:
    recipe = backbone.description.family.recipe()
    assert json.loads(json.dumps(recipe, allow_nan=False)) == recipe


@pytest.mark.parametrize("written", ["", "<|endoftext|>"])
def test_a_begin_token_is_put_in_front_unless_the_template_writes_it(checkpoint: Path, written: str) -> None:
    tokenizer = with_begin_token(checkpoint)
    template = checkpoint / "chat_template.jinja"
    template.write_text(written + template.read_text())
    ids = described(checkpoint).family.tokenize("Is it?", 2)
    assert ids[0, 0] == tokenizer.bos_token_id
    assert (ids == tokenizer.bos_token_id).sum() == 1


# Pixels and times


@pytest.mark.parametrize("nested", [False, True])
def test_pixels_are_scaled_as_the_video_processor_says(checkpoint: Path, nested: bool) -> None:
    path = checkpoint / ("processor_config.json" if nested else "video_preprocessor_config.json")
    content = json.loads(path.read_text())
    own = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    path.write_text(json.dumps({**content, "video_processor": own} if nested else {**content, **own}))
    recipe = described(checkpoint).family.recipe()
    assert (recipe["mean"], recipe["std"]) == (own["image_mean"], own["image_std"])


def test_pixels_are_scaled_as_images_where_videos_have_no_file(checkpoint: Path) -> None:
    before = described(checkpoint).family.recipe()
    (checkpoint / "video_preprocessor_config.json").unlink()
    assert described(checkpoint).family.recipe() == before


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_qwen_patches_are_laid_out_as_the_model_reads_them(
    describe_tiny: DescribeTiny, random_clips: MakeClips, frames: int
) -> None:
    family = qwen(describe_tiny, 56, 84)
    clips = random_clips(2, frames)
    inputs = family.prepare(clips, [1.0, 2.0], CPU)
    video = family.pixels.apply(clips, CPU)
    if frames % 2:
        video = torch.cat([video, video[:, -1:]], dim=1)
    rows = [
        video[clip, 2 * part : 2 * part + 2, :, y : y + 14, x : x + 14].transpose(0, 1).flatten()
        for clip in range(2)
        for part in range(video.shape[1] // 2)
        for top in range(0, 56, 28)
        for left in range(0, 84, 28)
        for y in (top, top + 14)
        for x in (left, left + 14)
    ]
    assert torch.equal(inputs.vision["pixel_values_videos"], torch.stack(rows))
    assert inputs.vision["video_grid_thw"].tolist() == [[-(-frames // 2), 4, 6]] * 2
    assert inputs.count == 2


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_qwen_is_told_the_seconds_between_slices(
    describe_tiny: DescribeTiny, random_clips: MakeClips, frames: int
) -> None:
    seconds = [0.96, 24 / 29.97, 7.0]
    found = qwen(describe_tiny).prepare(random_clips(3, frames), seconds, CPU).language["second_per_grid_ts"]
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([2 * duration / frames for duration in seconds], rel=1e-6)


def test_qwen_marks_its_video_tokens(describe_tiny: DescribeTiny, random_clips: MakeClips) -> None:
    family = qwen(describe_tiny)
    ids = family.tokenize("Is it?", 4)
    found = family.language_inputs(ids, family.prepare(random_clips(3, 4), [1.0] * 3, CPU))
    assert found["input_ids"].shape == (3, ids.shape[1])
    assert found["attention_mask"].all()
    kinds = found["mm_token_type_ids"]
    assert ((kinds == 2) == (found["input_ids"] == family.video_token_id)).all()
    assert ((kinds == 0) == (found["input_ids"] != family.video_token_id)).all()


@pytest.mark.parametrize(
    ("kind", "height", "width", "factor"),
    [
        *(("qwen3_vl", *size, 32) for size in ((60, 64), (64, 56), (16, 32))),
        *(("qwen2_5_vl", *size, 28) for size in ((50, 56), (56, 50), (14, 28))),
    ],
)
def test_qwen_refuses_sizes_its_patches_do_not_fill(
    describe_tiny: DescribeTiny, kind: str, height: int, width: int, factor: int
) -> None:
    with pytest.raises(VadprobeError, match=rf"must be multiples of {factor} pixels .*, got {height} x {width}"):
        describe_tiny(kind, frame_size=(height, width))


@pytest.mark.parametrize(("kind", "side", "other"), [("internvl", 112, (56, 56)), ("llava_onevision", 98, (98, 112))])
def test_a_tower_of_one_size_refuses_another(
    describe_tiny: DescribeTiny, kind: str, side: int, other: tuple[int, int]
) -> None:
    with pytest.raises(VadprobeError, match=f"takes only {side} x {side} pixels; leave frame_size out"):
        describe_tiny(kind, frame_size=other)
    own_size = describe_tiny(kind, frame_size=(side, side)).family
    assert own_size.recipe() == describe_tiny(kind).family.recipe()


@pytest.mark.parametrize(("kind", "shape"), [("internvl", (15, 3, 112, 112)), ("llava_onevision", (3, 5, 3, 98, 98))])
def test_internvl_takes_frames_as_images_and_llava_keeps_clips_apart(
    describe_tiny: DescribeTiny, random_clips: MakeClips, kind: str, shape: tuple[int, ...]
) -> None:
    family = describe_tiny(kind).family
    clips = random_clips(3, 5)
    inputs = family.prepare(clips, [1.0] * 3, CPU)
    (pixels,) = inputs.vision.values()
    assert pixels.shape == shape
    assert torch.equal(pixels.view(3, 5, *shape[-3:])[1:2], family.pixels.apply([clips[1]], CPU))
    found = family.language_inputs(family.tokenize("Is it?", 5), inputs)
    assert found["input_ids"].shape[0] == 3
    assert found["attention_mask"].shape == found["input_ids"].shape
    assert found["attention_mask"].all()


def test_llava_refuses_a_tower_whose_first_patch_is_dropped(tiny_backbones: Mapping[str, Path], tmp_path: Path) -> None:
    folder = without_weights(tiny_backbones["llava_onevision"], tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vision_feature_select_strategy": "default"}))
    with pytest.raises(VadprobeError, match="vision_feature_select_strategy is 'default'"):
        described(folder)
