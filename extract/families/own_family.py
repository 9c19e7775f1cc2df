"""Families whose inputs vadprobe makes by itself: a batch of clips is prepared and encoded once, for all prompts."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.families.chat import ChatText
from vadprobe.extract.families.family import Pass, PrefixMode
from vadprobe.extract.families.pixels import Frames, PixelRecipe
from vadprobe.store.format.specification import FeatureSpec

# The tokens that all of these have before them stand before every prompt.
_TRIAL_PROMPTS = ("A", "zebra?", "9 of them", "(yes)")


@dataclass(frozen=True)
class ClipInputs:
    """A batch of clips as the model takes it, the same for every prompt.

    `vision` goes to the vision tower, `language` to the language model together with the token ids.
    """

    count: int
    vision: Mapping[str, Tensor]
    language: Mapping[str, Tensor]


@dataclass(frozen=True)
class OwnFamily(ABC):
    """A family with inputs of its own: the vision tower runs once for a batch of clips, whatever the prompts are."""

    name: ClassVar[str]
    can_share_prefix: ClassVar[bool] = True
    chat: ChatText
    pixels: PixelRecipe

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer."""
        return self.chat.tokenizer

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """Return the sizes in pixels and tokens, and the chat, as JSON values."""

    @abstractmethod
    def tokenize(self, prompt: str, frames_per_clip: int, before: str = "") -> Tensor:
        """Return token ids (1, tokens) int64 of a prompt about a clip, its video placeholder expanded.

        `before` is a text before the video, if any.
        """

    @abstractmethod
    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Turn clips into model inputs.

        Args:
            clips: as they were decoded, or as `resize` left them, all with the same number of frames.
            seconds: duration of each clip.
            device: device of the inputs.
        """

    @abstractmethod
    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower; the result serves every prompt as `mm_encoder_outputs`."""

    def language_inputs(self, ids: Tensor, inputs: ClipInputs) -> dict[str, Tensor]:
        """Return all that the language model takes beside the encoded video, for one prompt and every clip."""
        ids = ids.expand(inputs.count, -1)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **inputs.language}

    def notes(self, key: str) -> tuple[str, ...]:
        """Return no sentences: these families run the fast way."""
        return ()

    def resize(self, frames: np.ndarray) -> Tensor:
        """Resize one clip, as `PixelRecipe.resize`."""
        return self.pixels.resize(frames)

    def shared_tokens(self, frames_per_clip: int, before: str = "") -> Tensor | None:
        """Return the tokens before a prompt's text, (tokens,) int64; prompts with the same `before` share them.

        None if there are no such tokens, or if the chat template puts a video token behind the prompt's text.
        """
        return _shared_tokens(self, frames_per_clip, before)

    def prefix_mode(self, prompt: str, frames_per_clip: int, before: str = "") -> PrefixMode:
        """Return "shared" if the prompt's tokens begin with the shared ones and go on behind them."""
        ids, prefix = _token_ids(self, prompt, frames_per_clip, before)[0], self.shared_tokens(frames_per_clip, before)
        shares = prefix is not None and len(ids) > len(prefix) and torch.equal(ids[: len(prefix)], prefix)
        return "shared" if shares else "independent"

    def passes(
        self,
        model: Any,
        device: torch.device,
        clips: Sequence[Any],
        seconds: Sequence[float],
        specs: Sequence[FeatureSpec],
    ) -> Iterator[tuple[Pass]]:
        """Yield one pass over all clips for each specification's prompt."""
        inputs = self.prepare(clips, seconds, device)
        encoded = self.encode(model, inputs)
        for spec in specs:
            frames, before = spec.sampling.frames_per_clip, spec.prompt.before
            ids = _token_ids(self, spec.prompt.text, frames, before)
            arguments = self.language_inputs(ids.to(device), inputs)
            prefix = self.shared_tokens(frames, before) if spec.recipe["prefix"] == "shared" else None
            # A family may write a clip's own times between its video tokens: whatever is added there is shared.
            added = arguments["input_ids"].shape[1] - ids.shape[1]
            n_shared = 0 if prefix is None else len(prefix) + added
            # The model takes entries out of this dictionary, so every pass has a copy.
            yield (Pass({**arguments, "mm_encoder_outputs": dict(encoded)}, n_shared),)


@cache
def _token_ids(family: OwnFamily, prompt: str, frames_per_clip: int, before: str) -> Tensor:
    """Return `tokenize` of a prompt, computed once for all batches: rendering and splitting take milliseconds."""
    return family.tokenize(prompt, frames_per_clip, before)


@cache
def _shared_tokens(family: OwnFamily, frames_per_clip: int, before: str) -> Tensor | None:
    ids, rest = _common(family, frames_per_clip, before)
    _, other = _common(family, frames_per_clip + 2, before)
    return ids if len(ids) and rest == other else None  # a longer clip must only lengthen what is shared


def _common(family: OwnFamily, frames_per_clip: int, before: str) -> tuple[Tensor, int]:
    """Return the longest common beginning of the trial prompts, and how many tokens the first one has behind it."""
    found = [family.tokenize(prompt, frames_per_clip, before)[0] for prompt in _TRIAL_PROMPTS]
    shortest = min(map(len, found)) - 1  # one token at least is the prompt's own
    stacked = torch.stack([ids[:shortest] for ids in found])
    differs = (stacked != stacked[0]).any(dim=0).nonzero()
    count = int(differs[0]) if len(differs) else shortest
    return found[0][:count], len(found[0]) - count
