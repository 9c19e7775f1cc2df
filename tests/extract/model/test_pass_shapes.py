"""The arithmetic that is counted from shapes is that which torch counts while a model runs."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import FAMILIES, DescribeTiny
from tests.support.builders import clip_table, feature_spec
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.model.pass_shapes import pass_shape
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.writing.timings.pass_shape import PassShape

FRAMES, TOLERANCE = 5, 0.01
"""An odd number of frames, and the largest relative difference: rotations are small products that are not counted."""


def specs_of(backbone: Backbone, prefix: str, prompts: Sequence[str]) -> list[FeatureSpec]:
    return [
        feature_spec(
            clip_table(3),
            backbone=backbone.description.spec,
            prompt=SHIPPED[key],
            sampling=Sampling("segment", 8, FRAMES),
            recipe={"prefix": prefix},
        )
        for key in prompts
    ]


@pytest.fixture(scope="module", params=FAMILIES)
def eager(request: pytest.FixtureRequest, describe_tiny: DescribeTiny) -> Backbone:
    """A tiny backbone whose attention is plain products, which torch counts on every device."""
    return load(describe_tiny(request.param, attention="eager"), "cpu", threads=1)


@pytest.mark.parametrize(("prefix", "blocks"), [("shared", None), ("independent", None), ("shared", 1)])
def test_the_counted_operations_are_those_of_torch(eager: Backbone, prefix: str, blocks: int | None) -> None:
    prompts = ("coarse", "detailed", "question")
    specs = specs_of(eager, prefix, prompts)
    clips = [np.zeros((FRAMES, 60, 90, 3), np.uint8)]
    resized = [eager.description.family.resize(clip) for clip in clips]
    n_blocks = blocks or eager.description.spec.n_layers
    with FlopCounterMode(display=False) as counter:
        list(Forward(eager)(resized, [1.0], specs, n_blocks))
    shape = pass_shape(eager, specs)
    assert shape is not None
    assert shape.operations(prompts, n_blocks) == pytest.approx(counter.get_total_flops(), rel=TOLERANCE)
    assert PassShape.from_json(shape.to_json()) == shape


def test_a_text_is_a_pass_and_then_one_token_after_another(eager: Backbone) -> None:
    shape = pass_shape(eager, specs_of(eager, "shared", ["coarse"]))
    assert shape is not None
    ids = torch.arange(7)[None] + 5
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        kept = eager.model.get_decoder()(input_ids=ids, use_cache=True).past_key_values
        first = counter.get_total_flops()
        eager.model.get_decoder()(input_ids=ids[:, :1], past_key_values=kept, use_cache=True)
        later = counter.get_total_flops() - first
    text = shape.text
    assert text.blocks * text.block(7, 7) == pytest.approx(first, rel=TOLERANCE)
    assert text.blocks * text.block(1, 8) == pytest.approx(later, rel=TOLERANCE)
    length = shape.shared + shape.own["coarse"]
    whole = shape.vision + text.blocks * (text.block(length, length) + text.block(1, length + 1)) + 2 * text.head
    assert shape.text_operations("coarse", 2) == whole


def test_the_shapes_of_parts_of_another_make_are_not_known(eager: Backbone) -> None:
    specs = specs_of(eager, "shared", ["coarse"])
    model = SimpleNamespace(config=copy.deepcopy(eager.model.config))
    model.config.get_text_config().model_type = "qwen3_moe"
    assert pass_shape(replace(eager, model=model), specs) is None
    foreign = replace(eager.description, family=cast(Any, object()))
    assert pass_shape(replace(eager, description=foreign), specs) is None
