"""Several prompts computed with a shared prefix, and each in a pass of its own."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.extract.model.shared_prefix import capture_prompts, shared_tokens

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


def both_ways(
    backbone: Backbone, clips: Sequence[np.ndarray], prompts: Sequence[str], seconds: Sequence[float] | None = None
) -> tuple[list[Captured], list[Captured]]:
    """Captures behind shared tokens, and of a pass for each prompt."""
    family, answers, frames = backbone.description.family, backbone.description.answer_ids, len(clips[0])
    spans = seconds or [0.7 + 0.45 * number for number in range(len(clips))]
    inputs = family.prepare(clips, spans, torch.device("cpu"))
    prefix = shared_tokens(family, frames)
    assert prefix is not None
    with torch.inference_mode():
        encoded = family.encode(backbone.model, inputs)
        taken = [family.language_inputs(family.tokenize(prompt, frames), inputs) for prompt in prompts]
        together = capture_prompts(backbone.model, backbone.parts, taken, dict(encoded), answers, len(prefix))
        alone = [
            capture(backbone.model, backbone.parts, {**one, "mm_encoder_outputs": dict(encoded)}, answers)
            for one in taken
        ]
        return list(together), alone
