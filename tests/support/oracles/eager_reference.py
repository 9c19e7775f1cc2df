"""A language model's forward pass written out from its architecture, head by head: the oracle of the capture.

Pre-norm blocks with RMSNorm, grouped-query attention with rotary positions and a gated MLP, as in Qwen2, Llama and the
text models of Qwen2.5-VL and Qwen3-VL; Qwen3 norms queries and keys, and adds visual features after its first blocks.
Weights are read from the model; its attention code and the project's capture code are not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ROUNDING = 6 * 256**0.5 * torch.finfo(torch.float32).eps / 2 * 7
"""Bound, 4e-5, on the difference of the tiny backbones' features between two orders of summation.

Shapes, kernels and threads change the order. A sum of n products is then off by about sqrt(n) eps / 2 of its size (here
at most 256 products), each of six blocks adds its own error, and values reach 7.
"""


@dataclass(frozen=True)
class EagerFeatures:
    """Features of the last token, or averaged over tokens.

    `hidden` is (clips, layers + 1, hidden), `heads` (clips, layers, heads, size).
    """

    hidden: Tensor
    heads: Tensor


@torch.no_grad()
def eager_features(
    model: Any, embeddings: Tensor, positions: Tensor, added: Sequence[Tensor] = (), shares: Tensor | None = None
) -> EagerFeatures:
    """Run every block.

    Args:
        model: a transformers model whose text model has the architecture above.
        embeddings: (clips, tokens, hidden), video features already in place.
        positions: (clips, tokens), or (3, clips, tokens) with time, height and width for m-rope.
        added: (clips, tokens, hidden) each, added to the output of the first block, the second, ...
        shares: (clips, tokens), weight of each token in the features; by default 1 for the last token.
    """
    if shares is None:
        shares = torch.zeros(embeddings.shape[:2])
        shares[:, -1] = 1
    decoder = model.get_decoder()
    config = decoder.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    angles = _angles(config, size, positions)
    state, hidden, heads = embeddings, [torch.einsum("ct,cth->ch", shares, embeddings)], []
    for number, block in enumerate(decoder.layers):
        attention = block.self_attn
        outputs = _attend(_norm(state, block.input_layernorm), attention, size, angles)  # (clips, heads, tokens, size)
        heads.append(torch.einsum("ct,cats->cas", shares, outputs))
        state = state + outputs.transpose(1, 2).flatten(2) @ attention.o_proj.weight.T
        inner = _norm(state, block.post_attention_layernorm)
        gate = inner @ block.mlp.gate_proj.weight.T
        state = (
            state + (gate * torch.sigmoid(gate) * (inner @ block.mlp.up_proj.weight.T)) @ block.mlp.down_proj.weight.T
        )
        hidden.append(torch.einsum("ct,cth->ch", shares, state))
        if number < len(added):
            state = state + added[number]
    return EagerFeatures(torch.stack(hidden, dim=1), torch.stack(heads, dim=1))


def _attend(inputs: Tensor, attention: Any, size: int, angles: Tensor) -> Tensor:
    """Attend causally, each query head alone; several query heads share a key and value head."""
    queries, keys = _project(inputs, attention.q_proj, size), _project(inputs, attention.k_proj, size)
    if hasattr(attention, "q_norm"):
        queries, keys = _norm(queries, attention.q_norm), _norm(keys, attention.k_norm)
    queries, keys = _rotate(queries, angles), _rotate(keys, angles)
    values = _project(inputs, attention.v_proj, size)
    tokens, shared = inputs.shape[1], queries.shape[1] // keys.shape[1]
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    outputs = []
    for head in range(queries.shape[1]):
        scores = queries[:, head] @ keys[:, head // shared].transpose(1, 2) / size**0.5
        outputs.append(torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1) @ values[:, head // shared])
    return torch.stack(outputs, dim=1)


def _project(inputs: Tensor, projection: Any, size: int) -> Tensor:
    """Project (clips, tokens, hidden) to (clips, heads, tokens, size)."""
    result = inputs @ projection.weight.T
    if projection.bias is not None:
        result = result + projection.bias
    return result.unflatten(-1, (-1, size)).transpose(1, 2)


def _angles(config: Any, size: int, positions: Tensor) -> Tensor:
    """Return angles (clips, tokens, size / 2): the position times the frequency of each pair of dimensions.

    With m-rope the pairs are dealt out to time, height and width: in three runs, or in turn while height and width
    have any left and the rest to time.
    """
    frequencies = config.rope_parameters["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    if positions.ndim == 2:
        return positions[..., None] * frequencies
    runs = config.rope_parameters["mrope_section"]
    axes = [axis for axis, run in enumerate(runs) for _ in range(run)]
    if config.rope_parameters.get("mrope_interleaved"):
        axes = [pair % 3 if pair // 3 < runs[pair % 3] else 0 for pair in range(len(frequencies))]
    return torch.stack([positions[axis] * frequency for axis, frequency in zip(axes, frequencies, strict=True)], dim=-1)


def _rotate(vectors: Tensor, angles: Tensor) -> Tensor:
    """Rotate dimension i of a head with dimension i + size / 2."""
    first, second = vectors.chunk(2, dim=-1)
    cosine, sine = angles[:, None].cos(), angles[:, None].sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _norm(state: Tensor, layer: Any) -> Tensor:
    return state * torch.rsqrt(state.square().mean(-1, keepdim=True) + layer.variance_epsilon) * layer.weight
