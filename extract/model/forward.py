"""A batch of clips through the backbone: every prompt's features, from one run of the vision tower if possible."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.families.family import Pass
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import Captured, Wanted, capture_positions
from vadprobe.extract.model.chosen_parts import ChosenParts, capture_chosen
from vadprobe.extract.model.positions import PositionTokens
from vadprobe.extract.model.shared_prefix import SharedPrefix
from vadprobe.store.format.prompts import Position
from vadprobe.store.format.specification import FeatureSpec


@dataclass(frozen=True)
class Forward:
    """The passes of one backbone."""

    backbone: Backbone

    @torch.inference_mode()
    def __call__(
        self, clips: Sequence[Any], seconds: Sequence[float], specs: Sequence[FeatureSpec], n_blocks: int
    ) -> Iterator[Captured]:
        """Yield the features of a batch, one result per specification's prompt.

        Adjacent prompts that differ only in their position share a pass.

        Args:
            clips: as the family's `resize` left them, all with the same number of frames.
            seconds: duration of each clip.
            specs: specifications of the stores; they differ in the prompt and in the mode of the prefix.
            n_blocks: number of the language model's blocks to run.
        """
        model, parts, description = self.backbone.model, self.backbone.parts, self.backbone.description
        groups = [list(group) for _, group in groupby(specs, key=lambda spec: (spec.prompt.text, spec.prompt.before))]
        asked = [group[0] for group in groups]
        prefixes: dict[str, SharedPrefix] = {}  # by the text before the video
        every = description.family.passes(model, self.backbone.device, clips, seconds, asked)
        for group, passes in zip(groups, every, strict=True):
            positions, before = [spec.prompt.position for spec in group], group[0].prompt.before
            found = []
            for one in passes:
                if one.n_shared:
                    if before not in prefixes:
                        read_at = _positions_behind(before, specs)
                        shared = SharedPrefix(model, parts, one.inputs, one.n_shared, n_blocks, read_at)
                        prefixes = {before: shared}  # one at a time: keys and values take much memory
                    found.append(prefixes[before].positions(one.inputs, description.answer_ids, positions))
                else:
                    found.append(self._alone(one, positions, n_blocks))
            for parts_of_one in zip(*found, strict=True):
                yield parts_of_one[0] if len(parts_of_one) == 1 else _joined(parts_of_one)

    def _alone(self, one: Pass, positions: Sequence[Position], n_blocks: int) -> list[Captured]:
        """Return the features of a pass that shares nothing, at each position."""
        model, answers = self.backbone.model, self.backbone.description.answer_ids
        wanted = Wanted(PositionTokens.of(model, one.inputs["input_ids"], positions))
        return capture_positions(
            model, self.backbone.parts, one.inputs, answers, None, n_blocks, wanted, with_head=one.with_head
        )

    @torch.inference_mode()
    def chosen(self, clips: Sequence[Any], seconds: Sequence[float], spec: FeatureSpec, chosen: ChosenParts) -> Tensor:
        """Return chosen layers or heads of a batch under one prompt, side by side, (clips, features).

        The pass ends behind the deepest of them. Arguments as of a call.
        """
        model, parts, position, found = self.backbone.model, self.backbone.parts, spec.prompt.position, []
        for passes in self.backbone.description.family.passes(model, self.backbone.device, clips, seconds, [spec]):
            for one in passes:
                if one.n_shared:
                    prefix = SharedPrefix(model, parts, one.inputs, one.n_shared, chosen.n_blocks, (position,), chosen)
                    found.append(prefix.chosen(one.inputs, chosen, position))
                else:
                    wanted = Wanted(PositionTokens.of(model, one.inputs["input_ids"], (position,)))
                    taken = capture_chosen(model, parts, one.inputs, chosen, None, wanted, with_head=one.with_head)
                    found.append(taken)
        return torch.cat(found)


def _positions_behind(before: str, specs: Sequence[FeatureSpec]) -> tuple[Position, ...]:
    """Return the positions at which prompts with one text before the video are read."""
    return tuple(dict.fromkeys(spec.prompt.position for spec in specs if spec.prompt.before == before))


def _joined(parts: Sequence[Captured]) -> Captured:
    """Join the features of several batches."""
    logits = [part.answer_logits for part in parts if part.answer_logits is not None]
    return Captured(
        torch.cat([part.hidden_states for part in parts]),
        torch.cat([part.head_outputs for part in parts]),
        torch.cat(logits) if logits else None,
    )
