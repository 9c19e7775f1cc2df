"""The blocks of a language model, with the hooks that watch them, and the keys and values they keep."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from vadprobe.extract.model.positions import LAST_TOKEN, PositionTokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import HeadShape


class KeptTokens(DynamicCache):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of the tokens that ran before, for every block.

    `TextBlocks` sets `turn` before each block. The model passes the block's number to `update` too; if that
    were used, code compiled for one block would not serve the others.
    """

    turn: Any = None

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Add keys and values to those that this turn's block has kept, and return them all."""
        return self.turn.update(key_states, value_states, *args, **kwargs)


_OFF, _LAST, _ALL = 0, 1, 2  # what a slot keeps


class _Slot:
    """Place where the hook of one output projection leaves its input, of the last token or of all tokens."""

    def __init__(self) -> None:
        self.keeps = _OFF
        self.value: Tensor | None = None


@dataclass
class Seen:
    """Values seen in one run of the blocks.

    Attributes:
        tokens: tokens whose values are kept.
        layers: layers whose hidden states are kept; None for all.
        hidden: (clips, positions, size) by layer, as `tokens.take` gives them.
        heads: (clips, positions, heads * width) by block; filled when the run is over.
        dtype: the model's own.
    """

    tokens: PositionTokens = LAST_TOKEN
    layers: Collection[int] | None = None
    hidden: dict[int, Tensor] = field(default_factory=dict)
    heads: dict[int, Tensor] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    def finish(self, before: "Seen | None", columns: Sequence[int] = ()) -> None:
        """Turn what was taken into the values of each position.

        Args:
            before: values seen in the run over the tokens before these; None if there was no such run.
            columns: places of this run's positions among the positions of `before`.
        """
        for name in ("hidden", "heads"):
            mine = getattr(self, name)
            theirs = {} if before is None else getattr(before, name)
            for number, taken in mine.items():
                earlier = theirs[number][:, list(columns)] if number in theirs else None
                mine[number] = self.tokens.finished(taken, earlier, self.dtype)


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
        self._seen: Seen | None = None
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
        """Return what entered the output projections in the layout of `Captured.head_outputs`.

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
        """End a forward pass inside after `n_blocks` blocks, from 1; with all of them, the pass runs to its end."""
        self._n_blocks = n_blocks
        try:
            yield
        except _EndOfPass:
            pass
        finally:
            self._n_blocks = len(self.blocks)

    @contextmanager
    def watch(
        self,
        layers: Collection[int] | None = None,
        blocks: Collection[int] | None = None,
        tokens: PositionTokens = LAST_TOKEN,
    ) -> Iterator[Seen]:
        """Store hidden states of `layers` and heads of `blocks` in a pass inside, at `tokens`; None stands for all."""
        seen = self._seen = Seen(tokens, layers)
        slots = {number: slot for number, slot in enumerate(self._slots) if slot is not None}
        keeps = _LAST if tokens.weights is None else _ALL
        for number, slot in slots.items():
            slot.keeps = keeps if blocks is None or number in blocks else _OFF
        try:
            yield seen
            seen.heads = {number: slot.value for number, slot in slots.items() if slot.value is not None}
        finally:
            self._seen = None
            for slot in slots.values():
                slot.keeps, slot.value = _OFF, None

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
        slot = self._slots[number]
        if self._seen is not None and slot is not None and slot.keeps == _ALL and slot.value is not None:
            slot.value = self._seen.tokens.take(slot.value)

    def _see(self, layer: int, value: Any) -> None:
        if self._seen is None:
            return
        self._seen.dtype = value.dtype
        if self._seen.layers is None or layer in self._seen.layers:
            self._seen.hidden[layer] = self._seen.tokens.take(value)


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
    """Store an output projection's input in the slot of its module, so that code compiled for one block serves all.

    The last token is copied, because a view would keep the whole sequence in memory. Other tokens are taken from the
    slot behind the block.
    """
    slot = module.heads_slot
    if slot.keeps == _LAST:
        slot.value = args[0][:, -1:].clone()
    elif slot.keeps == _ALL:
        slot.value = args[0]
