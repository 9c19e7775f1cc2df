"""The families with inputs of their own, each built from a checkpoint's small files."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.families import internvl_chat
from vadprobe.extract.families.chat import ChatText
from vadprobe.extract.families.family import Family
from vadprobe.extract.families.fixed_size_frames import InternVL, LlavaOnevision
from vadprobe.extract.families.library import AutoImageProcessor, AutoTokenizer, BaseVideoProcessor
from vadprobe.extract.families.pixels import PixelRecipe
from vadprobe.extract.families.qwen2_5_vl import Qwen25VL
from vadprobe.extract.families.qwen3_vl import Qwen3VL, Qwen35
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec

Scaling = dict[str, tuple[float, float, float]]
"""Mean and deviation ("std") per channel of pixels in [0, 1]."""

_QWEN_FRAME_SIZE = (448, 448)


def own_inputs(
    config: BackboneConfig, model_config: Any, source: str, folder: Path | None, options: dict[str, Any]
) -> tuple[Family, Any, dict[str, Any]]:
    """Build a family of `FAMILIES` from a checkpoint's small files.

    Args:
        config: the job's `[backbone]` section.
        model_config: the checkpoint's configuration.
        source: folder or hub id.
        folder: the checkpoint folder, or None.
        options: keyword arguments of `from_pretrained`.

    Returns:
        The family, its tokenizer, and the numbers of a `BackboneSpec`.

    Raises:
        VadprobeError: if the family cannot be run as the settings say.
        OSError, ValueError: if a file is missing.
    """
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    images = AutoImageProcessor.from_pretrained(source, **options)
    # The video processor's own file comes before the images' one, as in AutoProcessor, which needs torchvision.
    videos, _ = BaseVideoProcessor.get_video_processor_dict(source, revision=config.revision)
    scaling = {name: tuple(videos.get(f"image_{name}") or getattr(images, f"image_{name}")) for name in ("mean", "std")}
    chat = _CHATS[config.chat].load(tokenizer, folder, config.system)
    text = model_config.get_text_config()
    heads = (text.num_attention_heads, getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
    kinds = getattr(text, "layer_types", None) or [None] * text.num_hidden_layers
    shapes = [(0, 0) if kind == "linear_attention" else heads for kind in kinds]
    shape = {**BackboneSpec.numbers(shapes), "hidden_size": text.hidden_size}
    return FAMILIES[model_config.model_type](config, model_config, scaling, chat), tokenizer, shape


def _qwen(
    family: type[Qwen25VL], config: BackboneConfig, model_config: Any, scaling: Scaling, chat: ChatText
) -> Family:
    height, width = config.frame_size or _QWEN_FRAME_SIZE
    return family(
        chat=chat,
        pixels=PixelRecipe(height, width, **scaling),
        patch_size=model_config.vision_config.patch_size,
        temporal_patch_size=model_config.vision_config.temporal_patch_size,
        merge_size=model_config.vision_config.spatial_merge_size,
        video_token_id=model_config.video_token_id,
    )


def _internvl(config: BackboneConfig, model_config: Any, scaling: Scaling, chat: ChatText) -> Family:
    height, width = model_config.vision_config.image_size
    return InternVL(
        chat=chat, pixels=_tower_pixels(config, height, width, scaling), tokens_per_frame=model_config.image_seq_length
    )


def _llava_onevision(config: BackboneConfig, model_config: Any, scaling: Scaling, chat: ChatText) -> Family:
    if model_config.vision_feature_select_strategy != "full":
        raise VadprobeError(
            f"backbone {config.key!r} drops a patch of every frame (vision_feature_select_strategy is "
            f"{model_config.vision_feature_select_strategy!r}); its frames are pooled only if it is 'full'."
        )
    side, patch = model_config.vision_config.image_size, model_config.vision_config.patch_size
    return LlavaOnevision(
        chat=chat,
        pixels=_tower_pixels(config, side, side, scaling),
        # Patches are pooled two by two; an odd last row and column count whole.
        tokens_per_frame=math.ceil(side // patch / 2) ** 2,
        video_token_id=model_config.video_token_id,
    )


def _tower_pixels(config: BackboneConfig, height: int, width: int, scaling: Scaling) -> PixelRecipe:
    """Return the pixels for a vision tower that takes one size only."""
    if config.frame_size not in (None, (height, width)):
        raise VadprobeError(
            f"frame_size is {config.frame_size}, but the vision tower of {config.key!r} takes only {height} x {width} "
            "pixels; leave frame_size out."
        )
    return PixelRecipe(height, width, **scaling)


_CHATS: dict[str, type[ChatText]] = {"native": ChatText, internvl_chat.NAME: internvl_chat.InternVLChat}
FAMILIES: dict[str, Callable[[BackboneConfig, Any, Scaling, ChatText], Family]] = {
    "qwen2_5_vl": partial(_qwen, Qwen25VL),
    "qwen3_vl": partial(_qwen, Qwen3VL),
    "qwen3_5": partial(_qwen, Qwen35),
    "internvl": _internvl,
    "llava_onevision": _llava_onevision,
}
