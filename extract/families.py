"""What differs between families of multimodal models: the token layout of a video and the vision tower's inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.pixels import Frames
from vadprobe.store.digests import digest_json
from vadprobe.store.durable import read_json
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class ClipInputs:
    """A batch of clips as the model takes it, the same for every prompt.

    ``vision`` goes to the vision tower, ``language`` to the language model together with the token ids.
    """

    count: int
    vision: Mapping[str, Tensor]
    language: Mapping[str, Tensor]


class Family(Protocol):
    """Inputs of one family of models."""

    @property
    def name(self) -> str:
        """The transformers model type."""
        ...

    def recipe(self) -> dict[str, Any]:
        """What decides the inputs, as JSON values: part of every store's specification."""
        ...

    def tokenize(self, prompt: str, frames_per_clip: int) -> Tensor:
        """Token ids (1, tokens) of a prompt about a clip of that many frames, video placeholders expanded."""
        ...

    def resize(self, frames: np.ndarray) -> Frames:
        """Do what can be done to one clip, (frames, height, width, 3) uint8, as soon as it is decoded."""
        ...

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Turn clips ``seconds`` long, as they were decoded or as ``resize`` left them, into model inputs."""
        ...

    def encode(self, model: Any, inputs: ClipInputs) -> dict[str, Any]:
        """Run the vision tower once; the result serves every prompt as ``mm_encoder_outputs``."""
        ...

    def language_inputs(self, ids: Tensor, inputs: ClipInputs) -> dict[str, Tensor]:
        """Everything the model takes beside the encoded video, for one prompt and every clip of the batch."""
        ...


@dataclass(frozen=True)
class ChatText:
    """A checkpoint's own chat template around one video and one prompt."""

    tokenizer: Any
    template: str

    @classmethod
    def load(cls, tokenizer: Any, folder: Path | None) -> "ChatText":
        """Take the tokenizer's template, or ``chat_template.json`` of an older checkpoint folder.

        Raises:
            VadprobeError: if the checkpoint has no chat template.
        """
        template = tokenizer.chat_template
        older = folder / "chat_template.json" if folder else None
        if template is None and older is not None and older.exists():
            template = read_json(older)["chat_template"]
        if not isinstance(template, str):
            raise VadprobeError(
                "the checkpoint has no chat template (chat_template.jinja, chat_template.json or an entry in "
                "tokenizer_config.json); without it the prompt's tokens would not be those the model was trained on."
            )
        return cls(tokenizer, template)

    @property
    def digest(self) -> str:
        """SHA-256 of the template."""
        return digest_json(self.template)

    def render(self, prompt: str) -> str:
        """The conversation of one user turn, a video before the prompt, up to where the answer begins.

        Raises:
            VadprobeError: if the prompt contains a special token of the model.
        """
        found = [token for token in self.tokenizer.get_added_vocab() if token in prompt]
        if found:
            raise VadprobeError(
                f"the prompt {prompt!r} contains {found[0]!r}, which the model reads as a control token; reword it."
            )
        content = [{"type": "video"}, {"type": "text", "text": prompt}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
        )
        return str(text)

    def ids(self, text: str) -> Tensor:
        """Token ids (1, tokens) int64 of a rendered text."""
        start = self.tokenizer.bos_token
        written = start is not None and text.startswith(start)  # a template may write the first token itself
        ids: Tensor = self.tokenizer(text, return_tensors="pt", add_special_tokens=not written)["input_ids"]
        return ids


def expand(text: str, placeholder: str, replacement: str) -> str:
    """Replace the one video placeholder of a rendered conversation.

    Raises:
        VadprobeError: if it is not there exactly once.
    """
    if text.count(placeholder) != 1:
        raise VadprobeError(
            f"the chat template writes the video placeholder {placeholder!r} {text.count(placeholder)} times; exactly "
            "once is wanted. Check the checkpoint's chat template, and that no prompt contains the placeholder."
        )
    return text.replace(placeholder, replacement)
