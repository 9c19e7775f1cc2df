"""Converted checkpoints: loaded as a job loads them, compared with the original, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.models.described import loaded
from tests.support.models.original_internvl_model import OriginalInternVL
from vadprobe.extract.conversion.convert import Recipe, convert
from vadprobe.extract.model.backbone import Backbone
from vadprobe.store.errors import VadprobeError

# For sums in another order: three blocks of the tower, the projector, three blocks of the text model and its head, with
# sums of 96 products at most, each off by about sqrt(96) eps / 2 of a layer's largest value; a sum may be near 0.
TOLERANCE = 8 * 96**0.5 * torch.finfo(torch.float32).eps / 2
Make = Callable[..., tuple[Path, OriginalInternVL]]


def inputs(backbone: Backbone, frames: int = 2) -> tuple[Tensor, Tensor, int]:
    """Return token ids and pixels of a clip of noise, and the id of an image token."""
    family = backbone.description.family
    clip = np.random.default_rng(0).integers(0, 256, (frames, 56, 56, 3), dtype=np.uint8)
    pixels = family.prepare([clip], [1.0], torch.device("cpu")).vision["pixel_values"]
    return family.tokenize("Is there something abnormal?", frames), pixels, backbone.model.config.image_token_id


@torch.no_grad()
def compare(folder: Path, model: OriginalInternVL, frames: int = 2) -> None:
    """Compare every layer's output and the logits of a converted checkpoint with the original model's."""
    backbone = loaded(folder)
    ids, pixels, image_token = inputs(backbone, frames)
    assert int((ids == image_token).sum()) == frames * 4
    wanted, wanted_logits = model(pixels, ids, image_token)
    outputs: list[Tensor] = []
    layers = backbone.model.model.language_model.layers
    for layer in layers:
        layer.register_forward_hook(lambda module, given, output: outputs.append(output))
    found = backbone.model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), use_cache=False)
    assert len(outputs) == len(wanted) - 1
    for output, state in zip(outputs, wanted[1:], strict=True):
        torch.testing.assert_close(output, state, atol=TOLERANCE * float(state.abs().max()), rtol=0)
    torch.testing.assert_close(found.logits, wanted_logits, atol=TOLERANCE * float(wanted_logits.abs().max()), rtol=0)
    assert found.logits.std() > 0.1  # otherwise they could be equal because no signal passes


def refused(source: Path, target: Path, reason: str, **recipe: Any) -> None:
    """Check that the conversion is refused with `reason` and leaves no file behind."""
    folder = source.parent
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(VadprobeError, match=reason):
        convert(source, target, Recipe(**recipe))
    assert {path.name for path in folder.iterdir()} == before


def change_config(source: Path, section: str | None = None, **changes: Any) -> None:
    """Change `config.json`, or one of its sections."""
    config = json.loads((source / "config.json").read_text())
    (config[section] if section else config).update(changes)
    (source / "config.json").write_text(json.dumps(config))
