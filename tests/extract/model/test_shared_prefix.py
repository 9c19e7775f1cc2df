"""One pass over the video for several prompts equals a pass for each, in every family."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.oracles.prompt_passes import NAMES, PROMPTS, Clips, assert_near, blocks_run, both_ways, difference
from vadprobe.extract.model.backbone import Backbone

MakeClips = Callable[[int, int], Sequence[np.ndarray]]


@pytest.mark.parametrize("frames", [2, 5])
def test_every_prompt_equals_its_own_pass(backbone: Backbone, random_clips: MakeClips, frames: int) -> None:
    together, alone = both_ways(backbone, random_clips(2, frames), PROMPTS, [0.4, 2.5])
    assert len(together) == len(PROMPTS)
    for mine, theirs in zip(together, alone, strict=True):
        assert_near(mine, theirs)
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
    prefix = family.shared_tokens(8)
    assert prefix is not None
    for prompt in PROMPTS:
        assert family.prefix_mode(prompt, 8) == "shared"
        assert torch.equal(family.tokenize(prompt, 8)[0, : len(prefix)], prefix)
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
    assert swapped.shared_tokens(4) is None
    assert swapped.prefix_mode("Yes?", 4) == "independent"


@pytest.mark.parametrize("n_blocks", [1, 4, 6])
def test_a_pass_that_ends_early_has_the_same_layers(backbone: Backbone, random_clips: MakeClips, n_blocks: int) -> None:
    clips = Clips.of(backbone, random_clips(2, 3), [1.0, 2.0])
    whole = [*clips.together(PROMPTS[:2]), *(clips.alone(prompt) for prompt in PROMPTS[:2])]
    with blocks_run(backbone.parts.blocks) as ran:
        early = [*clips.together(PROMPTS[:2], n_blocks), *(clips.alone(prompt, n_blocks) for prompt in PROMPTS[:2])]
    assert ran == set(range(n_blocks))
    for one, other in zip(early, whole, strict=True):
        assert torch.equal(one.hidden_states, other.hidden_states[:, : n_blocks + 1])
        assert torch.equal(one.head_outputs, other.head_outputs[:, :n_blocks])
        assert (one.answer_logits is None) == (n_blocks < 6)
