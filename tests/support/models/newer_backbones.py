"""Tiny random checkpoints of newer families, read through their own processors as videos."""

from collections.abc import Callable

from transformers import (
    CLIPVisionConfig,
    Glm4vMoeConfig,
    LlamaConfig,
    LlavaNextVideoConfig,
    MiniCPMV4_6Config,
    Qwen3VLMoeConfig,
    SmolVLMConfig,
)

from tests.support.models.shared_files import HALF, SIZES, TOWER, template
from vadprobe.extract.demo.tiny_models import QWEN_TOKENS, TinyModel, processor_files
from vadprobe.extract.demo.tiny_tokenizer import train_tokenizer


def smolvlm() -> TinyModel:
    """Return SmolVLM: frames are written one after another, each with its time."""
    grid = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    around = ("<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<video>")
    tokens = ("<|im_start|>", "<|im_end|>", "<image>", *around, *grid)
    tokenizer = train_tokenizer(tokens, template(image="<image>", video="<video>"))
    config = SmolVLMConfig(
        text_config=LlamaConfig(**SIZES, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id),
        vision_config=TOWER,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    sizes = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}, **HALF}
    names = processor_files("SmolVLM", sizes, "SmolVLMImage", "SmolVLMVideo")
    names["processor_config.json"] = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    return TinyModel(config, tokenizer, names)


def llava_next_video() -> TinyModel:
    """Return LLaVA-NeXT-Video: frames are pooled two by two."""
    tokens = ("<|im_start|>", "<|im_end|>", "<image>", "<video>")
    named = {"image_token": "<image>", "video_token": "<video>"}
    tokenizer = train_tokenizer(tokens, template(image="<image>\\n", video="<video>\\n"), **named)
    config = LlavaNextVideoConfig(
        text_config=LlamaConfig(**SIZES, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id),
        vision_config=CLIPVisionConfig(**TOWER, projection_dim=64),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[56, 56]],
        vision_feature_layer=-1,
    )
    pixels = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    names = processor_files("LlavaNextVideo", pixels, "LlavaNextImage", "LlavaNextVideoVideo")
    names["processor_config.json"] = {
        "processor_class": "LlavaNextVideoProcessor",
        "patch_size": 14,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return TinyModel(config, tokenizer, names)


def glm4v_moe() -> TinyModel:
    """Return GLM-4.5V: experts behind the first block, a part of every head turns, slices carry their time."""
    named = {"image_token": "<|image|>", "video_token": "<|video|>"}
    markers = tuple(f"<|{side}_of_{kind}|>" for kind in ("image", "video") for side in ("begin", "end"))
    tokens = ("<|im_start|>", "<|im_end|>", *named.values(), *markers)
    media = {kind: f"<|begin_of_{kind}|><|{kind}|><|end_of_{kind}|>" for kind in ("image", "video")}
    tokenizer = train_tokenizer(tokens, template(**media), **named)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tokens}
    config = Glm4vMoeConfig(
        text_config={
            **SIZES,
            "vocab_size": len(tokenizer),
            "moe_intermediate_size": 64,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
                "mrope_section": [2, 1, 1],
            },
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "num_heads": 4,
            "intermediate_size": 128,
            "out_hidden_size": 128,
            "image_size": 56,
        },
        image_token_id=ids["<|image|>"],
        video_token_id=ids["<|video|>"],
        image_start_token_id=ids["<|begin_of_image|>"],
        image_end_token_id=ids["<|end_of_image|>"],
        video_start_token_id=ids["<|begin_of_video|>"],
        video_end_token_id=ids["<|end_of_video|>"],
    )
    pixels = {"size": {"shortest_edge": 56 * 56, "longest_edge": 4 * 84 * 84}, **HALF}
    return TinyModel(config, tokenizer, processor_files("Glm4v", pixels, "Glm4vImage", "Glm4vVideo"))


def qwen3_vl_moe() -> TinyModel:
    """Return Qwen3-VL with experts in every block; visual features are added behind the first."""
    media = {kind: f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video")}
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    tokenizer = train_tokenizer(QWEN_TOKENS, template(**media), **named)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in QWEN_TOKENS}
    config = Qwen3VLMoeConfig(
        text_config={
            **SIZES,
            "head_dim": 32,
            "moe_intermediate_size": 64,
            "num_experts": 4,
            "num_experts_per_tok": 2,
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
            "depth": 2,
            "hidden_size": 64,
            "num_heads": 4,
            "intermediate_size": 128,
            "out_hidden_size": 128,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    pixels = {"patch_size": 16, "size": {"shortest_edge": 64 * 64, "longest_edge": 4 * 96 * 96}, **HALF}
    return TinyModel(config, tokenizer, processor_files("Qwen3VL", pixels, "Qwen2VLImage", "Qwen3VLVideo"))


def minicpmv4_6() -> TinyModel:
    """Return MiniCPM-V 4.6: Qwen3.5's hybrid language model; every frame stands between marks, behind a number."""
    named = {
        "image_token": "<|image_pad|>", "video_token": "<|video_pad|>",
        "image_start_token": "<image>", "image_end_token": "</image>",
        "slice_start_token": "<slice>", "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>",
    }  # fmt: skip
    media = {"image": named["image_token"], "video": named["video_token"]}
    tokenizer = train_tokenizer(("<|im_start|>", "<|im_end|>", *named.values()), template(**media), **named)
    config = MiniCPMV4_6Config(
        text_config={
            **SIZES,
            "model_type": "qwen3_5_text",
            "head_dim": 32,
            "vocab_size": len(tokenizer),
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "linear_num_key_heads": 4,
            "linear_num_value_heads": 8,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**TOWER, "image_size": 112, "num_hidden_layers": 3, "insert_layer_id": 1},
        insert_layer_id=1,
        image_token_id=tokenizer.convert_tokens_to_ids(named["image_token"]),
        video_token_id=tokenizer.convert_tokens_to_ids(named["video_token"]),
    )
    pixels = {"scale_resolution": 112, "max_slice_nums": 1, "patch_size": 14, **HALF}
    return TinyModel(config, tokenizer, processor_files("MiniCPMV4_6", pixels, "MiniCPMV4_6Image", "MiniCPMV4_6Video"))


BUILDERS: dict[str, Callable[[], TinyModel]] = {
    one.__name__: one for one in (smolvlm, llava_next_video, glm4v_moe, qwen3_vl_moe, minicpmv4_6)
}
