"""Windows of a video in one call: the same bits, in fewer calls, whatever the lengths of the windows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vadprobe.extract.model.backbone import Backbone, Description, load
from vadprobe.extract.model.window_attention import NAME, Windows, batch_windows

DescribeTiny = Callable[..., Description]


class Attentions(TorchDispatchMode):
    """Counts the calls of attention kernels."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "scaled_dot_product" in str(func)
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
def encoded(backbone: Backbone) -> tuple[list[Tensor], int]:
    """Return the tower's output for two clips, and the calls of attention that it took."""
    family, make = backbone.description.family, np.random.default_rng(0)
    clips = [make.integers(0, 256, (5, 40, 48, 3), dtype=np.uint8) for _ in range(2)]
    inputs = family.prepare(clips, [0.2, 0.3], backbone.device)
    with Attentions() as counted:
        found = family.encode(backbone.model, inputs)["video"]
    return [leaf for leaf in tree_leaves(list(found.values())) if isinstance(leaf, Tensor)], counted.count


def plain(backbone: Backbone) -> Backbone:
    """The model as transformers has it."""
    backbone.model.model.visual.config._attn_implementation = "sdpa"
    return backbone


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("qwen2_5_vl", (56, 112)),  # whole windows only
        ("qwen2_5_vl", (84, 140)),  # windows at the edges are smaller
        ("qwen3_vl", (64, 96)),
    ],
)
def test_a_tower_has_the_same_bits_in_fewer_calls(
    describe_tiny: DescribeTiny, family: str, size: tuple[int, int]
) -> None:
    backbone = plain(load(describe_tiny(family, frame_size=size), "cpu", 1))
    theirs, many = encoded(backbone)
    assert batch_windows(backbone.model)
    mine, few = encoded(backbone)
    assert [value.shape for value in mine] == [value.shape for value in theirs]
    assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))
    blocks = len(backbone.model.model.visual.blocks)
    assert blocks <= few <= 4 * blocks  # windows have four lengths at most: inside, right, below, corner
    assert many > few


def test_loading_batches_the_windows(describe_tiny: DescribeTiny) -> None:
    tower = load(describe_tiny("qwen2_5_vl", frame_size=(56, 56)), "cpu", 1).model.model.visual
    assert tower.config._attn_implementation == NAME


@pytest.mark.parametrize(
    ("family", "attention"), [("internvl", "sdpa"), ("llava_onevision", "sdpa"), ("qwen2_5_vl", "eager")]
)
def test_other_towers_and_attentions_are_left_alone(describe_tiny: DescribeTiny, family: str, attention: str) -> None:
    model = load(describe_tiny(family, attention=attention), "cpu", 1).model
    assert not batch_windows(model)
    assert family != "qwen2_5_vl" or model.model.visual.config._attn_implementation == "eager"


@pytest.mark.parametrize("lengths", [[6], [3, 3], [4, 2, 4, 1], [1] * 6, [2, 0, 4, 0]])
def test_each_token_attends_to_its_own_window_only(lengths: list[int]) -> None:
    """Against softmax(q k' / sqrt d) v, written out for one window after another."""
    make = torch.Generator().manual_seed(1)
    states = [torch.randn(1, 3, sum(lengths), 4, generator=make, dtype=torch.float64) for _ in range(3)]
    borders = torch.tensor([0, *lengths]).cumsum(0)
    attend = Windows()
    for _ in range(2):  # the second time from what is remembered
        found, weights = attend(None, *states, cu_seq_lens_q=borders, scaling=0.3)
    assert weights is None
    for start, length in zip(borders.tolist(), lengths, strict=False):
        query, key, value = (one[0, :, start : start + length] for one in states)
        wanted = torch.softmax(0.3 * query @ key.transpose(1, 2), dim=-1) @ value
        torch.testing.assert_close(found[0, start : start + length].transpose(0, 1), wanted, rtol=1e-12, atol=1e-12)


def test_borders_that_are_gone_are_forgotten() -> None:
    attend = Windows()
    states = torch.randn(1, 1, 4, 2)
    for size in (1, 2, 4) * 20:  # a new tensor may lie where an old one lay
        borders = torch.arange(0, 5, size)
        found, _ = attend(None, states, states, states, cu_seq_lens_q=borders, scaling=1.0)
        fresh, _ = Windows()(None, states, states, states, cu_seq_lens_q=borders, scaling=1.0)
        assert torch.equal(found, fresh)
    assert len(attend._known) <= 2
