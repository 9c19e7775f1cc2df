"""Names and layout of an original InternVL checkpoint's tensors in transformers' native layout.

Source: the public definitions of InternVisionModel, InternVLChatModel and InternLM2 in the checkpoints' own code, and
of InternVLForConditionalGeneration in transformers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_VISION = "model.vision_tower."
_TEXT = "model.language_model."
_HEAD = "lm_head.weight"

_WHOLE = {
    "vision_model.embeddings.class_embedding": f"{_VISION}embeddings.cls_token",
    "vision_model.embeddings.position_embedding": f"{_VISION}embeddings.position_embeddings",
    "vision_model.embeddings.patch_embedding.weight": f"{_VISION}embeddings.patch_embeddings.projection.weight",
    "vision_model.embeddings.patch_embedding.bias": f"{_VISION}embeddings.patch_embeddings.projection.bias",
}
_PROJECTOR = {"0": "layer_norm", "1": "linear_1", "3": "linear_2"}
_VISION_LAYER = {
    "ls1": "lambda_1",
    "ls2": "lambda_2",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.projection_layer",
    "attn.q_norm": "attention.q_norm",
    "attn.k_norm": "attention.k_norm",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_INTERNLM2 = {
    "language_model.model.tok_embeddings.weight": f"{_TEXT}embed_tokens.weight",
    "language_model.model.norm.weight": f"{_TEXT}norm.weight",
    "language_model.output.weight": _HEAD,
}
_INTERNLM2_LAYER = {
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}

# Buffers that older versions of the code saved; the native classes compute them from the configuration.
_COMPUTED = re.compile(r".*\.rotary_emb\.(inv_freq|cos_cached|sin_cached)|vision_model\.embeddings\.position_ids")
_LAYER = re.compile(r"(vision_model\.encoder|language_model\.model)\.layers\.(\d+)\.(.+?)(\.weight|\.bias|)")

Split = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Target:
    """Native place of one tensor: the names of its parts, and the function that takes it apart."""

    names: tuple[str, ...]
    split: Split


def target(name: str, internlm2: bool, heads: int, kv_heads: int) -> Target | None:
    """Return the native place of an original tensor.

    Args:
        name: name in the original layout, without PEFT's wrappers.
        internlm2: True if the text model is InternLM2, which has names of its own.
        heads: number of query heads of a text layer.
        kv_heads: number of key-value heads of a text layer.

    Returns:
        The place, or None if there is no such tensor in an InternVL model.
    """
    if name in _WHOLE:
        return _one(_WHOLE[name])
    if found := re.fullmatch(r"mlp1\.([013])\.(weight|bias)", name):
        return _one(f"model.multi_modal_projector.{_PROJECTOR[found[1]]}.{found[2]}")
    layer = _LAYER.fullmatch(name)
    if layer and layer[1] == "vision_model.encoder":
        return _vision_layer(layer)
    if internlm2:
        return _internlm2(name, layer, heads, kv_heads)
    if name == "language_model.lm_head.weight":
        return _one(_HEAD)
    prefix = "language_model.model."
    return _one(_TEXT + name.removeprefix(prefix)) if name.startswith(prefix) else None


def is_computed(name: str) -> bool:
    """Return True if the tensor is a buffer that the native model computes itself, so that it is left out."""
    return _COMPUTED.fullmatch(name) is not None


def split_qkv(fused: Tensor) -> tuple[Tensor, ...]:
    """Split a vision layer's fused projection, (3 * width, ...), into query, key and value rows."""
    return tuple(fused.chunk(3))


def split_wqkv(fused: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, ...]:
    """Split InternLM2's fused projection, ((heads + 2 * kv_heads) * head_dim, ...), into query, key and value rows.

    Its rows come by key-value head: the query heads that share it, then its key, then its value.
    """
    shared = heads // kv_heads
    grouped = fused.reshape(kv_heads, shared + 2, -1, *fused.shape[1:])
    parts = (grouped[:, :shared], grouped[:, shared : shared + 1], grouped[:, shared + 1 :])
    return tuple(part.flatten(0, 2) for part in parts)


def _one(name: str) -> Target:
    return Target((name,), lambda tensor: (tensor,))


def _vision_layer(layer: re.Match[str]) -> Target | None:
    _, number, part, kind = layer.groups()
    place = f"{_VISION}encoder.layer.{number}."
    if part == "attn.qkv":
        return Target(tuple(f"{place}attention.{letter}_proj{kind}" for letter in "qkv"), split_qkv)
    return _one(place + _VISION_LAYER[part] + kind) if part in _VISION_LAYER else None


def _internlm2(name: str, layer: re.Match[str] | None, heads: int, kv_heads: int) -> Target | None:
    if layer is None:
        return _one(_INTERNLM2[name]) if name in _INTERNLM2 else None
    _, number, part, kind = layer.groups()
    place = f"{_TEXT}layers.{number}."
    if part == "attention.wqkv":
        names = tuple(f"{place}self_attn.{letter}_proj{kind}" for letter in "qkv")
        return Target(names, lambda tensor: split_wqkv(tensor, heads, kv_heads))
    return _one(place + _INTERNLM2_LAYER[part] + kind) if part in _INTERNLM2_LAYER else None


def contiguous(tensor: Tensor) -> Tensor:
    """Copy the tensor to memory of its own, as safetensors needs it."""
    return tensor.clone(memory_format=torch.contiguous_format)
