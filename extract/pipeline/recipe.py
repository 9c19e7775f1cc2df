"""The recipe of features: all that made model inputs of frames and a prompt."""

from typing import Any

from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.checkpoint.outline import PlannedBackbone
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling


def prefix_mode(description: PlannedBackbone, prompt: Prompt, sampling: Sampling, config: ExtractionConfig) -> str:
    """Return how the tokens before a prompt's text run, "shared" or "independent".

    They are shared if the job asks for it and the chat template allows it; else each prompt runs over the whole video.
    """
    possible = description.prefix_mode(prompt.text, sampling.frames_per_clip, prompt.before)
    return possible if config.prefix == "shared" else "independent"


def input_recipe(
    description: PlannedBackbone, prompt: Prompt, sampling: Sampling, config: ExtractionConfig, device: str
) -> dict[str, Any]:
    """Return `FeatureSpec.recipe` of one prompt, without what a card says of the weights and the videos.

    Raises:
        VadprobeError: if the prompt, or a clip of that many frames, cannot be prepared.
    """
    return {
        **description.recipe(),
        "batch_clips": config.batch_clips,
        "device": device,
        "prefix": prefix_mode(description, prompt, sampling, config),
        **({"compile": True} if config.compile else {}),  # stores from before there was a choice lack it as well
    }
