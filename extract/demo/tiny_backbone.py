"""Tiny random-weight backbones of the real classes, saved in the real layout and never trained.

They are loaded through the same path as a real checkpoint. The demo and the tests use them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForImageTextToText,
    InternVLConfig,
    LlamaConfig,
    LlavaOnevisionConfig,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    SiglipVisionConfig,
)

from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED

_MEAN = [0.48145466, 0.4578275, 0.40821073]
_STD = [0.26862954, 0.26130258, 0.27577711]
_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 8192,
}
_QWEN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_LLAVA_TOKENS = ("<|im_start|>", "<|im_end|>", "<image>", "<video>")
_INTERN_TOKENS = ("<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>")

_QWEN_TEMPLATE = """\
{%- for message in messages -%}
{%- if loop.first and message.role != 'system' -%}\
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'video' -%}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}
{%- elif part.type == 'image' -%}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
_INTERN_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'video' -%}{{ '<video>\\n' }}
{%- elif part.type == 'image' -%}{{ '<IMG_CONTEXT>\\n' }}
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
_QWEN3_TEMPLATE = _QWEN_TEMPLATE.replace(  # the newer model has no system message of its own
    """{%- if loop.first and message.role != 'system' -%}\
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}
""",
    "",
)
_LLAVA_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + ' ' }}
{%- for part in message.content if part.type == 'video' -%}{{ '<video>' }}{%- endfor -%}
{%- for part in message.content if part.type == 'image' -%}{{ '<image>' }}{%- endfor -%}
{%- for part in message.content if part.type == 'text' -%}{{ '\\n' + part.text }}{%- endfor -%}
{{ '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


def make_tiny_backbone(folder: Path, family: str = "qwen2_5_vl", seed: int = 0) -> Path:
    """Write a tiny random checkpoint: 6 layers of 8 heads.

    Args:
        folder: where to; an existing checkpoint of the same recipe is left as it is.
        family: "qwen2_5_vl", "internvl" (Qwen2 text, as InternVL3), "internvl-llama" (as InternVL2.5),
            "llava_onevision" or "qwen3_vl" (whose heads together are wider than the hidden state).
        seed: of the weights.

    Returns:
        The folder.

    Raises:
        VadprobeError: if the family is not one of those.
    """
    if family not in _BUILDERS:
        raise VadprobeError(f"no tiny backbone of family {family!r}; known are {', '.join(_BUILDERS)}.")
    card = {"family": family, "seed": seed, "made_by": "vadprobe", "note": "random weights, never trained"}
    marker = folder / RANDOM_WEIGHTS_CARD
    if marker.exists() and json.loads(marker.read_text()) == card:
        return folder
    if marker.exists():
        shutil.rmtree(folder)  # files of another family would be read along
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _BUILDERS[family](folder)
    marker.write_text(json.dumps(card))
    return folder


def _save(
    folder: Path, config: PreTrainedConfig, tokenizer: Qwen2Tokenizer, processors: dict[str, dict[str, Any]]
) -> None:
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    _spread(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in processors.items():
        (folder / name).write_text(json.dumps(content, indent=1))


def _spread(model: Any) -> None:
    """Give every matrix the variance that keeps a signal's size, so that random layers pass on what they see."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and "embed_tokens" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif "embed_tokens" in name:
            torch.nn.init.normal_(weight, std=1.0)


def _tokenizer(tokens: tuple[str, ...], template: str, **named: str) -> Qwen2Tokenizer:
    """A byte-level BPE trained on the shipped prompts, in the real tokenizer class."""
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trained.decoder = ByteLevelDecoder()
    words = [prompt.text for prompt in SHIPPED.values()] + ["Yes No yes no Frame1: system user assistant"] * 3
    trainer = BpeTrainer(vocab_size=600, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(words, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    vocabulary = {**model["vocab"], "<|endoftext|>": len(model["vocab"])}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, extra_special_tokens=named)
    tokenizer.add_special_tokens({"additional_special_tokens": [t for t in tokens if t not in named.values()]})
    tokenizer.chat_template = template
    return tokenizer


def _qwen(folder: Path) -> None:
    tokenizer = _tokenizer(_QWEN_TOKENS, _QWEN_TEMPLATE, image_token="<|image_pad|>", video_token="<|video_pad|>")
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in _QWEN_TOKENS}
    config = Qwen2_5_VLConfig(
        text_config={
            **_SIZES,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": _SIZES["hidden_size"],
            "window_size": 112,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    sizes = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "image_mean": _MEAN, "image_std": _STD}
    names = {"processor_class": "Qwen2_5_VLProcessor"}
    _save(
        folder,
        config,
        tokenizer,
        {
            "preprocessor_config.json": {**sizes, **names, "image_processor_type": "Qwen2VLImageProcessor"},
            "video_preprocessor_config.json": {**sizes, **names, "video_processor_type": "Qwen2VLVideoProcessor"},
        },
    )


def _qwen3(folder: Path) -> None:
    tokenizer = _tokenizer(_QWEN_TOKENS, _QWEN3_TEMPLATE, image_token="<|image_pad|>", video_token="<|video_pad|>")
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in _QWEN_TOKENS}
    config = Qwen3VLConfig(
        text_config={
            **_SIZES,
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
        vision_config={
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": _SIZES["hidden_size"],
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    pixels = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    sizes = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **pixels}
    names = {"processor_class": "Qwen3VLProcessor"}
    _save(
        folder,
        config,
        tokenizer,
        {
            "preprocessor_config.json": {**sizes, **names, "image_processor_type": "Qwen2VLImageProcessor"},
            "video_preprocessor_config.json": {**sizes, **names, "video_processor_type": "Qwen3VLVideoProcessor"},
        },
    )


def _internvl(folder: Path, text: PreTrainedConfig) -> None:
    tokenizer = _tokenizer(
        _INTERN_TOKENS,
        _INTERN_TEMPLATE,
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
        vision_config={
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "image_size": [112, 112],
            "patch_size": [14, 14],
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    sizes = {"size": {"height": 112, "width": 112}, "image_mean": _MEAN, "image_std": _STD}
    names = {"processor_class": "InternVLProcessor"}
    _save(
        folder,
        config,
        tokenizer,
        {
            "preprocessor_config.json": {**sizes, **names, "image_processor_type": "GotOcr2ImageProcessor"},
            "video_preprocessor_config.json": {**sizes, **names, "video_processor_type": "InternVLVideoProcessor"},
            "processor_config.json": {**names, "image_seq_length": 16},
        },
    )


def _llava_onevision(folder: Path) -> None:
    tokenizer = _tokenizer(_LLAVA_TOKENS, _LLAVA_TEMPLATE, image_token="<image>", video_token="<video>")
    side, patch = 98, 14  # 7 patches, an odd number as the 27 of the real model: pooled to 4
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(
            **_SIZES,
            vocab_size=len(tokenizer),
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            pad_token_id=tokenizer.pad_token_id,
        ),
        vision_config=SiglipVisionConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            image_size=side,
            patch_size=patch,
            vision_use_head=False,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[side, side]],
        tie_word_embeddings=False,
    )
    size = {"height": side, "width": side}
    pixels = {"size": size, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    names = {"processor_class": "LlavaOnevisionProcessor"}
    images = {"image_processor_type": "LlavaOnevisionImageProcessor", "image_grid_pinpoints": [[side, side]]}
    _save(
        folder,
        config,
        tokenizer,
        {
            "preprocessor_config.json": {**pixels, **names, **images},
            "video_preprocessor_config.json": {
                **pixels,
                **names,
                "video_processor_type": "LlavaOnevisionVideoProcessor",
            },
            "processor_config.json": {
                **names,
                "num_image_tokens": (side // patch) ** 2,
                "vision_feature_select_strategy": "full",
            },
        },
    )


_BUILDERS = {
    "qwen2_5_vl": _qwen,
    "internvl": lambda folder: _internvl(folder, Qwen2Config(**_SIZES)),
    "internvl-llama": lambda folder: _internvl(folder, LlamaConfig(**_SIZES)),
    "llava_onevision": _llava_onevision,
    "qwen3_vl": _qwen3,
}
