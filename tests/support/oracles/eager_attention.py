"""The heads of one attention block of Qwen3.5 or Gemma 4, written out from its architecture.

The block's input is taken from the library's report of a pass. Weights are read from the model; neither its attention
code nor the project's capture code is used.
"""

from typing import Any

import torch
from torch import Tensor

from tests.support.oracles.eager_reference import _angles, _rotate


@torch.no_grad()
def qwen3_5_heads(model: Any, number: int, state: Tensor, positions: Tensor) -> Tensor:
    """Attend in a block of Qwen3.5: part of every head is rotated, and a gate beside the query scales its output.

    Args:
        model: the model.
        number: number of the block.
        state: (clips, tokens, hidden), input of the block.
        positions: (3, clips, tokens), time, height and width.

    Returns:
        (clips, heads, size) at the last position.
    """
    decoder = model.get_decoder()
    block, size = decoder.layers[number], decoder.config.head_dim
    attention, inputs = block.self_attn, _norm(state, 1 + block.input_layernorm.weight)
    both = (inputs @ attention.q_proj.weight.T).unflatten(-1, (-1, 2 * size)).transpose(1, 2)
    queries, gates = both[..., :size], both[..., size:]
    keys, values = (_heads(inputs, projection, size) for projection in (attention.k_proj, attention.v_proj))
    turning = int(size * decoder.config.rope_parameters["partial_rotary_factor"])
    angles = _angles(decoder.config, turning, positions)
    turned = []
    for vectors, weight in ((queries, attention.q_norm.weight), (keys, attention.k_norm.weight)):
        normed = _norm(vectors, 1 + weight)
        turned.append(torch.cat([_rotate(normed[..., :turning], angles), normed[..., turning:]], dim=-1))
    return _attend(turned[0], turned[1], values, size**-0.5) * torch.sigmoid(gates[:, :, -1])


@torch.no_grad()
def gemma4_heads(model: Any, number: int, states: list[Tensor]) -> Tensor:
    """Attend in a block of Gemma 4: some blocks see only a window, and the last blocks take keys of an earlier one.

    Args:
        model: the model.
        number: number of the block.
        states: (clips, tokens, hidden) each, inputs of all blocks up to this one.

    Returns:
        (clips, heads, size) at the last position.
    """
    decoder = model.get_decoder()
    kinds, first_shared = decoder.config.layer_types, len(decoder.layers) - decoder.config.num_kv_shared_layers
    source = number if number < first_shared else max(n for n in range(first_shared) if kinds[n] == kinds[number])
    attention, keeper = decoder.layers[number].self_attn, decoder.layers[source].self_attn
    inputs, kept = (_norm(states[one], decoder.layers[one].input_layernorm.weight) for one in (number, source))
    size = attention.q_proj.out_features // decoder.config.num_attention_heads
    angles = torch.arange(inputs.shape[1])[None, :, None] * _gemma4_frequencies(decoder.config, kinds[number], size)
    queries = _rotate(_norm(_heads(inputs, attention.q_proj, size), attention.q_norm.weight), angles)
    keys = _rotate(_norm(_heads(kept, keeper.k_proj, size), keeper.k_norm.weight), angles)
    values = _norm(_heads(kept, keeper.v_proj, size), torch.ones(size))
    window = decoder.config.sliding_window if kinds[number] == "sliding_attention" else inputs.shape[1]
    return _attend(queries, keys[:, :, -window:], values[:, :, -window:], 1.0)


def _gemma4_frequencies(config: Any, kind: str, size: int) -> Tensor:
    """Return the rotation per token of each pair of dimensions; in wide heads only the first pairs rotate."""
    rope = config.rope_parameters[kind]
    frequencies = rope["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    turning = int(rope.get("partial_rotary_factor", 1.0) * size / 2)
    return torch.where(torch.arange(size // 2) < turning, frequencies, 0.0)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attend from the last position alone, each query head to the key head that it shares."""
    shared = queries.shape[1] // keys.shape[1]
    outputs = []
    for head in range(queries.shape[1]):
        scores = queries[:, head, -1:] @ keys[:, head // shared].transpose(1, 2) * scale
        outputs.append((torch.softmax(scores, dim=-1) @ values[:, head // shared])[:, 0])
    return torch.stack(outputs, dim=1)


def _heads(inputs: Tensor, projection: Any, size: int) -> Tensor:
    return (inputs @ projection.weight.T).unflatten(-1, (-1, size)).transpose(1, 2)


def _norm(state: Tensor, weight: Tensor) -> Tensor:
    return state * torch.rsqrt(state.square().mean(-1, keepdim=True) + 1e-6) * weight
