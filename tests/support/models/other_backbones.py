"""Tiny random checkpoints of families without inputs of vadprobe's own, read through their own processors."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma4Config,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    Qwen2VLConfig,
)

from tests.support.models import newer_backbones
from tests.support.models.shared_files import HALF, SIZES, TOWER, files, template
from vadprobe.extract.demo.tiny_backbone import save_checkpoint
from vadprobe.extract.demo.tiny_models import QWEN_TOKENS, TinyModel, processor_files
from vadprobe.extract.demo.tiny_tokenizer import train_tokenizer


def make(folder: Path, family: str, seed: int = 0) -> Path:
    """Write a checkpoint of one of `BUILDERS`."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_checkpoint(folder, BUILDERS[family]())
    return folder


def llava() -> TinyModel:
    tokens = ("<|im_start|>", "<|im_end|>", "<image>")
    tokenizer = train_tokenizer(tokens, template(image="<image>\\n"), image_token="<image>")
    config = LlavaConfig(
        text_config=LlamaConfig(**SIZES, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id),
        vision_config=CLIPVisionConfig(**TOWER, projection_dim=64),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    pixels = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    rest = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return TinyModel(config, tokenizer, files("Llava", pixels, "CLIP", **rest))


def idefics3() -> TinyModel:
    grid = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    around = ("<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
    tokens = ("<|im_start|>", "<|im_end|>", "<image>", *around, *grid)
    tokenizer = train_tokenizer(tokens, template(image="<image>"))
    config = Idefics3Config(
        text_config=LlamaConfig(**SIZES, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id),
        vision_config=TOWER,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    sizes = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}}
    return TinyModel(config, tokenizer, files("Idefics3", {**sizes, **HALF}, "Idefics3", image_seq_len=4))


def gemma3() -> TinyModel:
    """Return Gemma 3: image tokens see each other in both directions; blocks differ in how far back they look."""
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokens = ("<|im_start|>", "<|im_end|>", *named.values())
    tokenizer = train_tokenizer(tokens, template(image="<start_of_image>"), **named)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in named.items()}
    config = Gemma3Config(
        text_config={
            **SIZES,
            "head_dim": 32,
            "vocab_size": len(tokenizer),
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**TOWER, "vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
        image_token_id=ids["image_token"],
    )
    pixels = {"size": {"height": 56, "width": 56}, **HALF}
    return TinyModel(config, tokenizer, files("Gemma3", pixels, "Gemma3", image_seq_length=4))


def gemma4() -> TinyModel:
    """Return Gemma 4: global blocks have wider heads than the others; the last two share keys with earlier ones."""
    named = {
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "image_token": "<|image|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
        "audio_token": "<|audio|>",
    }
    tokens = ("<|im_start|>", "<|im_end|>", "<|video|>", *named.values())
    tokenizer = train_tokenizer(tokens, template(image="<|image|>", video="<|video|>"), **named)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tokens}
    config = Gemma4Config(
        text_config={
            **SIZES,
            "num_hidden_layers": 6,
            "head_dim": 16,
            "global_head_dim": 32,
            "vocab_size": len(tokenizer),
            "vocab_size_per_layer_input": len(tokenizer),
            "hidden_size_per_layer_input": 8,
            "num_kv_shared_layers": 2,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "head_dim": 16,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "patch_size": 4,
            "position_embedding_size": 256,
        },
        audio_config=None,
        boi_token_id=ids["<|image>"],
        eoi_token_id=ids["<image|>"],
        image_token_id=ids["<|image|>"],
        video_token_id=ids["<|video|>"],
        boa_token_id=ids["<|audio>"],
        eoa_token_index=ids["<audio|>"],
        audio_token_id=ids["<|audio|>"],
    )
    names = {"processor_class": "Gemma4Processor", "patch_size": 4, "pooling_kernel_size": 3, "max_soft_tokens": 70}
    return TinyModel(
        config,
        tokenizer,
        {
            "preprocessor_config.json": {**names, "image_processor_type": "Gemma4ImageProcessor"},
            "video_preprocessor_config.json": {**names, "video_processor_type": "Gemma4VideoProcessor"},
            "processor_config.json": {
                "processor_class": "Gemma4Processor",
                "feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor"},
            },
        },
    )


def qwen2_vl() -> TinyModel:
    media = {kind: f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video")}
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    tokenizer = train_tokenizer(QWEN_TOKENS, template(**media), **named)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in QWEN_TOKENS}
    config = Qwen2VLConfig(
        text_config={
            **SIZES,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={"depth": 2, "embed_dim": 64, "num_heads": 4, "mlp_ratio": 2, "hidden_size": 128},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    pixels = {"size": {"shortest_edge": 56 * 56, "longest_edge": 84 * 84}, **HALF}
    return TinyModel(config, tokenizer, processor_files("Qwen2VL", pixels, "Qwen2VLImage", "Qwen2VLVideo"))


_MODELS = (llava, idefics3, gemma3, gemma4, qwen2_vl)
BUILDERS: dict[str, Callable[[], TinyModel]] = {one.__name__: one for one in _MODELS} | newer_backbones.BUILDERS
