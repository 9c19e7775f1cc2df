"""Backbones of chosen shapes with random-normal weights: the real classes, at the sizes of the real checkpoints.

The small files are those of a tiny checkpoint with other sizes, so that the project's own code describes the backbone;
the weights are drawn on the device and never written.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.model.backbone import Backbone, Description, describe
from vadprobe.extract.model.blocks.compiling import compile_blocks
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.window_attention import batch_windows

_QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "layer_types": ["full_attention"] * 28,
    "max_position_embeddings": 32768,
}
_QWEN_MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
_QWEN2_5_0_5B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "layer_types": ["full_attention"] * 24,
    "max_position_embeddings": 32768,
}
_INTERN_VIT_300M = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "image_size": [448, 448],
}
_QWEN_VIT = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
_SMALL = {"hidden_size": 512, "intermediate_size": 1408, "num_attention_heads": 8, "num_key_value_heads": 4}

SHAPES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "qwen2_5_vl": ("qwen2_5_vl", {}),
    "internvl": ("internvl", {}),
    "qwen2_5_vl-512": (
        "qwen2_5_vl",
        {
            "text_config": {**_SMALL, "rope_parameters": {**_QWEN_MROPE, "mrope_section": [8, 12, 12]}},
            "vision_config": {"out_hidden_size": 512},
        },
    ),
    "internvl-512": ("internvl", {"text_config": _SMALL}),
    "InternVL3-8B": (
        "internvl",
        {
            "text_config": {**_QWEN2_7B, "vocab_size": 151674},
            "vision_config": _INTERN_VIT_300M,
            "image_seq_length": 256,
        },
    ),
    "Qwen2.5-VL-7B": (
        "qwen2_5_vl",
        {
            "text_config": {**_QWEN2_7B, "vocab_size": 152064, "rope_parameters": _QWEN_MROPE},
            "vision_config": {**_QWEN_VIT, "out_hidden_size": 3584},
        },
    ),
    "llava_onevision": ("llava_onevision", {}),
    "LLaVA-OneVision-0.5B": (
        "llava_onevision",
        {
            "text_config": {**_QWEN2_5_0_5B, "vocab_size": 152000, "tie_word_embeddings": True},
            "vision_config": {
                "hidden_size": 1152,
                "num_hidden_layers": 26,
                "num_attention_heads": 16,
                "intermediate_size": 4304,
                "image_size": 384,
            },
            "image_grid_pinpoints": [[384, 384]],
            "tie_word_embeddings": True,
        },
    ),
    "InternVL3-1B": (
        "internvl",
        {
            "text_config": {**_QWEN2_5_0_5B, "vocab_size": 151674},
            "vision_config": _INTERN_VIT_300M,
            "image_seq_length": 256,
        },
    ),
    "Qwen2.5-VL-3B": (
        "qwen2_5_vl",
        {
            "text_config": {
                "hidden_size": 2048,
                "intermediate_size": 11008,
                "num_hidden_layers": 36,
                "num_attention_heads": 16,
                "num_key_value_heads": 2,
                "layer_types": ["full_attention"] * 36,
                "max_position_embeddings": 32768,
                "vocab_size": 151936,
                "rope_parameters": _QWEN_MROPE,
                "tie_word_embeddings": True,
            },
            "vision_config": {**_QWEN_VIT, "out_hidden_size": 2048},
            "tie_word_embeddings": True,
        },
    ),
}
"""Shapes by name: the family, and the settings that differ from its tiny backbone."""


def small_files(name: str, folder: Path) -> Path:
    """Write configuration and tokenizer of a shape, without weights; return the folder."""
    family, sizes = SHAPES[name]
    tiny = make_tiny_backbone(folder / "tiny" / family, family)
    path = folder / name
    shutil.copytree(tiny, path, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    config = json.loads((path / "config.json").read_text())
    for key, value in sizes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (path / "config.json").write_text(json.dumps(config))
    if family != "qwen2_5_vl":  # frames have the size of the vision tower's images
        side = config["vision_config"]["image_size"]
        height, width = side if isinstance(side, list) else (side, side)
        images = json.loads((path / "preprocessor_config.json").read_text())
        (path / "preprocessor_config.json").write_text(
            json.dumps({**images, "size": {"height": height, "width": width}})
        )
    return path


def describe_shape(name: str, folder: Path, dtype: str, frame_size: tuple[int, int] | None) -> Description:
    """Describe a shape as the project describes a checkpoint; only Qwen takes a frame size."""
    path = small_files(name, folder)
    size = frame_size if SHAPES[name][0] == "qwen2_5_vl" else None
    return describe(BackboneConfig(key=name, path=str(path), dtype=dtype, frame_size=size), path)


def make_backbone(description: Description, device: torch.device | str, compiled: bool = False) -> Backbone:
    """Return the model of a shape with random-normal weights, drawn on the device; "meta" has shapes only."""
    place = torch.device(device)
    config = AutoConfig.from_pretrained(description.source)
    torch.manual_seed(0)
    with place:
        model = AutoModelForImageTextToText.from_config(
            config, dtype=getattr(torch, description.config.dtype), attn_implementation=description.config.attention
        )
    if place.type != "meta":
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:  # so that the size of a signal is kept
                torch.nn.init.normal_(weight, std=1.0 if "embed_tokens" in name else weight[0].numel() ** -0.5)
    model = model.eval().requires_grad_(False)
    batch_windows(model)
    parts = TextBlocks.of(model)
    if compiled:
        compile_blocks(parts)
    return Backbone(description, model, parts, place)
