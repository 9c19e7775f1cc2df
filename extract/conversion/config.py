"""The configuration of an original InternVL checkpoint in transformers' native terms."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import InternVLConfig, LlamaConfig, PreTrainedConfig, Qwen2Config

from vadprobe.extract.families.library import one_line
from vadprobe.store.errors import VadprobeError

INTERNLM2 = "InternLM2ForCausalLM"
_TEXT_CLASSES: dict[str, type[PreTrainedConfig]] = {
    INTERNLM2: LlamaConfig,
    "LlamaForCausalLM": LlamaConfig,
    "Qwen2ForCausalLM": Qwen2Config,
}
_TEXT_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
# Defaults of the original configuration's class, for values that the file leaves out.
_TEXT_DEFAULTS: dict[str, dict[str, Any]] = {
    INTERNLM2: {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "bias": True},
    "LlamaForCausalLM": {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000.0},
    "Qwen2ForCausalLM": {"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 10000.0},
}
_VISION_DEFAULTS: dict[str, Any] = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "norm_type": "rms_norm",
    "num_channels": 3,
    "patch_size": 14,
    "qk_normalization": True,
    "qkv_bias": False,
}
_NATIVE_QK_EPS = 1e-6
_EXTRA = {
    "LlamaForCausalLM": ("attention_bias", "mlp_bias", "head_dim"),
    "Qwen2ForCausalLM": ("use_sliding_window", "sliding_window", "max_window_layers"),
}


def architecture(config: Mapping[str, Any]) -> str:
    """Return the name of the text model's class.

    Raises:
        VadprobeError: if that class has no native counterpart.
    """
    names = _section(config, "llm_config").get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if name not in _TEXT_CLASSES:
        raise VadprobeError(
            f"the checkpoint's text model (llm_config.architectures) is {name!r}; converted are "
            f"{', '.join(_TEXT_CLASSES)}."
        )
    return str(name)


def native_config(config: Mapping[str, Any], image_token_id: int, tied: bool) -> InternVLConfig:
    """Return the native configuration.

    Args:
        config: `config.json` of the original checkpoint.
        image_token_id: id of the token that stands for a piece of an image.
        tied: True if the output projection is the token embedding.

    Raises:
        VadprobeError: if a setting is missing, of a wrong kind, or has no native counterpart.
    """
    try:
        return _native(config, image_token_id, tied)
    except VadprobeError:
        raise
    except (TypeError, ValueError, KeyError, ArithmeticError, StrictDataclassError) as error:
        raise VadprobeError(f"config.json has a setting that cannot be used ({one_line(error)}).") from error


def _native(config: Mapping[str, Any], image_token_id: int, tied: bool) -> InternVLConfig:
    ratio = float(config.get("downsample_ratio", 0.5))
    order = config.get("ps_version", "v1")
    if order != "v2":
        raise VadprobeError(
            f"the checkpoint's ps_version is {order!r}, whose pieces of an image lie in another order than in the "
            "native model; only 'v2' is converted."
        )
    vision = _vision(config)
    (height, width), patch = vision["image_size"], vision["patch_size"][0]
    native = InternVLConfig(
        text_config=_text(config, tied),
        vision_config=vision,
        image_token_id=image_token_id,
        image_seq_length=int((height // patch) * (width // patch) * ratio**2),
        downsample_ratio=ratio,
        projector_hidden_act="gelu",
        vision_feature_layer=int(config.get("select_layer", -1)),
        vision_feature_select_strategy="default",
        tie_word_embeddings=tied,
        architectures=["InternVLForConditionalGeneration"],
    )
    given = [section.get(key) for section in (config, config["llm_config"]) for key in ("torch_dtype", "dtype")]
    native.dtype = next((dtype for dtype in given if dtype is not None), None)
    return native


def _text(config: Mapping[str, Any], tied: bool) -> PreTrainedConfig:
    name = architecture(config)
    section = _filled(config, "llm_config", _TEXT_DEFAULTS[name], _TEXT_SIZES)
    values: dict[str, Any] = {key: section[key] for key in _TEXT_SIZES}
    values["num_key_value_heads"] = section.get("num_key_value_heads", section["num_attention_heads"])
    for key in ("max_position_embeddings", "rms_norm_eps", "hidden_act", "initializer_range"):
        if key in section:
            values[key] = section[key]
    values |= {key: section[key] for key in _EXTRA.get(name, ()) if key in section}
    if name == INTERNLM2:
        values["attention_bias"] = bool(section["bias"])
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        values[key] = section.get(key)
    values["rope_parameters"] = _rope(section)
    return _TEXT_CLASSES[name](**values, tie_word_embeddings=tied)


def _rope(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return base and scaling of the rotary positions; older files keep the two apart and name the kind "type"."""
    scaling = dict(section.get("rope_parameters") or section.get("rope_scaling") or {})
    old, new = scaling.pop("type", None), scaling.pop("rope_type", None)
    base = float(scaling.pop("rope_theta", section["rope_theta"]))
    return {**scaling, "rope_type": new or old or "default", "rope_theta": base}


def _vision(config: Mapping[str, Any]) -> dict[str, Any]:
    sizes = ("hidden_size", "image_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
    section = _filled(config, "vision_config", _VISION_DEFAULTS, sizes)
    side, patch = int(section["image_size"]), int(section["patch_size"])
    forced = config.get("force_image_size") or side
    if forced != side:
        raise VadprobeError(
            f"config.json sets force_image_size to {forced}, but the vision tower's position embeddings are for "
            f"{side}; they are not resized here. Save the checkpoint with resized embeddings first."
        )
    if section["qk_normalization"] and section["layer_norm_eps"] != _NATIVE_QK_EPS:
        raise VadprobeError(
            f"config.json sets vision_config.layer_norm_eps to {section['layer_norm_eps']}; the native model "
            f"normalises queries and keys with {_NATIVE_QK_EPS} only."
        )
    return {
        **{key: section[key] for key in (*sizes, "num_channels", "hidden_act", "layer_norm_eps", "norm_type")},
        "image_size": [side, side],
        "patch_size": [patch, patch],
        "attention_bias": bool(section["qkv_bias"]),
        "use_qk_norm": bool(section["qk_normalization"]),
        "use_mean_pooling": True,  # no norm after the last layer
        "use_absolute_position_embeddings": True,
    }


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    if not isinstance(section, dict):
        raise VadprobeError(f"config.json has no {name}; take the checkpoint's own file.")
    return section


def _filled(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any], needed: Sequence[str]) -> dict[str, Any]:
    """Return a section with its class's defaults where a value is missing or null."""
    section = {**defaults, **{key: value for key, value in _section(config, name).items() if value is not None}}
    missing = [key for key in needed if key not in section]
    if missing:
        raise VadprobeError(f"config.json lacks {name}.{missing[0]}; take the checkpoint's own file.")
    return section
