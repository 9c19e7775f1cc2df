"""Capturing every layer's hidden state and every head's output at the last prompt token.

That position generates the first token: what the methods call the first-token features.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class Captured:
    """Features of a batch, on the model's device and in its dtype.

    ``hidden_states`` (clips, layers + 1, hidden): the embedding, then each block's output before the final norm.
    ``head_outputs`` (clips, layers, heads, head_dim): what each head sends into the output projection.
    ``answer_logits`` (clips, 2): first-token logits of yes and no.

    Of a pass that ended after some blocks there are those layers alone, and no logits.
    """

    hidden_states: Tensor
    head_outputs: Tensor
    answer_logits: Tensor | None


@dataclass(frozen=True)
class TextBlocks:
    """The language model's blocks and their attention output projections."""

    blocks: tuple[nn.Module, ...]
    projections: tuple[nn.Module, ...]
    n_heads: int

    @classmethod
    def of(cls, model: Any) -> "TextBlocks":
        """Find them in a transformers model.

        Raises:
            VadprobeError: if the model's blocks do not look like attention blocks with an output projection.
        """
        decoder = model.get_decoder()
        decoder = decoder if hasattr(decoder, "layers") else getattr(decoder, "model", decoder)
        blocks = tuple(getattr(decoder, "layers", ()))
        found = [getattr(getattr(block, "self_attn", None), "o_proj", None) for block in blocks]
        projections = tuple(projection for projection in found if isinstance(projection, nn.Module))
        if not blocks or len(projections) != len(blocks):
            raise VadprobeError(
                f"cannot capture heads of {type(model).__name__}: its language model's blocks have no "
                f"'self_attn.o_proj' ({len(projections)} of {len(blocks)} have one). A model is wanted in which every "
                "block is an attention block with an output projection of that name, as in Qwen2, Qwen3, Llama, "
                "Mistral and Gemma."
            )
        return cls(blocks, projections, decoder.config.num_attention_heads)


@dataclass
class _Buffers:
    """What the hooks of one pass have seen, by layer."""

    hidden: dict[int, Tensor] = field(default_factory=dict)
    heads: dict[int, Tensor] = field(default_factory=dict)


class _EndOfPass(Exception):  # noqa: N818 - no error
    """The deepest wanted block has run."""


@contextmanager
def stop_after(parts: TextBlocks, depth: int) -> Iterator[None]:
    """End the forward pass inside after ``depth`` blocks, one at least; with all blocks, let it end by itself."""

    def end(module: nn.Module, args: Any, output: Any) -> None:
        raise _EndOfPass

    if depth >= len(parts.blocks):
        yield
        return
    handle = parts.blocks[depth - 1].register_forward_hook(end)
    try:
        yield
    except _EndOfPass:
        pass
    finally:
        handle.remove()


@contextmanager
def _hooks(parts: TextBlocks, buffers: _Buffers) -> Iterator[None]:
    """Hooks that keep a copy of the last position only: a view would keep the whole sequence in memory."""

    def keep_embedding(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        value = args[0] if args else kwargs["hidden_states"]
        buffers.hidden[0] = value[:, -1].clone()

    def keep_output(layer: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            buffers.hidden[layer] = value[:, -1].clone()

        return hook

    def keep_heads(block: int) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            buffers.heads[block] = args[0][:, -1].clone()

        return hook

    handles = [parts.blocks[0].register_forward_pre_hook(keep_embedding, with_kwargs=True)]
    for number, (block, projection) in enumerate(zip(parts.blocks, parts.projections, strict=True)):
        handles.append(block.register_forward_hook(keep_output(number + 1)))
        handles.append(projection.register_forward_pre_hook(keep_heads(number)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def capture(
    model: Any,
    parts: TextBlocks,
    inputs: dict[str, Any],
    answer_ids: tuple[int, int],
    cache: Any = None,
    depth: int | None = None,
    *,
    whole: bool = False,
) -> Captured:
    """Run the model once, without its language head on the sequence, and keep the last position of every layer.

    Args:
        model: a transformers image-text-to-text model in evaluation mode.
        parts: its blocks.
        inputs: keyword arguments of ``model.model``; every sequence ends at its last token (no right padding).
        answer_ids: token ids of yes and no.
        cache: keys and values of tokens that ran before these; it grows by these.
        depth: blocks to run; by default all, which the logits need.
        whole: run the whole model, which may scale or bound its logits; ``inputs`` are then those of the model itself.

    Raises:
        RuntimeError: if a layer did not pass through its hook, as under a compiled model whose hooks came too late.
    """
    buffers, output = _Buffers(), None
    layers = len(parts.blocks) if depth is None else depth
    with _hooks(parts, buffers), stop_after(parts, layers):
        output = _run_whole(model, inputs) if whole else _run(model, inputs, cache)
    if len(buffers.hidden) != layers + 1 or len(buffers.heads) != layers:
        raise RuntimeError(
            f"captured {len(buffers.hidden)} of {layers + 1} hidden states and the heads of {len(buffers.heads)} of "
            f"{layers} blocks; hooks must be registered before the model is compiled."
        )
    last = buffers.hidden[layers]
    heads = [buffers.heads[block].view(len(last), parts.n_heads, -1) for block in range(layers)]
    return Captured(
        hidden_states=torch.stack([buffers.hidden[layer] for layer in range(layers + 1)], dim=1),
        head_outputs=torch.stack(heads, dim=1),
        answer_logits=None if output is None else _answers(model, output, answer_ids),
    )


def _run(model: Any, inputs: dict[str, Any], cache: Any) -> Any:
    return model.model(**inputs, past_key_values=cache, use_cache=cache is not None)


def _run_whole(model: Any, inputs: dict[str, Any]) -> Any:
    """With the language head on the last position only, where the model has a choice."""
    last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    return model(**inputs, use_cache=False, **last)


def _answers(model: Any, output: Any, answer_ids: tuple[int, int]) -> Tensor:
    """Logits of the answers alone, (clips, 2)."""
    if hasattr(output, "logits"):
        logits: Tensor = output.logits[:, -1, list(answer_ids)]
        return logits
    last = output.last_hidden_state[:, -1]
    head, rows = model.get_output_embeddings(), list(answer_ids)
    bias = head.bias[rows] if getattr(head, "bias", None) is not None else None
    return nn.functional.linear(last, head.weight[rows], bias)
