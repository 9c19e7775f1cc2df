"""Passes of clips and prompts through a backbone: each prompt in a pass of its own, or all behind shared tokens."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.support.oracles.eager_reference import ROUNDING, EagerFeatures, eager_features
from vadprobe.extract.families.own_family import ClipInputs
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.extract.model.shared_prefix import SharedPrefix

PROMPTS = (
    "Does anything abnormal happen in this video? Answer with yes or no.",
    "Identify any abnormal events or safety hazards in this video.",
    "Yes?",
    "A fight, a fire, an accident: is one of them seen? Think about every person, then answer with one word.",
    "异常？",
)
NAMES = ("hidden_states", "head_outputs", "answer_logits")


def difference(mine: Tensor, theirs: Tensor) -> float:
    assert mine.shape == theirs.shape
    return float((mine - theirs).abs().max())


def assert_near(mine: Captured, theirs: Captured) -> None:
    for name in NAMES:
        assert difference(getattr(mine, name), getattr(theirs, name)) <= ROUNDING, name


def first_token_report(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Return what the library's `generate` reports about the first token: every layer's states, and the logits."""
    with torch.no_grad():
        return model.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            output_hidden_states=True,
            output_logits=True,
            return_dict_in_generate=True,
        )


@contextmanager
def blocks_run(blocks: Sequence[torch.nn.Module]) -> Iterator[set[int]]:
    """Note the numbers of the blocks that run inside."""
    ran: set[int] = set()
    with ExitStack() as hooks:
        for number, block in enumerate(blocks):
            hooks.enter_context(block.register_forward_hook(lambda *_, number=number: ran.add(number)))
        yield ran


@dataclass(frozen=True)
class Clips:
    """Prepared clips of one length, with the backbone that they are for."""

    backbone: Backbone
    inputs: ClipInputs
    frames: int

    @classmethod
    def of(cls, backbone: Backbone, clips: Sequence[np.ndarray], seconds: Sequence[float] | None = None) -> "Clips":
        """Prepare clips; by default each clip lasts a little longer than the one before."""
        spans = seconds or [0.7 + 0.45 * number for number in range(len(clips))]
        return cls(backbone, backbone.description.family.prepare(clips, spans, backbone.device), len(clips[0]))

    def arguments(self, prompt: str = PROMPTS[0], before: str = "") -> dict[str, Any]:
        """Return what the language model takes beside the encoded video."""
        family = self.backbone.description.family
        ids = family.tokenize(prompt, self.frames, before).to(self.backbone.device)
        return dict(family.language_inputs(ids, self.inputs))

    def raw(self, prompt: str = PROMPTS[0], before: str = "") -> dict[str, Any]:
        """Return the arguments that a user of the library passes: pixels, not the vision tower's output."""
        return {**self.arguments(prompt, before), **self.inputs.vision}

    @torch.inference_mode()
    def encoded(self) -> dict[str, Any]:
        """Run the vision tower."""
        return dict(self.backbone.description.family.encode(self.backbone.model, self.inputs))

    def alone(self, prompt: str = PROMPTS[0], n_blocks: int | None = None) -> Captured:
        """Capture a prompt in a pass of its own."""
        arguments = {**self.arguments(prompt), "mm_encoder_outputs": self.encoded()}
        model, parts, answers = self.backbone.model, self.backbone.parts, self.backbone.description.answer_ids
        return capture(model, parts, arguments, answers, None, n_blocks)

    def reference(
        self,
        model: Any,
        embeddings: Tensor,
        shares: Tensor | None = None,
        prompt: str = PROMPTS[0],
        before: str = "",
    ) -> EagerFeatures:
        """Return `eager_features` of a prompt in float32, with the weights of `model`, which is on the CPU."""
        own, arguments = self.backbone.model, self.arguments(prompt, before)
        positions = torch.arange(embeddings.shape[1]).expand(len(embeddings), -1)
        if hasattr(own.model, "get_rope_index"):
            positions = own.model.get_rope_index(**arguments)[0][-3:].cpu()
        added = []  # what Qwen3-VL adds at the video tokens after its first blocks
        for features in getattr(self.encoded().get("video"), "deepstack_features", None) or ():
            added.append(torch.zeros_like(embeddings))
            here = (arguments["input_ids"] == own.config.video_token_id).cpu()
            added[-1][here] = torch.cat(list(features)).float().cpu()
        return eager_features(model, embeddings, positions, added, shares)

    def together(self, prompts: Sequence[str] = PROMPTS[:3], n_blocks: int | None = None) -> list[Captured]:
        """Capture every prompt behind the tokens that all share."""
        model, parts, answers = self.backbone.model, self.backbone.parts, self.backbone.description.answer_ids
        shared = self.backbone.description.family.shared_tokens(self.frames)
        assert shared is not None
        taken = [self.arguments(prompt) for prompt in prompts]
        first = {**taken[0], "mm_encoder_outputs": self.encoded()}
        prefix = SharedPrefix(model, parts, first, len(shared), n_blocks)
        return [prefix.features(one, answers) for one in taken]


def both_ways(
    backbone: Backbone, clips: Sequence[np.ndarray], prompts: Sequence[str], seconds: Sequence[float] | None = None
) -> tuple[list[Captured], list[Captured]]:
    """Capture every prompt behind shared tokens, and each in a pass of its own."""
    made = Clips.of(backbone, clips, seconds)
    return made.together(prompts), [made.alone(prompt) for prompt in prompts]
