"""Inputs of any other image-text-to-text model of transformers, made by the checkpoint's own AutoProcessor.

The slower way: the processor makes ids and pixels together, on the CPU, for every prompt anew, so nothing is shared
between prompts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import AutoProcessor
from transformers.utils import is_torchvision_available
from transformers.video_utils import VideoMetadata

from vadprobe.extract.families.family import Turns, refuse_control_tokens, render_turns
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json

Medium = Literal["video", "image"]
"""How frames are handed over: as one video, or each as an image."""

_BLANK = (112, 168)  # height and width of the frames a processor is tried with
_REFUSALS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ImportError, TemplateError)


@dataclass(frozen=True)
class ProcessorFamily:
    """A family without inputs of its own here. Clips are told apart only by their frames and their seconds.

    Args:
        name: the transformers model type.
        processor: the checkpoint's own.
        medium: a video where the processor and its chat template take one, else an image per frame.
        system: message of a system turn; None for what the chat template does by itself.
    """

    name: str
    processor: Any
    medium: Medium
    system: str | None = None

    @classmethod
    def load(cls, name: str, source: str, options: dict[str, Any], system: str | None) -> "ProcessorFamily":
        """Load the processor of a checkpoint.

        Args:
            name: the model type.
            source: folder or hub id.
            options: of ``from_pretrained``.
            system: as above.

        Raises:
            VadprobeError: if the processor needs a package that is missing, or its chat template takes neither a video
                nor an image, or no system message.
            OSError, ValueError: if there is no processor.
        """
        try:
            processor = AutoProcessor.from_pretrained(source, **options)
        except ImportError as error:
            raise VadprobeError(_not_installed(name, error)) from error
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

    def recipe(self) -> dict[str, Any]:
        """The processor's classes and what resizes for them, how frames are handed over, and the chat."""
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

    def resize(self, frames: np.ndarray) -> np.ndarray:
        """The frames as they are: the processor resizes."""
        return frames

    def check(self, prompt: str, frames_per_clip: int) -> None:
        """Try the processor on a blank clip.

        Raises:
            VadprobeError: if the prompt contains a special token of the model, or the processor refuses the clip.
        """
        refuse_control_tokens(self.processor.tokenizer, "prompt", prompt)
        clip = np.zeros((frames_per_clip, *_BLANK, 3), dtype=np.uint8)
        try:
            self._process(prompt, [clip], [1.0])
        except _REFUSALS as error:
            reason = " ".join(str(error).split())[:300]
            raise VadprobeError(
                f"{type(self.processor).__name__} of family {self.name!r} cannot prepare a clip of {frames_per_clip} "
                f"frames as {self.medium} for the prompt {prompt!r}: {type(error).__name__}: {reason}"
            ) from error

    def inputs(
        self,
        prompt: str,
        clips: Sequence[np.ndarray],
        seconds: Sequence[float],
        device: torch.device,
        dtype: torch.dtype,
    ) -> Iterator[dict[str, Any]]:
        """Keyword arguments of the model about every clip: of all together, or of one after another.

        Together where frames have one size and no sequence needs padding, so that the last position of every sequence
        is the prompt's last token.

        Args:
            prompt: the text.
            clips: (frames, height, width, 3) uint8 each.
            seconds: how long each clip is.
            device: where the model is.
            dtype: of the model, and so of the pixels.

        Raises:
            VadprobeError: if the processor pads a single clip.
        """
        together = self._process(prompt, clips, seconds) if self._may_batch(clips) else None
        if together is not None and _is_unpadded(together):
            yield _placed(together, device, dtype)
            return
        for clip, duration in zip(clips, seconds, strict=True):
            alone = self._process(prompt, [clip], [duration])
            if not _is_unpadded(alone):
                raise VadprobeError(
                    f"{type(self.processor).__name__} pads the tokens of a single clip, so the last position need not "
                    f"be the prompt's last token; checkpoints of family {self.name!r} cannot be read this way."
                )
            yield _placed(alone, device, dtype)

    def _may_batch(self, clips: Sequence[np.ndarray]) -> bool:
        same_size = len({clip.shape for clip in clips}) == 1
        return len(clips) == 1 or (same_size and self.processor.tokenizer.pad_token is not None)

    def _process(self, prompt: str, clips: Sequence[np.ndarray], seconds: Sequence[float]) -> dict[str, Any]:
        text = self._render(prompt, len(clips[0]))
        start = self.processor.tokenizer.bos_token
        written = start is not None and text.startswith(start)  # a template may write the first token itself
        settings: dict[str, Any] = {"add_special_tokens": False} if written else {}
        if self.medium == "video":
            # The processor infers nothing: every frame is taken, at the middle of its share of the clip's seconds.
            settings["videos"] = [[torch.from_numpy(clip).permute(0, 3, 1, 2)] for clip in clips]
            settings["video_metadata"] = [
                [_metadata(len(clip), duration)] for clip, duration in zip(clips, seconds, strict=True)
            ]
            settings["do_sample_frames"] = False
        else:
            settings["images"] = [list(clip) for clip in clips]
        if len(clips) > 1:
            settings["padding"] = True
        return dict(self.processor(text=[text] * len(clips), return_tensors="pt", **settings))

    def _render(self, prompt: str, frames: int) -> str:
        return self._render_parts([*self._places(frames), {"type": "text", "text": prompt}])

    def _places(self, frames: int) -> list[dict[str, Any]]:
        return [{"type": self.medium}] * (1 if self.medium == "video" else frames)

    def _render_parts(self, content: list[dict[str, Any]]) -> str:
        def apply(turns: Turns) -> str:
            return str(self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

        return render_turns(apply, content, self.system)

    def _has_place(self) -> bool:
        """Whether the chat template writes something for the medium."""
        text: dict[str, Any] = {"type": "text", "text": "A"}
        plain = ProcessorFamily(self.name, self.processor, self.medium)
        try:
            with_medium = plain._render_parts([*self._places(1), text])
            return with_medium != plain._render_parts([text]) and "A" in with_medium
        except _REFUSALS:
            return False


def slower_way(key: str, name: str) -> str:
    """What a user should know before the work begins, in a sentence."""
    return (
        f"Backbone {key!r} is of the family {name!r}, for which vadprobe has no inputs of its own: the checkpoint's "
        "processor prepares every clip on the CPU for each prompt anew, and each prompt is a pass of its own. This is "
        "slower than the families with own inputs."
    )


def _not_installed(name: str, error: ImportError) -> str:
    reason = " ".join(str(error).split())
    package = "torchvision, in the version that belongs to your torch" if "orchvision" in reason else "what it names"
    return (
        f"models of the family {name!r} are read through transformers' own processor, which cannot be loaded: "
        f"{reason[:200]} Install {package}."
    )


def _metadata(frames: int, seconds: float) -> VideoMetadata:
    """Frame i of n stands for the middle of the i-th of n equal parts of the clip; the grid is twice as fine."""
    indices = [2 * frame + 1 for frame in range(frames)]
    return VideoMetadata(
        total_num_frames=2 * frames, fps=2 * frames / seconds, frames_indices=indices, duration=seconds
    )


def _is_unpadded(inputs: dict[str, Any]) -> bool:
    mask = inputs.get("attention_mask")
    return mask is None or bool(torch.as_tensor(mask).all())


def _placed(inputs: dict[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """On the model's device; pixels in its dtype, as its vision tower takes them."""
    placed = {}
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            is_pixels = name.startswith("pixel") and value.is_floating_point()
            placed[name] = value.to(device, dtype if is_pixels else None)
        else:
            placed[name] = value
    return placed
