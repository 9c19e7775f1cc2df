"""Tiny random-weight backbones of the real classes, saved in the real layout and never trained.

They are loaded through the same path as a real checkpoint. The demo and the tests use them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from vadprobe.extract.demo.tiny_models import TINY_MODELS, TinyModel
from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD
from vadprobe.store.errors import VadprobeError


def make_tiny_backbone(folder: Path, family: str = "qwen2_5_vl", seed: int = 0) -> Path:
    """Write a tiny random checkpoint: 6 blocks of 8 heads.

    Args:
        folder: folder to write; an existing checkpoint of the same recipe is left as it is.
        family: "qwen2_5_vl", "internvl" (Qwen2 text, as InternVL3), "internvl-llama" (as InternVL2.5),
            "llava_onevision", "qwen3_vl" (whose heads together are wider than the hidden state) or "qwen3_5" (8 blocks,
            of which two have heads).
        seed: seed of the weights.

    Returns:
        The folder.

    Raises:
        VadprobeError: if the family is not one of those.
    """
    if family not in TINY_MODELS:
        raise VadprobeError(f"the family must be one of {', '.join(TINY_MODELS)}, got {family!r}.")
    card = {"family": family, "seed": seed, "made_by": "vadprobe", "note": "random weights, never trained"}
    marker = folder / RANDOM_WEIGHTS_CARD
    if marker.exists() and json.loads(marker.read_text()) == card:
        return folder
    if marker.exists():
        shutil.rmtree(folder)  # files that another family left would be read too
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_checkpoint(folder, TINY_MODELS[family]())
    marker.write_text(json.dumps(card))
    return folder


def save_checkpoint(folder: Path, tiny: TinyModel) -> None:
    """Write a model with random weights, its tokenizer and its processors' files."""
    model = AutoModelForImageTextToText.from_config(tiny.config, dtype=torch.float32)
    _spread(model)
    write_checkpoint(folder, model, tiny)


def write_checkpoint(folder: Path, model: Any, tiny: TinyModel) -> None:
    """Write a model with its weights as they are, its tokenizer and its processors' files."""
    model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    for name, content in tiny.files.items():
        (folder / name).write_text(json.dumps(content, indent=1))


def _spread(model: Any) -> None:
    """Give every matrix the variance that keeps a signal's size, so that random layers pass on their input."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and "embed_tokens" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif "embed_tokens" in name:
            torch.nn.init.normal_(weight, std=1.0)
