"""A batch of clips through the backbone: every prompt's features, from one run of the vision tower if possible."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.families.family import Family
from vadprobe.extract.families.processor import ProcessorFamily
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.extract.model.shared_prefix import capture_prompts, shared_tokens
from vadprobe.store.format.specification import FeatureSpec


@dataclass
class Forward:
    """The passes of one backbone. Prompts are tokenized once."""

    backbone: Backbone
    _ids: dict[tuple[str, int], Tensor] = field(default_factory=dict, repr=False)

    @torch.inference_mode()
    def __call__(
        self, clips: Sequence[Any], seconds: Sequence[float], specs: Sequence[FeatureSpec], depth: int
    ) -> Iterator[Captured]:
        """The features of a batch, one result per specification's prompt.

        Args:
            clips: as the family's ``resize`` left them, all with the same number of frames.
            seconds: how long each clip is.
            specs: of the stores that get the features; they differ in the prompt and in the mode of the prefix.
            depth: blocks of the language model to run.
        """
        backbone, family = self.backbone, self.backbone.description.family
        if isinstance(family, ProcessorFamily):
            yield from self._through_processor(family, clips, seconds, specs, depth)
            return
        inputs = family.prepare(clips, seconds, backbone.device)
        encoded = family.encode(backbone.model, inputs)
        answers = backbone.description.answer_ids
        taken = [family.language_inputs(self._prompt_ids(family, spec), inputs) for spec in specs]
        shared = [arguments for arguments, spec in zip(taken, specs, strict=True) if _shares(spec)]
        together: Iterator[Captured] = iter(())
        if shared:
            first = next(spec for spec in specs if _shares(spec))
            prefix = shared_tokens(family, first.sampling.frames_per_clip)
            # A family may write a clip's own times between its video tokens: whatever is added there is shared.
            longer = shared[0]["input_ids"].shape[1] - self._prompt_ids(family, first).shape[1]
            n_shared = 0 if prefix is None else len(prefix) + longer
            together = capture_prompts(backbone.model, backbone.parts, shared, dict(encoded), answers, n_shared, depth)
        for arguments, spec in zip(taken, specs, strict=True):
            if _shares(spec):
                yield next(together)
            else:
                alone: dict[str, Any] = {**arguments, "mm_encoder_outputs": dict(encoded)}
                yield capture(backbone.model, backbone.parts, alone, answers, None, depth)

    def _through_processor(
        self,
        family: ProcessorFamily,
        clips: Sequence[Any],
        seconds: Sequence[float],
        specs: Sequence[FeatureSpec],
        depth: int,
    ) -> Iterator[Captured]:
        """A pass for each prompt, or for each prompt and clip."""
        backbone = self.backbone
        answers, dtype = backbone.description.answer_ids, backbone.model.dtype
        for spec in specs:
            passes = family.inputs(spec.prompt.text, clips, seconds, backbone.device, dtype)
            found = [capture(backbone.model, backbone.parts, one, answers, None, depth, whole=True) for one in passes]
            yield found[0] if len(found) == 1 else _joined(found)

    def _prompt_ids(self, family: Family, spec: FeatureSpec) -> Tensor:
        key = (spec.prompt.key, spec.sampling.frames_per_clip)
        if key not in self._ids:
            ids = family.tokenize(spec.prompt.text, key[1])
            self._ids[key] = ids.to(self.backbone.device)
        return self._ids[key]


def _joined(parts: Sequence[Captured]) -> Captured:
    """The features of several batches as of one."""
    logits = [part.answer_logits for part in parts if part.answer_logits is not None]
    return Captured(
        torch.cat([part.hidden_states for part in parts]),
        torch.cat([part.head_outputs for part in parts]),
        torch.cat(logits) if logits else None,
    )


def _shares(spec: FeatureSpec) -> bool:
    """Whether a store's prompt runs behind the tokens that all prompts share."""
    return bool(spec.recipe.get("prefix") == "shared")
