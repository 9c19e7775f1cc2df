"""One pass over the video for several prompts equals a pass for each, in every family."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.oracles.eager_reference import ROUNDING
from tests.support.oracles.prompt_passes import NAMES, PROMPTS, both_ways, difference
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import capture
from vadprobe.extract.model.shared_prefix import capture_prompts, shared_tokens, shares

MakeClips = Callable[[int, int], Sequence[np.ndarray]]


@pytest.mark.parametrize("frames", [2, 5])
def test_every_prompt_equals_its_own_pass(backbone: Backbone, random_clips: MakeClips, frames: int) -> None:
    together, alone = both_ways(backbone, random_clips(2, frames), PROMPTS, [0.4, 2.5])
    assert len(together) == len(PROMPTS)
    for mine, theirs in zip(together, alone, strict=True):
        for name in NAMES:
            assert difference(getattr(mine, name), getattr(theirs, name)) <= ROUNDING, name
    assert difference(together[0].hidden_states[:, 1:], together[1].hidden_states[:, 1:]) > 1e-3


def test_a_prompt_has_the_same_bits_whichever_others_are_there(backbone: Backbone, random_clips: MakeClips) -> None:
    clips = random_clips(2, 4)
    every = both_ways(backbone, clips, PROMPTS)[0]
    for order in ([2], [4, 2], [2, 0, 1]):
        some = both_ways(backbone, clips, [PROMPTS[number] for number in order])[0]
        for name in NAMES:
            assert torch.equal(getattr(some[order.index(2)], name), getattr(every[2], name)), (order, name)


def test_nearly_all_tokens_are_shared(backbone: Backbone) -> None:
    family = backbone.description.family
    prefix = shared_tokens(family, 8)
    assert prefix is not None
    for prompt in PROMPTS:
        ids = family.tokenize(prompt, 8)
        assert shares(family, ids, 8)
        assert torch.equal(ids[0, : len(prefix)], prefix)
    assert family.tokenize("Yes?", 8).shape[1] - len(prefix) < 24


def test_a_template_with_the_video_after_the_text_shares_nothing(backbone: Backbone) -> None:
    family: Any = backbone.description.family
    placeholder = family.chat.render("QQQ").split("QQQ")[0]

    class Swapped(type(family.chat)):  # type: ignore[misc]
        def render(self, prompt: str) -> str:
            before, after = family.chat.render("QQQ").split("QQQ")
            return f"{prompt}{before}{after}"

    swapped = replace(family, chat=Swapped(family.chat.tokenizer, family.chat.template))
    assert placeholder
    assert shared_tokens(swapped, 4) is None
    assert not shares(swapped, swapped.tokenize("Yes?", 4), 4)


def test_captured_features_hold_no_more_memory_than_themselves(backbone: Backbone, random_clips: MakeClips) -> None:
    together, _ = both_ways(backbone, random_clips(2, 3), PROMPTS[:2])
    for captured in together:
        for name in NAMES:
            value = getattr(captured, name)
            assert value.untyped_storage().nbytes() == value.numel() * value.element_size(), name


@pytest.mark.parametrize("depth", [1, 4, 6])
def test_a_pass_that_ends_early_has_the_same_layers(backbone: Backbone, random_clips: MakeClips, depth: int) -> None:
    clips = random_clips(2, 3)
    family, answers = backbone.description.family, backbone.description.answer_ids
    inputs = family.prepare(clips, [1.0, 2.0], torch.device("cpu"))
    prefix = shared_tokens(family, 3)
    assert prefix is not None
    whole = both_ways(backbone, clips, PROMPTS[:2], [1.0, 2.0])
    ran: list[int] = []
    handles = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, block in enumerate(backbone.parts.blocks)
    ]
    try:
        with torch.inference_mode():
            encoded = family.encode(backbone.model, inputs)
            taken = [family.language_inputs(family.tokenize(prompt, 3), inputs) for prompt in PROMPTS[:2]]
            shared = list(
                capture_prompts(backbone.model, backbone.parts, taken, dict(encoded), answers, len(prefix), depth)
            )
            alone = [
                capture(
                    backbone.model, backbone.parts, {**one, "mm_encoder_outputs": dict(encoded)}, answers, None, depth
                )
                for one in taken
            ]
    finally:
        for handle in handles:
            handle.remove()
    assert sorted(set(ran)) == list(range(depth))
    for mine, full in ((shared, whole[0]), (alone, whole[1])):
        for one, other in zip(mine, full, strict=True):
            assert torch.equal(one.hidden_states, other.hidden_states[:, : depth + 1])
            assert torch.equal(one.head_outputs, other.head_outputs[:, :depth])
            assert (one.answer_logits is None) == (depth < 6)
