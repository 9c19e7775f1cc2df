"""A batch of clips through the backbone: every prompt's features, from one run of the vision tower if possible."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.extract.model.chosen_parts import ChosenParts, capture_chosen
from vadprobe.extract.model.shared_prefix import SharedPrefix
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

        Args:
            clips: as the family's `resize` left them, all with the same number of frames.
            seconds: duration of each clip.
            specs: specifications of the stores; they differ in the prompt and in the mode of the prefix.
            n_blocks: number of the language model's blocks to run.
        """
        model, parts, description = self.backbone.model, self.backbone.parts, self.backbone.description
        answers = description.answer_ids
        prefix: SharedPrefix | None = None
        for passes in description.family.passes(model, self.backbone.device, clips, seconds, specs):
            found = []
            for one in passes:
                if one.n_shared:
                    prefix = prefix or SharedPrefix(model, parts, one.inputs, one.n_shared, n_blocks)
                    found.append(prefix.features(one.inputs, answers))
                else:
                    found.append(capture(model, parts, one.inputs, answers, None, n_blocks, with_head=one.with_head))
            yield found[0] if len(found) == 1 else _joined(found)

    @torch.inference_mode()
    def chosen(self, clips: Sequence[Any], seconds: Sequence[float], spec: FeatureSpec, chosen: ChosenParts) -> Tensor:
        """Return chosen features of a batch under one prompt, (clips, features), from a pass that ends behind them.

        Arguments as of a call; `chosen` are layers or heads, side by side in the result.
        """
        model, parts, found = self.backbone.model, self.backbone.parts, []
        for passes in self.backbone.description.family.passes(model, self.backbone.device, clips, seconds, [spec]):
            for one in passes:
                if one.n_shared:
                    prefix = SharedPrefix(model, parts, one.inputs, one.n_shared, chosen.n_blocks)
                    found.append(prefix.chosen(one.inputs, chosen))
                else:
                    found.append(capture_chosen(model, parts, one.inputs, chosen, with_head=one.with_head))
        return torch.cat(found)


def _joined(parts: Sequence[Captured]) -> Captured:
    """Join the features of several batches."""
    logits = [part.answer_logits for part in parts if part.answer_logits is not None]
    return Captured(
        torch.cat([part.hidden_states for part in parts]),
        torch.cat([part.head_outputs for part in parts]),
        torch.cat(logits) if logits else None,
    )
