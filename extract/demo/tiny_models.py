"""Configurations of the tiny backbones, one builder for each family."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import (
    InternVLConfig,
    LlamaConfig,
    LlavaOnevisionConfig,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen3_5Config,
    Qwen3VLConfig,
    SiglipVisionConfig,
)

from vadprobe.extract.demo.tiny_tokenizer import (
    INTERN_TEMPLATE,
    LLAVA_TEMPLATE,
    QWEN3_TEMPLATE,
    QWEN_TEMPLATE,
    train_tokenizer,
)

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
TEXT_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 8192,
}
VISION_SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
QWEN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_LLAVA_TOKENS = ("<|im_start|>", "<|im_end|>", "<image>", "<video>")
_INTERN_TOKENS = ("<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>")
_QWEN_VISION: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 4,
    "out_hidden_size": TEXT_SIZES["hidden_size"],
}


@dataclass(frozen=True)
class TinyModel:
    """A model without weights: its configuration, its tokenizer, and its processors' files by name."""

    config: PreTrainedConfig
    tokenizer: Qwen2Tokenizer
    files: dict[str, dict[str, Any]]


def _marker_ids(tokenizer: Qwen2Tokenizer) -> dict[str, int]:
    """Return the ids of the tokens that mark images and videos in Qwen's models."""
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    keys = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {key: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for key, name in zip(keys, names, strict=True)}


def processor_files(family: str, sizes: dict[str, Any], images: str, videos: str) -> dict[str, dict[str, Any]]:
    """Return the settings of a processor's images and videos by file name."""
    shared = {**sizes, "processor_class": f"{family}Processor"}
    return {
        "preprocessor_config.json": {**shared, "image_processor_type": f"{images}Processor"},
        "video_preprocessor_config.json": {**shared, "video_processor_type": f"{videos}Processor"},
    }


def qwen_model(tokenizer: Qwen2Tokenizer, vision: dict[str, Any]) -> TinyModel:
    """Return a small Qwen2.5-VL with this tokenizer; `vision` is the configuration of its vision tower."""
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT_SIZES,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config=vision,
        **_marker_ids(tokenizer),
    )
    sizes = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "image_mean": MEAN, "image_std": STD}
    return TinyModel(config, tokenizer, processor_files("Qwen2_5_VL", sizes, "Qwen2VLImage", "Qwen2VLVideo"))


def _qwen() -> TinyModel:
    tokenizer = train_tokenizer(QWEN_TOKENS, QWEN_TEMPLATE, image_token="<|image_pad|>", video_token="<|video_pad|>")
    return qwen_model(tokenizer, {"depth": 2, **_QWEN_VISION, "window_size": 112, "fullatt_block_indexes": [1]})


def _qwen3() -> TinyModel:
    tokenizer = train_tokenizer(QWEN_TOKENS, QWEN3_TEMPLATE, image_token="<|image_pad|>", video_token="<|video_pad|>")
    config = Qwen3VLConfig(
        text_config={
            **TEXT_SIZES,
            "head_dim": 32,
            "vocab_size": len(tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [8, 4, 4],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={"depth": 3, **_QWEN_VISION, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]},
        **_marker_ids(tokenizer),
    )
    pixels = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    sizes = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **pixels}
    return TinyModel(config, tokenizer, processor_files("Qwen3VL", sizes, "Qwen2VLImage", "Qwen3VLVideo"))


def _qwen3_5() -> TinyModel:
    """Return a hybrid: three blocks of linear attention, without heads, then one of attention, twice."""
    tokenizer = train_tokenizer(QWEN_TOKENS, QWEN3_TEMPLATE, image_token="<|image_pad|>", video_token="<|video_pad|>")
    config = Qwen3_5Config(
        text_config={
            **TEXT_SIZES,
            "num_hidden_layers": 8,
            "head_dim": 32,
            "vocab_size": len(tokenizer),
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "linear_num_key_heads": 4,
            "linear_num_value_heads": 8,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={"depth": 3, **_QWEN_VISION, "num_position_embeddings": 64},
        **_marker_ids(tokenizer),
    )
    pixels = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    sizes = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **pixels}
    return TinyModel(config, tokenizer, processor_files("Qwen3VL", sizes, "Qwen2VLImage", "Qwen3VLVideo"))


def _internvl(text: PreTrainedConfig) -> TinyModel:
    tokenizer = train_tokenizer(
        _INTERN_TOKENS,
        INTERN_TEMPLATE,
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    text.vocab_size = len(tokenizer)
    text.bos_token_id = text.pad_token_id = None
    text.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = InternVLConfig(
        text_config=text,
        vision_config={**VISION_SIZES, "image_size": [112, 112], "patch_size": [14, 14]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    sizes = {"size": {"height": 112, "width": 112}, "image_mean": MEAN, "image_std": STD}
    files = processor_files("InternVL", sizes, "GotOcr2Image", "InternVLVideo")
    files["processor_config.json"] = {"processor_class": "InternVLProcessor", "image_seq_length": 16}
    return TinyModel(config, tokenizer, files)


def _llava_onevision() -> TinyModel:
    tokenizer = train_tokenizer(_LLAVA_TOKENS, LLAVA_TEMPLATE, image_token="<image>", video_token="<video>")
    side, patch = 98, 14  # 7 patches, an odd number as the 27 of the real model: pooled to 4
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(
            **TEXT_SIZES,
            vocab_size=len(tokenizer),
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            pad_token_id=tokenizer.pad_token_id,
        ),
        vision_config=SiglipVisionConfig(**VISION_SIZES, image_size=side, patch_size=patch, vision_use_head=False),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[side, side]],
        tie_word_embeddings=False,
    )
    size = {"height": side, "width": side}
    pixels = {"size": size, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    files = processor_files("LlavaOnevision", pixels, "LlavaOnevisionImage", "LlavaOnevisionVideo")
    files["preprocessor_config.json"]["image_grid_pinpoints"] = [[side, side]]
    files["processor_config.json"] = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": (side // patch) ** 2,
        "vision_feature_select_strategy": "full",
    }
    return TinyModel(config, tokenizer, files)


TINY_MODELS: dict[str, Callable[[], TinyModel]] = {
    "qwen2_5_vl": _qwen,
    "internvl": lambda: _internvl(Qwen2Config(**TEXT_SIZES)),
    "internvl-llama": lambda: _internvl(LlamaConfig(**TEXT_SIZES)),
    "llava_onevision": _llava_onevision,
    "qwen3_vl": _qwen3,
    "qwen3_5": _qwen3_5,
}
