"""The original InternVL model in plain torch, forward only, written after its public definition: a slow oracle.

Its modules are named so that `state_dict` has the names of the original checkpoints. InternVisionModel and the pixel
shuffle (version 2) are those of InternVL2 to InternVL3; the text model is InternLM2, or Llama/Qwen2 with their names.
Adapters are kept apart (W x + 2 B A x), as PEFT computes them, and never merged.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Config = Mapping[str, Any]


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


class VisionAttention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.qkv = nn.Linear(width, 3 * width, bias=config["qkv_bias"])
        self.proj = nn.Linear(width, width)
        if config["qk_normalization"]:
            self.q_norm = RMSNorm(width, config["layer_norm_eps"])
            self.k_norm = RMSNorm(width, config["layer_norm_eps"])
        self.normalise = config["qk_normalization"]

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.normalise:
            q = self.q_norm(q.transpose(1, 2).flatten(-2)).reshape(batch, length, self.heads, -1).transpose(1, 2)
            k = self.k_norm(k.transpose(1, 2).flatten(-2)).reshape(batch, length, self.heads, -1).transpose(1, 2)
        weights = (q * (width // self.heads) ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))


class VisionMLP(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config["hidden_size"], config["intermediate_size"])
        self.fc2 = nn.Linear(config["intermediate_size"], config["hidden_size"])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class VisionLayer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        kind = {"layer_norm": nn.LayerNorm, "rms_norm": RMSNorm}[config["norm_type"]]
        self.norm1, self.norm2 = kind(width, eps=eps), kind(width, eps=eps)
        self.attn, self.mlp = VisionAttention(config), VisionMLP(config)
        self.ls1, self.ls2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x)) * self.ls1
        return x + self.mlp(self.norm2(x)) * self.ls2


class VisionEmbeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        self.class_embedding = nn.Parameter(torch.randn(1, 1, width))
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.position_embedding = nn.Parameter(torch.randn(1, (config["image_size"] // patch) ** 2 + 1, width))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), -1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding


class Layers(nn.Module):
    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class VisionModel(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.encoder = Layers([VisionLayer(config) for _ in range(config["num_hidden_layers"])])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        states = [self.embeddings(pixels)]
        for layer in self.encoder.layers:
            states.append(layer(states[-1]))
        return states


def rotary(config: Config, head_dim: int, length: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (length, head_dim) with the scaling of `modeling_internlm2`."""
    base, positions = config["rope_theta"], torch.arange(length, dtype=torch.float32)
    scaling, most = config.get("rope_scaling"), config["max_position_embeddings"]
    if scaling and scaling["type"] == "dynamic" and length > most:
        factor = scaling["factor"]
        base = base * (factor * length / most - (factor - 1)) ** (head_dim / (head_dim - 2))
    if scaling and scaling["type"] == "linear":
        positions = positions / scaling["factor"]
    angles = torch.outer(positions, 1.0 / base ** (torch.arange(0, head_dim, 2).float() / head_dim))
    both = torch.cat([angles, angles], dim=-1)
    return both.cos(), both.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-right, left], dim=-1) * sines


def attend(q: Tensor, k: Tensor, v: Tensor, config: Config) -> Tensor:
    """Return causal attention of (batch, heads, length, head_dim), key-value heads repeated."""
    length, shared = q.shape[2], q.shape[1] // k.shape[1]
    cosines, sines = rotary(config, q.shape[-1], length)
    q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
    k, v = (x.repeat_interleave(shared, dim=1) for x in (k, v))
    later = torch.ones(length, length).triu(1).bool()
    scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(later, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class InternLM2Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width, heads, self.kv_heads = (
            config["hidden_size"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
        )
        self.config, self.shared, self.head_dim = config, heads // self.kv_heads, width // heads
        self.wqkv = nn.Linear(width, (heads + 2 * self.kv_heads) * self.head_dim, bias=config["bias"])
        self.wo = nn.Linear(width, width, bias=config["bias"])

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        grouped = self.wqkv(x).view(batch, length, self.kv_heads, self.shared + 2, self.head_dim)
        q = grouped[..., : self.shared, :].flatten(2, 3).transpose(1, 2)
        k, v = (grouped[..., place, :].transpose(1, 2) for place in (-2, -1))
        return self.wo(attend(q, k, v, self.config))


class LlamaAttention(nn.Module):
    """Attention of Llama, or of Qwen2, whose queries, keys and values have biases."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, self.heads, self.kv_heads = (
            config["hidden_size"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
        )
        self.config, self.head_dim = config, width // self.heads
        bias = config["architectures"] == ["Qwen2ForCausalLM"]
        self.q_proj = nn.Linear(width, width, bias=bias)
        self.k_proj, self.v_proj = (nn.Linear(width, self.kv_heads * self.head_dim, bias=bias) for _ in range(2))
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            projected.unflatten(-1, (heads, self.head_dim)).transpose(1, 2)
            for projected, heads in (
                (self.q_proj(x), self.heads),
                (self.k_proj(x), self.kv_heads),
                (self.v_proj(x), self.kv_heads),
            )
        ]
        return self.o_proj(attend(*parts, self.config))


class GatedMLP(nn.Module):
    """Gated MLP of Llama and of InternLM2, which name the gate, up and down projections differently."""

    def __init__(self, config: Config, names: Sequence[str]) -> None:
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.names = names
        for name, sizes in zip(names, ((width, inner), (width, inner), (inner, width)), strict=True):
            self.add_module(name, nn.Linear(*sizes, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        gate, up, down = map(self.get_submodule, self.names)
        return down(functional.silu(gate(x)) * up(x))


class TextLayer(nn.Module):
    """Attention and MLP, each behind a norm, under the names of a family."""

    def __init__(self, config: Config, internlm2: bool) -> None:
        super().__init__()
        attention = InternLM2Attention(config) if internlm2 else LlamaAttention(config)
        mlp = GatedMLP(config, ("w1", "w3", "w2") if internlm2 else ("gate_proj", "up_proj", "down_proj"))
        norms = [RMSNorm(config["hidden_size"], config["rms_norm_eps"]) for _ in range(2)]
        self.names = (
            ("attention", "feed_forward", "attention_norm", "ffn_norm")
            if internlm2
            else ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")
        )
        for name, part in zip(self.names, (attention, mlp, *norms), strict=True):
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        attention, mlp, first_norm, second_norm = map(self.get_submodule, self.names)
        x = x + attention(first_norm(x))
        return x + mlp(second_norm(x))


class TextModel(nn.Module):
    """A language model under the names of its family: embeddings, layers, norm, output."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        internlm2 = config["architectures"] == ["InternLM2ForCausalLM"]
        self.model = Layers([TextLayer(config, internlm2) for _ in range(config["num_hidden_layers"])])
        self.model.norm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self._embedding, self._head = ("tok_embeddings", "output") if internlm2 else ("embed_tokens", "lm_head")
        setattr(self.model, self._embedding, nn.Embedding(config["vocab_size"], config["hidden_size"]))
        setattr(self, self._head, nn.Linear(config["hidden_size"], config["vocab_size"], bias=False))

    def embed(self, ids: Tensor) -> Tensor:
        embedding: nn.Embedding = getattr(self.model, self._embedding)
        return embedding(ids)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        states = [x]
        for layer in self.model.layers:
            states.append(layer(states[-1]))
        return states, getattr(self, self._head)(self.model.norm(states[-1]))


class LoraLinear(nn.Module):
    """A layer with an adapter beside it, under PEFT's names."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base_layer, self.scale = layer, scale
        self.lora_A = nn.ModuleDict({"default": nn.Linear(layer.in_features, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, layer.out_features, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.scale * self.lora_B["default"](self.lora_A["default"](x))


class Wrapped(nn.Module):
    """PEFT's two wrappers around a model: `base_model.model`."""

    def __init__(self, model: nn.Module, suffixes: Sequence[str], rank: int, scale: float = 2.0) -> None:
        super().__init__()
        for name, layer in list(model.named_modules()):
            if name.endswith(tuple(suffixes)):
                assert isinstance(layer, nn.Linear)
                parent, _, last = name.rpartition(".")
                setattr(model.get_submodule(parent), last, LoraLinear(layer, rank, scale))
        self.base_model = nn.Module()
        self.base_model.model = model

    def forward(self, x: Tensor) -> Any:
        return self.base_model.model(x)

    def embed(self, ids: Tensor) -> Tensor:
        return self.base_model.model.embed(ids)


class OriginalInternVL(nn.Module):
    """The whole model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        vision, text = config["vision_config"], config["llm_config"]
        self.vision_model, self.language_model = VisionModel(vision), TextModel(text)
        inner = vision["hidden_size"] * int(1 / config["downsample_ratio"]) ** 2
        width = text["hidden_size"]
        self.mlp1 = nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, width), nn.GELU(), nn.Linear(width, width))

    def pixel_shuffle(self, x: Tensor) -> Tensor:
        """Turn (images, height, width, channels) into half the height and width and four times the channels."""
        images, rows, columns, channels = x.shape
        step = int(1 / self.config["downsample_ratio"])
        blocks = x.reshape(images, rows // step, step, columns // step, step, channels)
        return blocks.permute(0, 1, 3, 2, 4, 5).reshape(images, rows // step, columns // step, -1)

    def image_features(self, pixels: Tensor) -> Tensor:
        states = self.vision_model(pixels)[self.config["select_layer"]][:, 1:]
        side = math.isqrt(states.shape[1])
        shuffled = self.pixel_shuffle(states.unflatten(1, (side, side)))
        return self.mlp1(shuffled.flatten(1, 2))

    def forward(self, pixels: Tensor, ids: Tensor, image_token: int) -> tuple[list[Tensor], Tensor]:
        """Return hidden states, the embedding first and without the final norm, and logits."""
        x = self.language_model.embed(ids)
        x[ids == image_token] = self.image_features(pixels).flatten(0, 1)
        return self.language_model(x)
