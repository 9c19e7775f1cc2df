"""Several prompts about one clip in one pass over its video: the tokens before the prompt's text run once.

These tokens are the same for every prompt, and nearly all of them are video. Their keys and values are kept; each
prompt's own tokens then run behind them, one prompt after another. So the features of a prompt depend on which tokens
are shared, but not on the other prompts or their number: a prompt can be added later.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.model.blocks.text_blocks import KeptTokens, TextBlocks
from vadprobe.extract.model.capture import LAST_WANTED, Captured, Wanted, capture_positions
from vadprobe.extract.model.chosen_parts import ChosenParts, capture_chosen
from vadprobe.extract.model.positions import PositionTokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import LAST_PROMPT, Position

_PER_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids")


class SharedPrefix:
    """The tokens at the beginning that all prompts about a batch of clips have in common, already run.

    Args:
        model: a transformers image-text-to-text model in evaluation mode.
        parts: its blocks.
        inputs: keyword arguments of `model.model` for one of the prompts and all clips of the batch.
        n_shared: number of tokens that all prompts have in common; no video token lies behind them.
        n_blocks: number of blocks to run; by default all.
        positions: all positions at which some prompt is read.
        chosen: layers or heads that are read; by default all.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: Any,
        parts: TextBlocks,
        inputs: Mapping[str, Any],
        n_shared: int,
        n_blocks: int | None = None,
        positions: Sequence[Position] = (LAST_PROMPT,),
        chosen: ChosenParts | None = None,
    ) -> None:
        self._model, self._parts, self._n_shared, self._n_blocks = model, parts, n_shared, n_blocks
        self._kept = KeptTokens(config=model.get_decoder().config)
        self._positions = token_positions(model, inputs)[..., :n_shared]
        self._read_at, self._seen = tuple(positions), None
        tokens = PositionTokens.of(model, inputs["input_ids"], positions).part(0, n_shared)
        layers, blocks = (None, None) if chosen is None else (chosen.layers, chosen.blocks)
        with ExitStack() as stack:
            if tokens.weights is not None:
                self._seen = stack.enter_context(parts.watch(layers, blocks, tokens))
            stack.enter_context(parts.stop_after(len(parts.blocks) if n_blocks is None else n_blocks))
            model.model(
                **{name: value[:, :n_shared] if name in _PER_TOKEN else value for name, value in inputs.items()},
                position_ids=self._positions,
                past_key_values=self._kept,
                use_cache=True,
            )

    @torch.inference_mode()
    def features(self, inputs: Mapping[str, Any], answer_ids: tuple[int, int]) -> Captured:
        """Run a prompt's own tokens behind the shared ones and return the features of its last token.

        They equal the features that `capture` gives of the prompt alone, up to rounding (at most 1e-5 in float32).

        Args:
            inputs: keyword arguments of `model.model` for the prompt and the same clips.
            answer_ids: token ids of yes and no.

        Raises:
            VadprobeError: if the shared tokens have other positions in this prompt.
        """
        (found,) = self.positions(inputs, answer_ids, (LAST_PROMPT,))
        return found

    @torch.inference_mode()
    def positions(
        self, inputs: Mapping[str, Any], answer_ids: tuple[int, int], positions: Sequence[Position]
    ) -> list[Captured]:
        """Return the features of a prompt at some positions; other arguments and errors as of `features`."""
        wanted = self._wanted(inputs, positions)
        with self._own_tokens(inputs) as own:
            return capture_positions(self._model, self._parts, own, answer_ids, self._kept, self._n_blocks, wanted)

    @torch.inference_mode()
    def chosen(self, inputs: Mapping[str, Any], parts: ChosenParts, position: Position = LAST_PROMPT) -> Tensor:
        """Return chosen layers or heads of a prompt, as `capture_chosen`; inputs and errors as of `features`."""
        wanted = self._wanted(inputs, (position,))
        with self._own_tokens(inputs) as own:
            return capture_chosen(self._model, self._parts, own, parts, self._kept, wanted)

    def _wanted(self, inputs: Mapping[str, Any], positions: Sequence[Position]) -> Wanted:
        """Return which of the prompt's own tokens are kept, with the values seen in the shared ones."""
        tokens = PositionTokens.of(self._model, inputs["input_ids"], positions).part(self._n_shared, None)
        if tokens.weights is None:
            return LAST_WANTED
        return Wanted(tokens, self._seen, [self._read_at.index(position) for position in positions])

    @contextmanager
    def _own_tokens(self, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the arguments of a prompt's own tokens; at the end remove their keys and values from the cache."""
        positions, n_shared = token_positions(self._model, inputs), self._n_shared
        if not torch.equal(positions[..., :n_shared], self._positions):
            raise VadprobeError(
                "prompts give the shared tokens different positions; set extraction.prefix to 'independent'."
            )
        own = {
            "input_ids": inputs["input_ids"][:, n_shared:],
            "attention_mask": inputs["attention_mask"],
            "position_ids": positions[..., n_shared:],
        }
        yield own
        for layer in self._kept.layers:
            if layer.is_initialized:  # those behind the last block that runs are not
                layer.crop(-own["input_ids"].shape[1])


def token_positions(model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """Return the positions of all tokens: the model's own where it has several axes, else 0, 1, 2, ..."""
    find = getattr(model.model, "get_rope_index", None)
    if find is None:
        ids = inputs["input_ids"]
        return torch.arange(ids.shape[1], device=ids.device).expand(len(ids), -1)
    known = inspect.signature(find).parameters
    positions, _ = find(**{name: value for name, value in inputs.items() if name in known})
    return torch.as_tensor(positions)
