"""Tokens of a pass whose values are kept: the last one, or for each position the tokens that are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import LAST_PROMPT, Position

_VISION_IDS = ("image_token_id", "video_token_id", "image_token_index", "video_token_index")
"""Names under which configurations keep the ids of the tokens that stand for frames."""


@dataclass(frozen=True)
class PositionTokens:
    """Tokens of one run of a model.

    Attributes:
        weights: (clips, positions, tokens) float32, 1 for a token of a position, else 0; None for the last token alone.
        counts: (clips, positions, 1) float32, tokens of each position in the whole sequence, of which this run may be
            a part; None with the last token alone.
    """

    weights: Tensor | None = None
    counts: Tensor | None = None

    @classmethod
    def of(cls, model: Any, ids: Tensor, positions: Sequence[Position]) -> "PositionTokens":
        """Find the tokens of positions.

        Args:
            model: a transformers image-text-to-text model, whose configuration names its vision tokens.
            ids: (clips, tokens) of the whole sequences, which may be padded on the left.
            positions: positions, in the order of the values.

        Raises:
            VadprobeError: if more than the last prompt token is asked for, and a sequence has no vision tokens.
        """
        if tuple(positions) == (LAST_PROMPT,):
            return LAST_TOKEN
        vision = _vision_tokens(model, ids)
        numbers = torch.arange(ids.shape[1], device=ids.device)
        last = (numbers * vision).amax(dim=1, keepdim=True)
        every = {
            "last-prompt": (numbers == len(numbers) - 1).expand_as(vision),
            "last-vision": numbers == last,
            "mean-vision": vision,
            "mean-prompt": numbers > last,
        }
        weights = torch.stack([every[position] for position in positions], dim=1).float()
        return cls(weights, weights.sum(dim=-1, keepdim=True))

    def part(self, start: int, stop: int | None) -> "PositionTokens":
        """Return the tokens of a run over a part of the sequence; the last token is the last of the run."""
        return self if self.weights is None else PositionTokens(self.weights[..., start:stop], self.counts)

    def take(self, value: Tensor) -> Tensor:
        """Return a copy of the values to keep of `value`, (clips, tokens, size).

        Returns:
            (clips, 1, size) in the same dtype, the last token's values; or (clips, positions, size) float32, for each
            position the sum over its tokens.
        """
        if self.weights is None:
            return value[:, -1:].clone()
        weights = self.weights.to(value.device)
        used = weights.any(dim=1)[..., None]  # values of padding, and of the first token, may be infinite or NaN
        return torch.bmm(weights, value.float().masked_fill(~used, 0.0))

    def finished(self, taken: Tensor, before: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return the values of each position: the means over its tokens, in `dtype`, or the last token's values.

        Args:
            taken: the result of `take` for this run.
            before: the result of `take` for the run over the tokens before; None if there was no such run.
            dtype: dtype of means.
        """
        if self.counts is None:
            return taken
        whole = taken if before is None else taken + before.to(taken.device)
        return (whole / self.counts.to(whole.device)).to(dtype)


LAST_TOKEN = PositionTokens()
"""The last token of a run, which is the last before the answer."""


def _vision_tokens(model: Any, ids: Tensor) -> Tensor:
    """Return (clips, tokens) bool: tokens that stand for frames."""
    known = {getattr(model.config, name, None) for name in _VISION_IDS} - {None}
    found = torch.isin(ids, torch.tensor(sorted(known), dtype=ids.dtype, device=ids.device))
    if not bool(found.any(dim=1).all()):
        raise VadprobeError(
            "the tokens that stand for frames cannot be identified in the inputs of "
            f"{type(model).__name__}; keep the position 'last-prompt'."
        )
    return found
