"""Inputs of Qwen3-VL: patches as in Qwen2.5-VL, but the time of every slice is written before it, as text.

So a clip's tokens depend on its duration: under one prompt, two clips may differ in tokens, and in their number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from vadprobe.extract.families.chat import expand
from vadprobe.extract.families.own_family import ClipInputs
from vadprobe.extract.families.pixels import Frames
from vadprobe.extract.families.qwen2_5_vl import Qwen25VL
from vadprobe.store.errors import VadprobeError

_LAYOUT = "transformers 5.23"
"""Version of transformers that lays out the video tokens this way: slices stand within the template's own pair of
vision markers. Earlier versions replaced the pair."""

_TIMES = "times"  # entry that prepare leaves for language_inputs; the model never sees it
_START, _END = "<|vision_start|>", "<|vision_end|>"
_STAMP = re.compile(r"<\d+\.\d seconds>(?=<\|vision_start\|>)")


@dataclass(frozen=True)
class Qwen3VL(Qwen25VL):
    """Family `qwen3_vl`. Frames are resized to one fixed size; a time stamp goes before each slice of two frames.

    A stamp is in seconds from the clip's start, so it does not tell where in its video the clip lies. Frame i of n
    stands for the middle of the i-th of n equal parts; a slice's time is the mean of its first and last frame's times.
    """

    name: ClassVar[str] = "qwen3_vl"

    def recipe(self) -> dict[str, Any]:
        """Return the recipe of Qwen2.5-VL, with the layout of the video tokens and the origin of the time stamps."""
        return {**super().recipe(), "video_layout": _LAYOUT, "time_stamps": "seconds from the clip's start"}

    def tokenize(self, prompt: str, frames_per_clip: int, before: str = "") -> Tensor:
        """Return token ids (1, tokens) with every stamp at 0.0; `language_inputs` writes each clip's own."""
        slices, rows, columns = self._grid(frames_per_clip)
        token = self.chat.tokenizer.convert_ids_to_tokens(self.video_token_id)
        part = f"{_stamp(0.0)}{_START}{token * (rows * columns // self.merge_size**2)}{_END}"
        return self.chat.ids(expand(self.chat.render(prompt, before), token, part * slices))

    def prepare(self, clips: Sequence[Frames], seconds: Sequence[float], device: torch.device) -> ClipInputs:
        """Return patches in the model's order, the grid of each clip, and the time of each slice."""
        inputs = super().prepare(clips, seconds, device)
        times = [self._times(len(clip), duration) for clip, duration in zip(clips, seconds, strict=True)]
        language = {
            "video_grid_thw": inputs.language["video_grid_thw"],
            _TIMES: torch.tensor(times, dtype=torch.float64),
        }
        return ClipInputs(inputs.count, inputs.vision, language)

    def language_inputs(self, ids: Tensor, inputs: ClipInputs) -> dict[str, Tensor]:
        """Return ids with each clip's time stamps, mask, token types and grid.

        Clips with shorter stamps (9.9 seconds beside 10.0) are padded on the left, so all end at the same token.

        Raises:
            VadprobeError: if the ids are not those of `tokenize` for clips of as many frames.
        """
        text = self.chat.tokenizer.decode(ids[0], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        rows = [self._stamped(text, times) for times in inputs.language[_TIMES].tolist()]
        longest = max(len(row) for row in rows)
        filler = self.chat.tokenizer.pad_token_id or 0  # masked: any token does
        stamped = torch.stack([pad(row, (longest - len(row), 0), value=filler) for row in rows]).to(ids.device)
        mask = torch.stack([pad(torch.ones_like(row), (longest - len(row), 0)) for row in rows]).to(ids.device)
        return {
            "input_ids": stamped,
            "attention_mask": mask,
            "mm_token_type_ids": self._token_types(stamped),
            "video_grid_thw": inputs.language["video_grid_thw"],
        }

    def _times(self, frames: int, duration: float) -> list[float]:
        """Return the seconds of each slice; an odd last frame is paired with itself."""
        pair = self.temporal_patch_size
        moments = [duration * (2 * frame + 1) / (2 * frames) for frame in range(frames)]
        moments += moments[-1:] * (-frames % pair)
        return [(moments[first] + moments[first + pair - 1]) / 2 for first in range(0, len(moments), pair)]

    def _stamped(self, text: str, times: Sequence[float]) -> Tensor:
        """Return token ids (tokens,), on the CPU, of a decoded conversation with these times."""
        count = len(_STAMP.findall(text))
        if count != len(times):
            raise VadprobeError(
                f"the prompt's tokens have {count} time stamps and the clip has {len(times)} slices of "
                f"{self.temporal_patch_size} frames; tokenize the prompt for clips of as many frames."
            )
        stamps = iter(times)
        return self.chat.ids(_STAMP.sub(lambda _: _stamp(next(stamps)), text))[0]


@dataclass(frozen=True)
class Qwen35(Qwen3VL):
    """Family `qwen3_5`: the inputs of Qwen3-VL, for a hybrid language model.

    Most of its blocks keep a state in place of keys and values, which cannot be cut back to the shared tokens, so each
    prompt is a pass of its own; the video is encoded once for all of them.
    """

    name: ClassVar[str] = "qwen3_5"
    can_share_prefix: ClassVar[bool] = False

    def shared_tokens(self, frames_per_clip: int, before: str = "") -> None:
        """Return None: no tokens run once for several prompts."""


def _stamp(seconds: float) -> str:
    return f"<{seconds:.1f} seconds>"
