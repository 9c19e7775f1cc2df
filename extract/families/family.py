"""Families of multimodal models: how each turns clips and a prompt into inputs of the model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from vadprobe.extract.families.pixels import Frames
from vadprobe.store.format.specification import FeatureSpec

PrefixMode = Literal["shared", "independent"]
"""Mode of the tokens before a prompt's text: they run once for all prompts of a clip, or once for each prompt."""


@dataclass(frozen=True)
class Pass:
    """Inputs of one run of a model about one prompt.

    Attributes:
        inputs: keyword arguments. Every sequence ends at the prompt's last token.
        n_shared: number of tokens at the beginning that all prompts about these clips have in common and that may
            run once for all of them; 0 for none.
        with_head: the whole model runs, its language head included; otherwise the model below the head (`.model`).
    """

    inputs: Mapping[str, Any]
    n_shared: int = 0
    with_head: bool = False


class Family(Protocol):
    """Inputs of one family of models."""

    @property
    def name(self) -> str:
        """Model type in transformers."""
        ...

    @property
    def can_share_prefix(self) -> bool:
        """True if prompts may share the tokens before their text, as far as the chat template allows it."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer."""
        ...

    def recipe(self) -> dict[str, Any]:
        """Return everything that decides the inputs, as JSON values: part of every store's specification."""
        ...

    def notes(self, key: str) -> tuple[str, ...]:
        """Return sentences for the user of the backbone `key`, to be said before the work begins."""
        ...

    def prefix_mode(self, prompt: str, frames_per_clip: int, before: str = "") -> PrefixMode:
        """Return how the tokens before the prompt's text can run, including those of a text before the video.

        Raises:
            VadprobeError: if the prompt, or a clip of that many frames, cannot be prepared.
        """
        ...

    def resize(self, frames: np.ndarray) -> Frames:
        """Prepare one clip, (frames, height, width, 3) uint8, as far as this can be done right after decoding."""
        ...

    def passes(
        self,
        model: Any,
        device: torch.device,
        clips: Sequence[Any],
        seconds: Sequence[float],
        specs: Sequence[FeatureSpec],
    ) -> Iterator[Iterable[Pass]]:
        """Yield, for each specification's prompt, the runs of the model that cover all clips in order.

        Args:
            model: the loaded model.
            device: device of its inputs.
            clips: as `resize` left them, all with the same number of frames.
            seconds: duration of each clip.
            specs: specifications of the stores; they differ in the prompt and in the mode of the prefix.

        Raises:
            VadprobeError: if the clips cannot be prepared.
        """
        ...
