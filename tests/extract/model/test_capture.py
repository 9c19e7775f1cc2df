"""The capture: what its features depend on, and what it leaves behind. Their values are tested in test_features.py."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from tests.support.oracles.prompt_passes import NAMES, Clips, assert_near, difference
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.store.errors import VadprobeError

FRAMES = 5  # odd, so that Qwen2.5-VL pairs the last frame with itself
MakeClips = Callable[[int, int], Sequence[np.ndarray]]


def test_a_bias_of_the_language_head_is_part_of_the_logits(describe_tiny: Any, random_clips: MakeClips) -> None:
    own = load(describe_tiny("internvl"), "cpu", threads=1)
    inputs = Clips.of(own, random_clips(1, FRAMES))
    before = inputs.alone().answer_logits
    own.model.lm_head.bias = nn.Parameter(torch.arange(own.model.lm_head.out_features, dtype=torch.float32))
    shift = torch.tensor([own.description.answer_ids], dtype=torch.float32)
    assert difference(inputs.alone().answer_logits, before + shift) <= 1e-4  # ids below 1024 are rounded by up to 6e-5


def test_the_eager_reference_tells_heads_apart(backbone: Backbone, random_clips: MakeClips) -> None:
    """Else a capture with its heads in another order would pass."""
    heads = Clips.of(backbone, random_clips(2, FRAMES)).alone().head_outputs
    pairs = torch.cdist(heads, heads, p=torch.inf) + 10 * torch.eye(heads.shape[2])
    assert float(pairs.min()) > 1e-2


def test_clips_whose_stamps_differ_in_length_are_padded_without_a_trace(
    describe_tiny: Any, random_clips: MakeClips
) -> None:
    own = load(describe_tiny("qwen3_vl"), "cpu", threads=1)
    clips, seconds = random_clips(3, FRAMES), [3.0, 30.0, 300.0]
    inputs = Clips.of(own, clips, seconds)
    mask = inputs.arguments()["attention_mask"]
    assert (mask == 0).any(dim=1).tolist() == [True, True, False]
    batch = inputs.alone()
    for number, (clip, duration) in enumerate(zip(clips, seconds, strict=True)):
        mine = Captured(*(getattr(batch, name)[number : number + 1] for name in NAMES))
        assert_near(mine, Clips.of(own, [clip], [duration]).alone())


def test_features_depend_on_the_clip_and_on_the_prompt(backbone: Backbone, random_clips: MakeClips) -> None:
    inputs = Clips.of(backbone, random_clips(2, FRAMES), [1.0, 1.0])
    mine, other = inputs.alone(), inputs.alone("Describe the weather in one word.")
    assert difference(mine.hidden_states[:, 0], other.hidden_states[:, 0]) == 0.0  # the template's own last token
    for layer in range(1, mine.hidden_states.shape[1]):
        assert difference(mine.hidden_states[:, layer], other.hidden_states[:, layer]) > 1e-3
        assert difference(mine.hidden_states[0, layer], mine.hidden_states[1, layer]) > 1e-3
        assert difference(mine.head_outputs[:, layer - 1], other.head_outputs[:, layer - 1]) > 1e-3
        assert difference(mine.head_outputs[0, layer - 1], mine.head_outputs[1, layer - 1]) > 1e-3


def test_time_between_frames_reaches_only_qwen(backbone: Backbone, random_clips: MakeClips) -> None:
    clips = random_clips(1, FRAMES)
    fast = Clips.of(backbone, clips, [0.4]).alone().hidden_states
    slow = Clips.of(backbone, clips, [4.0]).alone().hidden_states
    assert (difference(fast, slow) > 1e-3) == (backbone.description.spec.family in ("qwen2_5_vl", "qwen3_vl"))


def test_captured_features_hold_no_more_memory_than_themselves(backbone: Backbone, random_clips: MakeClips) -> None:
    captured = Clips.of(backbone, random_clips(2, FRAMES)).alone()
    for name in NAMES:
        value = getattr(captured, name)
        assert value.untyped_storage().nbytes() == value.numel() * value.element_size(), name


def test_whole_sequences_are_released_during_the_pass(backbone: Backbone, random_clips: MakeClips) -> None:
    """A kept view of the last position would keep every layer's (clips, tokens, hidden) until the end."""
    sequences: list[StorageWeakRef] = []
    alive: list[int] = []

    def watch_output(module: nn.Module, args: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        sequences.append(StorageWeakRef(tensor.untyped_storage()))

    def watch_input(module: nn.Module, args: Any) -> None:
        sequences.append(StorageWeakRef(args[0].untyped_storage()))

    def count_alive(module: nn.Module, args: Any) -> None:
        alive.append(sum(not reference.expired() for reference in sequences))

    with ExitStack() as hooks:
        for block, projection in zip(backbone.parts.blocks, backbone.parts.projections, strict=True):
            hooks.enter_context(block.register_forward_hook(watch_output))
            hooks.enter_context(projection.register_forward_pre_hook(watch_input))
        hooks.enter_context(backbone.model.get_decoder().norm.register_forward_pre_hook(count_alive))
        Clips.of(backbone, random_clips(2, FRAMES)).alone()
    assert len(sequences) == 2 * len(backbone.parts.blocks)
    assert alive == [1]  # the output of the last block, which the norm is about to read


def test_a_hook_that_does_not_fire_is_an_error(describe_tiny: Any, random_clips: MakeClips) -> None:
    running, idle = (load(describe_tiny("internvl"), "cpu", threads=1) for _ in range(2))
    inputs = Clips.of(running, random_clips(1, FRAMES))
    never = replace(running, parts=idle.parts)
    with pytest.raises(RuntimeError, match=r"captured 0 of 7 hidden states and the heads of 0 of 6 blocks"):
        replace(inputs, backbone=never).alone()
    projections = (*running.parts.projections[:-1], idle.parts.projections[-1])
    partly = TextBlocks(running.parts.blocks, projections, running.parts.shapes)
    with pytest.raises(RuntimeError, match="heads of 5 of 6 blocks"):
        replace(inputs, backbone=replace(running, parts=partly)).alone()


def test_hooks_keep_nothing_outside_a_capture_not_even_after_a_failure(
    backbone: Backbone, random_clips: MakeClips
) -> None:
    def held() -> list[Tensor]:
        return [
            value
            for owner in (backbone.parts, *(projection.heads_slot for projection in projections))
            for value in vars(owner).values()
            if isinstance(value, Tensor)
        ]

    projections: Any = backbone.parts.projections
    modules = [*backbone.parts.blocks, *projections]
    before = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in modules]
    inputs = Clips.of(backbone, random_clips(1, FRAMES))
    inputs.alone()
    assert held() == []
    model, arguments = backbone.model, inputs.arguments()
    with torch.inference_mode():
        model.model(**arguments, mm_encoder_outputs=inputs.encoded(), use_cache=False)
        assert held() == []
        arguments["mm_encoder_outputs"] = Clips.of(backbone, random_clips(1, FRAMES + 2)).encoded()
        with pytest.raises(ValueError, match=r"features and .* tokens do not match"):
            capture(model, backbone.parts, arguments, backbone.description.answer_ids)
    assert held() == []
    assert [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in modules] == before


def test_a_model_without_a_list_of_blocks_is_refused() -> None:
    class Model:
        def get_decoder(self) -> Any:
            return self

    with pytest.raises(VadprobeError, match=r"language model \(Model\) has no list of blocks named 'layers'"):
        TextBlocks.of(Model())
