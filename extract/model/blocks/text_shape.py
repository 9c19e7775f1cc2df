"""The shape of a model's language part, found without its weights."""

from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from vadprobe.extract.families.library import missing_package
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec


def text_shape(name: str, model_config: Any) -> dict[str, Any]:
    """Return the numbers of a `BackboneSpec`, read from a model of that configuration without weights.

    Raises:
        VadprobeError: if its blocks cannot be found, or a package is missing that the model needs.
    """
    if model_config.is_encoder_decoder:
        raise VadprobeError(
            f"models of the family {name!r} read the prompt with an encoder, so no position of their decoder is the "
            "prompt's last token; the model must be decoder-only."
        )
    try:
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(model_config)
    except ImportError as error:
        raise missing_package(name, error) from error
    parts = TextBlocks.of(model)
    hidden_size = int(model_config.get_text_config().hidden_size)
    return {**BackboneSpec.numbers(parts.shapes), "hidden_size": hidden_size}
