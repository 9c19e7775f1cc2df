"""Inputs of any other image-text-to-text model of transformers, made by the checkpoint's own AutoProcessor.

This is the slower way: the processor makes ids and pixels together, on the CPU, for every prompt anew, so nothing is
shared between prompts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers.utils import is_torchvision_available

from vadprobe.extract.families.chat import Turns, check_before, refuse_control_tokens, render_turns
from vadprobe.extract.families.family import Pass, PrefixMode
from vadprobe.extract.families.library import AutoProcessor, middle_frames, missing_package, one_line
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.specification import FeatureSpec

Medium = Literal["video", "image"]
"""Form in which the processor takes the frames: one video, or an image each."""

_BLANK = (112, 168)  # height and width of the frames with which a processor is tried
_REFUSALS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ImportError, TemplateError)


@dataclass(frozen=True)
class ProcessorFamily:
    """A family for which vadprobe has no inputs of its own.

    Args:
        name: model type in transformers.
        processor: the checkpoint's own processor.
        medium: "video" where the processor and its chat template take one, else "image", one per frame.
        system: message of a system turn; with None the chat template decides.
    """

    can_share_prefix: ClassVar[bool] = False
    name: str
    processor: Any
    medium: Medium
    system: str | None = None

    @classmethod
    def load(cls, name: str, source: str, options: dict[str, Any], system: str | None) -> "ProcessorFamily":
        """Load the processor of a checkpoint.

        Args:
            name: model type.
            source: folder or hub id.
            options: keyword arguments of `from_pretrained`.
            system: message of a system turn, or None.

        Raises:
            VadprobeError: if a package or a file of the processor is missing, or its chat template takes neither a
                video nor an image, or takes no system message.
            OSError, ValueError: if there is no processor.
        """
        try:
            processor = AutoProcessor.from_pretrained(source, **options)
        except ImportError as error:
            raise missing_package(name, error) from error
        if not callable(getattr(processor, "apply_chat_template", None)) or not hasattr(processor, "tokenizer"):
            raise VadprobeError(
                f"the checkpoint of family {name!r} has no processor for images and text, only a "
                f"{type(processor).__name__}; its processor's files are missing."
            )
        media: list[Medium] = ["image"] if getattr(processor, "video_processor", None) is None else ["video", "image"]
        families = (cls(name, processor, medium, system) for medium in media)
        found = next((family for family in families if family._has_place()), None)
        if found is None:
            raise VadprobeError(
                f"the chat template of the checkpoint of family {name!r} is missing, or has no place for a video or an "
                "image before the prompt."
            )
        if system is not None:
            refuse_control_tokens(processor.tokenizer, "system message", system)
            found._render("", 1)
        return found

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer."""
        return self.processor.tokenizer

    def recipe(self) -> dict[str, Any]:
        """Return the processor's classes, the library that resizes for them, the medium, and the chat."""
        makes_pixels = self.processor.video_processor if self.medium == "video" else self.processor.image_processor
        library = "torchvision" if is_torchvision_available() else "pillow"
        chat = self.processor.chat_template or self.processor.tokenizer.chat_template
        return {
            "inputs": "AutoProcessor",
            "processor": [type(self.processor).__name__, type(makes_pixels).__name__],
            "pixels": f"{library} {version(library)}",
            "frames_as": self.medium,
            "chat_template": digest_json(chat),
            **({} if self.system is None else {"system": self.system}),
        }

    def notes(self, key: str) -> tuple[str, ...]:
        """Return a sentence that warns of the slower way."""
        return (
            f"Backbone {key!r} is of the family {self.name!r}, for which vadprobe has no inputs of its "
            "own: the checkpoint's processor prepares every clip on the CPU, again for each prompt, and "
            "each prompt is a pass of its own. Families with inputs of vadprobe's own are faster.",
        )

    def resize(self, frames: np.ndarray) -> np.ndarray:
        """Return the frames as they are: the processor resizes."""
        return frames

    def prefix_mode(self, prompt: str, frames_per_clip: int, before: str = "") -> PrefixMode:
        """Try the processor on a blank clip; each prompt is a pass of its own.

        Raises:
            VadprobeError: if a text contains a special token of the model, the template puts no text before the video,
                or the processor refuses the clip.
        """
        refuse_control_tokens(self.processor.tokenizer, "prompt", prompt)
        refuse_control_tokens(self.processor.tokenizer, "text before the video", before)
        clip = np.zeros((frames_per_clip, *_BLANK, 3), dtype=np.uint8)
        try:
            self._process(prompt, [clip], [1.0], before)
        except _REFUSALS as error:
            raise VadprobeError(
                f"{type(self.processor).__name__} of family {self.name!r} cannot prepare a clip of {frames_per_clip} "
                f"frames as {self.medium} for the prompt {prompt!r}: {type(error).__name__}: {one_line(error)}"
            ) from error
        return "independent"

    def passes(
        self,
        model: Any,
        device: torch.device,
        clips: Sequence[Any],
        seconds: Sequence[float],
        specs: Sequence[FeatureSpec],
    ) -> Iterator[Iterator[Pass]]:
        """Yield the passes of each specification's prompt: one, or one for each clip."""
        for spec in specs:
            every = self.inputs(spec.prompt.text, clips, seconds, device, model.dtype, spec.prompt.before)
            yield (Pass(inputs, with_head=True) for inputs in every)

    def inputs(
        self,
        prompt: str,
        clips: Sequence[np.ndarray],
        seconds: Sequence[float],
        device: torch.device,
        dtype: torch.dtype,
        before: str = "",
    ) -> Iterator[dict[str, Any]]:
        """Yield keyword arguments of the model about all clips together, or about one clip after another.

        Clips go together if frames have one size and no sequence needs padding, so that the last position of every
        sequence is the prompt's last token.

        Args:
            prompt: the text.
            clips: (frames, height, width, 3) uint8 each.
            seconds: duration of each clip.
            device: device of the model.
            dtype: dtype of the model, and so of the pixels.
            before: the text before the frames, if any.

        Raises:
            VadprobeError: if the processor pads a single clip.
        """
        together = self._process(prompt, clips, seconds, before) if self._may_batch(clips) else None
        if together is not None and _is_unpadded(together):
            yield _placed(together, device, dtype)
            return
        for clip, duration in zip(clips, seconds, strict=True):
            alone = self._process(prompt, [clip], [duration], before)
            if not _is_unpadded(alone):
                raise VadprobeError(
                    f"{type(self.processor).__name__} pads the tokens of a single clip, so the last position need not "
                    f"be the prompt's last token; checkpoints of family {self.name!r} cannot be read this way."
                )
            yield _placed(alone, device, dtype)

    def _may_batch(self, clips: Sequence[np.ndarray]) -> bool:
        same_size = len({clip.shape for clip in clips}) == 1
        return len(clips) == 1 or (same_size and self.processor.tokenizer.pad_token is not None)

    def _process(
        self, prompt: str, clips: Sequence[np.ndarray], seconds: Sequence[float], before: str
    ) -> dict[str, Any]:
        text = self._render(prompt, len(clips[0]), before)
        start = self.processor.tokenizer.bos_token
        written = start is not None and text.startswith(start)  # a template may write the first token itself
        settings: dict[str, Any] = {"add_special_tokens": False} if written else {}
        if self.medium == "video":
            # The processor infers nothing: every frame is taken, at the middle of its part of the clip's seconds.
            settings["videos"] = [[torch.from_numpy(clip).permute(0, 3, 1, 2)] for clip in clips]
            settings["video_metadata"] = [
                [middle_frames(len(clip), duration)] for clip, duration in zip(clips, seconds, strict=True)
            ]
            settings["do_sample_frames"] = False
        else:
            settings["images"] = [list(clip) for clip in clips]
        if len(clips) > 1:
            settings["padding"] = True
        return dict(self.processor(text=[text] * len(clips), return_tensors="pt", **settings))

    def _render(self, prompt: str, frames: int, before: str = "") -> str:
        content = [*self._places(frames), {"type": "text", "text": prompt}]
        if not before:
            return self._render_parts(content)
        return check_before(self._render_parts([{"type": "text", "text": before}, *content]), before, prompt)

    def _places(self, frames: int) -> list[dict[str, Any]]:
        return [{"type": self.medium}] * (1 if self.medium == "video" else frames)

    def _render_parts(self, content: list[dict[str, Any]]) -> str:
        def apply(turns: Turns) -> str:
            return str(self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

        return render_turns(apply, content, self.system)

    def _has_place(self) -> bool:
        """Return True if the chat template writes something for the medium."""
        text: dict[str, Any] = {"type": "text", "text": "A"}
        plain = ProcessorFamily(self.name, self.processor, self.medium)
        try:
            with_medium = plain._render_parts([*self._places(1), text])
            return with_medium != plain._render_parts([text]) and "A" in with_medium
        except _REFUSALS:
            return False


def _is_unpadded(inputs: dict[str, Any]) -> bool:
    mask = inputs.get("attention_mask")
    return mask is None or bool(torch.as_tensor(mask).all())


def _placed(inputs: dict[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Move tensors to the model's device, and pixels to its dtype, as its vision tower takes them."""
    placed = {}
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            is_pixels = name.startswith("pixel") and value.is_floating_point()
            placed[name] = value.to(device, dtype if is_pixels else None)
        else:
            placed[name] = value
    return placed
