"""Capture of every layer's hidden state and every head's output at the last prompt token.

That position generates the first token, so the methods call these the first-token features.
"""

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import HeadShape


@dataclass(frozen=True)
class Captured:
    """Features of a batch, on the device of the last block that ran and in the model's dtype.

    A pass that ended early has the layers of the blocks that ran, and no logits.

    Attributes:
        hidden_states: (clips, layers + 1, hidden), the embedding, then each block's output before the final norm.
        head_outputs: (clips, layers, heads, head_dim), each head's output as it enters the output projection. Where
            blocks differ in their heads these are the most and the widest, and what a block does not have is 0.
        answer_logits: (clips, 2), first-token logits of yes and no.
    """

    hidden_states: Tensor
    head_outputs: Tensor
    answer_logits: Tensor | None


class KeptTokens(DynamicCache):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of the tokens that ran before, for every block.

    `TextBlocks` sets `turn` before each block. The model passes the block's number to `update` too; if that
    were used, code compiled for one block would not serve the others.
    """

    turn: Any = None

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Add keys and values to those that this turn's block has kept, and return them all."""
        return self.turn.update(key_states, value_states, *args, **kwargs)


class _Slot:
    """Place where the hook of one output projection leaves the last position of its input."""

    def __init__(self) -> None:
        self.on = False
        self.value: Tensor | None = None


@dataclass
class _Seen:
    """Values seen in one pass: hidden states of `layers`, None for all; and heads as soon as the pass is over."""

    layers: Collection[int] | None = None
    hidden: dict[int, Tensor] = field(default_factory=dict)
    heads: dict[int, Tensor] = field(default_factory=dict)


class _EndOfPass(Exception):  # noqa: N818 - no error
    """Raised when the last block that was asked for has run."""


class TextBlocks:
    """The language model's blocks and their attention output projections, with the hooks that watch them.

    Blocks without an attention of that kind, such as linear attention or a state space, have no heads.

    The hooks are registered here, once, and stay as long as the model: compiled code keeps the hooks of the moment it
    was compiled. Outside `capture` they store nothing.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], projections: Sequence[nn.Module | None], shapes: Sequence[HeadShape]
    ) -> None:
        self.blocks, self.projections, self.shapes = tuple(blocks), tuple(projections), tuple(shapes)
        self._n_blocks = len(self.blocks)
        self._seen: _Seen | None = None
        self._slots = tuple(None if projection is None else _slot_of(projection) for projection in projections)
        for number, block in enumerate(self.blocks):
            block.register_forward_pre_hook(partial(self._before, number), with_kwargs=True)
            block.register_forward_hook(partial(self._behind, number))

    @classmethod
    def of(cls, model: Any) -> "TextBlocks":
        """Find the blocks of a transformers model.

        Raises:
            VadprobeError: if the model's blocks do not look like attention blocks with an output projection.
        """
        decoder = model.get_decoder()
        decoder = decoder if hasattr(decoder, "layers") else getattr(decoder, "model", decoder)
        blocks = tuple(getattr(decoder, "layers", ()))
        if not blocks:
            raise VadprobeError(
                f"cannot capture the layers of {type(model).__name__}: its language model "
                f"({type(decoder).__name__}) has no list of blocks named 'layers'."
            )
        projections = [_projection_of(block) for block in blocks]
        n_heads = getattr(decoder.config, "num_attention_heads", 0)
        return cls(blocks, projections, [_shape_of(projection, n_heads) for projection in projections])

    def heads(self, seen: Mapping[int, Tensor], like: Tensor) -> Tensor:
        """Lay what entered the output projections side by side, as `Captured.head_outputs`.

        Args:
            seen: (clips, heads * width) by block.
            like: (clips, blocks + 1, hidden), the hidden states of the same pass.
        """
        n_heads, head_dim = map(max, zip(*self.shapes, strict=True))
        n_blocks = like.shape[1] - 1
        if len(set(self.shapes)) == 1 and n_heads:
            found = torch.stack([seen[block].to(like.device) for block in range(n_blocks)], dim=1)
            return found.view(*found.shape[:2], n_heads, head_dim)
        laid = like.new_zeros(len(like), n_blocks, n_heads, head_dim)
        for block, value in seen.items():
            heads, width = self.shapes[block]
            laid[:, block, :heads, :width] = value.to(like.device).view(len(value), heads, width)
        return laid

    @contextmanager
    def stop_after(self, n_blocks: int) -> Iterator[None]:
        """End the forward pass inside after `n_blocks` blocks, 1 or more; after all of them it goes on to its end."""
        self._n_blocks = n_blocks
        try:
            yield
        except _EndOfPass:
            pass
        finally:
            self._n_blocks = len(self.blocks)

    @contextmanager
    def watch(self, layers: Collection[int] | None = None, blocks: Collection[int] | None = None) -> Iterator[_Seen]:
        """Store the last position of hidden states of `layers`, and of the heads of `blocks`; None for all of them."""
        seen = self._seen = _Seen(layers)
        slots = {number: slot for number, slot in enumerate(self._slots) if slot is not None}
        for number, slot in slots.items():
            slot.on = blocks is None or number in blocks
        try:
            yield seen
            seen.heads = {number: slot.value for number, slot in slots.items() if slot.value is not None}
        finally:
            self._seen = None
            for slot in slots.values():
                slot.on, slot.value = False, None

    def _before(self, number: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if number == self._n_blocks:
            raise _EndOfPass
        cache = kwargs.get("past_key_values")
        if isinstance(cache, KeptTokens):
            cache.turn = cache.layers[number]
        if number == 0:
            self._see(0, args[0] if args else kwargs.get("hidden_states"))

    def _behind(self, number: int, module: nn.Module, args: Any, output: Any) -> None:
        self._see(number + 1, output[0] if isinstance(output, tuple) else output)

    def _see(self, layer: int, value: Any) -> None:
        if self._seen is not None and (self._seen.layers is None or layer in self._seen.layers):
            self._seen.hidden[layer] = _last_position(value)


_ATTENTIONS = ("self_attn", "attention", "attn", "mixer")


def _projection_of(block: nn.Module) -> nn.Module | None:
    """Return the output projection of a block's attention; None for a block of another kind."""
    for name in _ATTENTIONS:
        found = getattr(getattr(block, name, None), "o_proj", None)
        if isinstance(found, nn.Module):
            return found
    return None


def _shape_of(projection: Any, n_heads: int) -> HeadShape:
    """Return the number and width of the heads that enter an output projection."""
    return (n_heads, int(projection.in_features) // n_heads) if projection is not None and n_heads else (0, 0)


def _slot_of(projection: Any) -> _Slot:
    """Return the projection's slot; the first time, register its hook."""
    if not hasattr(projection, "heads_slot"):
        projection.heads_slot = _Slot()
        projection.register_forward_pre_hook(_keep_heads)
    slot: _Slot = projection.heads_slot
    return slot


def _keep_heads(module: Any, args: tuple[Any, ...]) -> None:
    """Store the input's last position, inside a compiled block: one code serves all, as the slot is the module's."""
    slot = module.heads_slot
    if slot.on:
        slot.value = _last_position(args[0])


def _last_position(value: Tensor) -> Tensor:
    """Copy the last position: a view would keep the whole sequence in memory."""
    return value[:, -1].clone()


@torch.inference_mode()
def capture(
    model: Any,
    parts: TextBlocks,
    inputs: Mapping[str, Any],
    answer_ids: tuple[int, int],
    cache: KeptTokens | None = None,
    n_blocks: int | None = None,
    *,
    with_head: bool = False,
) -> Captured:
    """Run the model once, without its language head on the sequence, and keep the last position of every layer.

    Args:
        model: a transformers image-text-to-text model in evaluation mode; it may be spread over several devices.
        parts: its blocks.
        inputs: keyword arguments of `model.model`; every sequence ends at its last token (no right padding).
        answer_ids: token ids of yes and no.
        cache: keys and values of tokens that ran before these; it grows by these.
        n_blocks: number of blocks to run; by default all, which the logits need.
        with_head: run the whole model, which may scale or bound its logits; `inputs` are then those of `model`.

    Raises:
        RuntimeError: if a layer did not pass through its hook, as when the model was compiled before its hooks came.
        VadprobeError: if a value is infinite or NaN, as when float16 overflows.
    """
    layers, output = len(parts.blocks) if n_blocks is None else n_blocks, None
    with parts.watch() as seen, parts.stop_after(layers):
        output = run_to_end(model, inputs, cache, with_head=with_head)
    wanted = sum(count > 0 for count, _ in parts.shapes[:layers])
    if len(seen.hidden) != layers + 1 or len(seen.heads) != wanted:
        raise RuntimeError(
            f"captured {len(seen.hidden)} of {layers + 1} hidden states and the heads of {len(seen.heads)} of "
            f"{wanted} blocks; hooks must be registered before the model is compiled."
        )
    device = seen.hidden[layers].device
    hidden = torch.stack([seen.hidden[layer].to(device) for layer in range(layers + 1)], dim=1)
    captured = Captured(
        hidden_states=hidden,
        head_outputs=parts.heads(seen.heads, hidden),
        answer_logits=None if output is None else _answers(model, output, answer_ids),
    )
    _require_finite(captured)
    return captured


def run_to_end(model: Any, inputs: Mapping[str, Any], cache: KeptTokens | None, *, with_head: bool) -> Any:
    """Run the model below its head; or the whole, its head on the last position only if the model has that choice."""
    if not with_head:
        return model.model(**inputs, past_key_values=cache, use_cache=cache is not None)
    last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    return model(**inputs, use_cache=False, **last)


def _answers(model: Any, output: Any, answer_ids: tuple[int, int]) -> Tensor:
    """Return the logits of the answers alone, (clips, 2)."""
    rows = list(answer_ids)
    if hasattr(output, "logits"):
        found: Tensor = output.logits[:, -1, rows]
        return found
    last, head = output.last_hidden_state[:, -1], model.get_output_embeddings()
    if head.weight.is_meta:  # kept elsewhere, and there only while the head runs
        offloaded: Tensor = head(last)[:, rows]
        return offloaded
    bias = head.bias[rows] if getattr(head, "bias", None) is not None else None
    return nn.functional.linear(last.to(head.weight.device), head.weight[rows], bias)


def _require_finite(captured: Captured) -> None:
    """Refuse values that no store may hold, before the rest of the partition is computed."""
    hidden, heads, logits = captured.hidden_states, captured.head_outputs, captured.answer_logits
    if bool(hidden.isfinite().all() & heads.isfinite().all()) and (logits is None or bool(logits.isfinite().all())):
        return
    layers = (~hidden.isfinite()).any(dim=(0, 2)).nonzero().flatten().tolist()
    where = f"the hidden state of layer {layers[0]}" if layers else "a head's output or an answer's logit"
    name = str(hidden.dtype).removeprefix("torch.")
    cure = (
        'float16 holds no number above 65504. Set dtype = "bfloat16" in section [backbone]'
        if hidden.dtype is torch.float16
        else "the weights may be damaged. Download the checkpoint again"
    )
    raise VadprobeError(f"{where} is infinite or NaN, computed in {name}: {cure}.")
