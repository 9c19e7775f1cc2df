"""The captioner's model: the real Qwen2.5-VL class, small, with weights from a seed."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import AutoModelForImageTextToText, Qwen2Tokenizer

from vadprobe.extract.demo.tiny_backbone import write_checkpoint
from vadprobe.extract.demo.tiny_models import TEXT_SIZES, TinyModel, qwen_model
from vadprobe.extract.model.window_attention import batch_windows

_VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_heads": 4,
    "out_hidden_size": TEXT_SIZES["hidden_size"],
    "window_size": 112,
    "fullatt_block_indexes": [0, 1],  # every block sees its whole slice of two frames
}


def captioner(tokenizer: Qwen2Tokenizer) -> TinyModel:
    """Return the captioner without weights: six blocks of eight heads, and a vision tower of two blocks."""
    return qwen_model(tokenizer, _VISION)


def new_model(tiny: TinyModel, seed: int) -> Any:
    """Return the model in float32 with weights drawn from a seed, ready to be trained.

    The vision tower attends to all windows in one call, and embeds patches by one matrix product, which is faster on
    a CPU than the class's convolution.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(tiny.config, dtype=torch.float32)
        _draw_weights(model)
    batch_windows(model)
    embedding = model.model.visual.patch_embed

    def embed(patches: Tensor) -> Tensor:
        return linear(patches.flatten(1), embedding.proj.weight.flatten(1))

    embedding.forward = embed
    return model


def _draw_weights(model: Any) -> None:
    """Draw every matrix so that a signal keeps its size; those that write to the residual stream are smaller."""
    layers = model.config.text_config.num_hidden_layers
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            continue
        deviation = 0.7 * weight[0].numel() ** -0.5
        if "embed_tokens" in name:
            deviation = 0.3
        elif "lm_head" in name:
            deviation = 0.02
        elif "visual" not in name and ("o_proj" in name or "down_proj" in name):
            deviation *= (2 * layers) ** -0.5
        torch.nn.init.normal_(weight, std=deviation)


def write_half(folder: Path, model: Any, tiny: TinyModel) -> None:
    """Write the model in float16 with its tokenizer and its processors' files."""
    forward = model.model.visual.patch_embed.__dict__.pop("forward", None)  # a closure over these weights
    try:
        half = copy.deepcopy(model).to(torch.float16)
    finally:
        if forward is not None:
            model.model.visual.patch_embed.forward = forward
    write_checkpoint(folder, half, tiny)
