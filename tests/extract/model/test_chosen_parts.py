"""Capture of chosen layers and heads: the values of the full pass, from a pass that ends earlier and keeps less."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.oracles.eager_reference import ROUNDING
from tests.support.oracles.prompt_passes import difference
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.chosen_parts import ChosenParts, capture_chosen
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.recipe import input_recipe
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec

FRAMES = 5
MakeClips = Callable[[int, int], Sequence[np.ndarray]]
CHOICES = (ChosenParts("layer", ((1,),)), ChosenParts("layer", ((0,),)), ChosenParts("head", ((1, 1), (0, 0), (1, 0))))


def spec_of(backbone: Backbone, prefix: str) -> FeatureSpec:
    prompt, sampling = SHIPPED["coarse"], Sampling("segment", 2 * FRAMES, FRAMES)
    config = ExtractionConfig.model_validate({"prefix": prefix})
    recipe = input_recipe(backbone.description, prompt, sampling, config, "cpu")
    return FeatureSpec("", "", 0, sampling, backbone.description.spec, prompt, recipe)


@pytest.mark.parametrize("prefix", ["shared", "independent"])
@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_chosen_features_are_those_of_the_full_pass(
    backbone: Backbone, random_clips: MakeClips, prefix: str, chosen: ChosenParts
) -> None:
    forward, spec = Forward(backbone), spec_of(backbone, prefix)
    clips = [backbone.description.family.resize(clip) for clip in random_clips(2, FRAMES)]
    (whole,) = forward(clips, [1.0, 2.0], [spec], backbone.description.spec.n_layers)
    if chosen.unit == "layer":
        wanted = whole.hidden_states[:, chosen.indices[0][0]]
    else:
        wanted = torch.cat([whole.head_outputs[:, block, head] for block, head in chosen.indices], dim=1)
    found = forward.chosen(clips, [1.0, 2.0], spec, chosen)
    assert found.shape == wanted.shape
    assert difference(found, wanted) <= ROUNDING


def test_blocks_behind_the_deepest_chosen_one_do_not_run(backbone: Backbone, random_clips: MakeClips) -> None:
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, block in enumerate(backbone.parts.blocks)
    ]
    clips = [backbone.description.family.resize(clip) for clip in random_clips(1, FRAMES)]
    try:
        Forward(backbone).chosen(clips, [1.0], spec_of(backbone, "independent"), ChosenParts("head", ((0, 1),)))
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == [0]
    assert all(not slot.keeps and slot.value is None for slot in backbone.parts._slots if slot)


def test_the_deepest_block_of_layers_and_of_heads() -> None:
    assert [chosen.n_blocks for chosen in CHOICES] == [1, 1, 2]


def test_values_that_overflow_are_a_sentence(describe_tiny: Any, random_clips: MakeClips) -> None:
    from vadprobe.extract.model.backbone import load

    own = load(describe_tiny("qwen2_5_vl"), "cpu", threads=1)
    torch.nn.init.constant_(own.parts.blocks[0].self_attn.v_proj.bias, float("inf"))
    clips = [own.description.family.resize(clip) for clip in random_clips(1, FRAMES)]
    with pytest.raises(VadprobeError, match="infinite or NaN, computed in float32"):
        Forward(own).chosen(clips, [1.0], spec_of(own, "independent"), ChosenParts("head", ((0, 0),)))


def test_a_pass_that_missed_its_hooks_is_an_error(backbone: Backbone) -> None:
    class Still(torch.nn.Module):
        def forward(self, **_: Any) -> None:
            return None

    model = type("Model", (), {"model": Still()})()
    with pytest.raises(RuntimeError, match="hooks must"):
        capture_chosen(model, backbone.parts, {}, replace(CHOICES[0]))
