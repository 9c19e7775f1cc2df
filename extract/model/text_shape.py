"""The shape of a model's language part, found without its weights."""

from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from vadprobe.extract.families.library import missing_package
from vadprobe.extract.model.capture import TextBlocks
from vadprobe.store.errors import VadprobeError


def text_shape(name: str, model_config: Any) -> dict[str, int]:
    """Return the numbers of a `BackboneSpec`, read from a model of that configuration without weights.

    Raises:
        VadprobeError: if heads cannot be captured in it, or a package is missing that the model needs.
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
    widths = {int(projection.in_features) for projection in parts.projections}  # type: ignore[arg-type]
    if len(widths) > 1:
        raise VadprobeError(
            f"the blocks of family {name!r} have heads of different sizes (together {min(widths)} to {max(widths)} "
            "values), which one array of heads cannot hold."
        )
    return {
        "n_layers": len(parts.blocks),
        "n_heads": parts.n_heads,
        "head_dim": widths.pop() // parts.n_heads,
        "hidden_size": int(model_config.get_text_config().hidden_size),
    }
