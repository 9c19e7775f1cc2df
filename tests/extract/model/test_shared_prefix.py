"""Tokens that several prompts share: which they are, and that a prompt's bits depend on no other prompt."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.support.oracles.prompt_passes import NAMES, PROMPTS, both_ways
from vadprobe.extract.model.backbone import Backbone

MakeClips = Callable[[int, int], Sequence[np.ndarray]]


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
        def render(self, prompt: str, before: str = "") -> str:
            head, after = family.chat.render("QQQ").split("QQQ")
            return f"{prompt}{head}{after}"

    swapped = replace(family, chat=Swapped(family.chat.tokenizer, family.chat.template))
    assert placeholder
    assert swapped.shared_tokens(4) is None
    assert swapped.prefix_mode("Yes?", 4) == "independent"
