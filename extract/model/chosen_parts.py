"""Capture of a few layers or heads: nothing else is kept, and the pass ends behind the deepest block needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from vadprobe.extract.model.blocks.text_blocks import KeptTokens, TextBlocks
from vadprobe.extract.model.capture import LAST_WANTED, Wanted, run_to_end
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class ChosenParts:
    """Layers as (layer,), layer 0 the embedding; or heads as (block, head), both from 0; in the order of the result."""

    unit: Literal["layer", "head"]
    indices: Sequence[tuple[int, ...]]

    @property
    def n_blocks(self) -> int:
        """Number of blocks that have to run, one at least."""
        return max(1, *(index[0] + (self.unit == "head") for index in self.indices))

    @property
    def layers(self) -> frozenset[int]:
        """Layers whose hidden states are needed; none if heads are wanted."""
        return frozenset(index[0] for index in self.indices) if self.unit == "layer" else frozenset()

    @property
    def blocks(self) -> frozenset[int]:
        """Blocks of which some head is needed; none if layers are wanted."""
        return frozenset(index[0] for index in self.indices) if self.unit == "head" else frozenset()


@torch.inference_mode()
def capture_chosen(
    model: Any,
    parts: TextBlocks,
    inputs: Mapping[str, Any],
    chosen: ChosenParts,
    cache: KeptTokens | None = None,
    wanted: Wanted = LAST_WANTED,
    *,
    with_head: bool = False,
) -> Tensor:
    """Run the model up to the deepest chosen block, and keep one position of what was chosen.

    Arguments as of `capture_positions`.

    Returns:
        (clips, features) in the model's dtype, the chosen parts side by side.

    Raises:
        RuntimeError: if a layer did not pass through its hook.
        VadprobeError: if a value is infinite or NaN.
    """
    with parts.watch(chosen.layers, chosen.blocks, wanted.tokens) as seen, parts.stop_after(chosen.n_blocks):
        run_to_end(model, inputs, cache, with_head=with_head)
    source = seen.hidden if chosen.unit == "layer" else seen.heads
    if source.keys() != chosen.layers | chosen.blocks:
        raise RuntimeError(
            f"captured {chosen.unit}s of {sorted(source)}, not of {sorted(chosen.layers | chosen.blocks)}; hooks must "
            "be registered before the model is compiled."
        )
    seen.finish(wanted.before, wanted.columns)
    device = source[chosen.indices[-1][0]].device
    found = [_part(source[index[0]][:, 0], index, parts).to(device) for index in chosen.indices]
    features = torch.cat(found, dim=1)
    if not bool(features.isfinite().all()):
        name = str(features.dtype).removeprefix("torch.")
        raise VadprobeError(
            f"a chosen {chosen.unit}'s values are infinite or NaN, computed in {name}; the detector must be used with "
            "the dtype and the weights it was fitted on."
        )
    return features


def _part(value: Tensor, index: tuple[int, ...], parts: TextBlocks) -> Tensor:
    """Return a layer's hidden state, or one head of a block's heads, (clips, size)."""
    return value if len(index) == 1 else value.view(len(value), *parts.shapes[index[0]])[:, index[1]]
