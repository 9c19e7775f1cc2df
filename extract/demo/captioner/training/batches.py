"""Batches of the pre-training: clips with several instructions and answers packed behind one video."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2Tokenizer

from vadprobe.extract.demo.captioner.clips import TrainingClip
from vadprobe.extract.demo.captioner.instructions import InstructionKind, ask
from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE
from vadprobe.extract.demo.tiny_models import MEAN, STD
from vadprobe.extract.families.chat import ChatText
from vadprobe.extract.families.pixels import PixelRecipe
from vadprobe.extract.families.qwen2_5_vl import Qwen25VL

IGNORED = -100
"""Target of a token whose prediction is not part of the loss."""

_PATCH, _TEMPORAL, _MERGE = 14, 2, 2
_TOKENS_PER_SECOND = 4  # of the time axis of positions, the class's default
_SHIFT = (5, 7)  # largest shift down and to the right, in pixels
_VIDEO_TOKEN = "<|video_pad|>"


@dataclass(frozen=True)
class Batch:
    """One batch, padded on the right to `length` tokens.

    Attributes:
        patches: input of the vision tower.
        grid: number of patches in time, height and width, (clips, 3).
        ids: tokens of the text model, (clips, length) int64.
        positions: positions in time, height and width, (3, clips, length) int64.
        mask: (clips, 1, length, length) bool, True where the token of a row attends to that of a column.
        targets: the token that follows, or `IGNORED`, (clips, length) int64.
        first: True where the target is the first token of an answer, (clips, length) bool.
        video: span of the video's tokens in a sequence, half-open.
        words: 1 for each of `FACT_WORDS` that applies to the clip, (clips, words) float32.
        where: 1 for each of `PLACED_WORDS` that applies to a token of the video, (clips, tokens, words) float32.
    """

    patches: Tensor
    grid: Tensor
    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    first: Tensor
    video: slice
    words: Tensor
    where: Tensor

    @property
    def size(self) -> int:
        """Number of clips."""
        return len(self.ids)


class Packer:
    """Builder of batches for one tokenizer."""

    def __init__(self, tokenizer: Qwen2Tokenizer) -> None:
        token = int(tokenizer.convert_tokens_to_ids(_VIDEO_TOKEN))
        pixels = PixelRecipe(*FRAME_SIZE, tuple(MEAN), tuple(STD))  # type: ignore[arg-type]
        self.family = Qwen25VL(ChatText(tokenizer, tokenizer.chat_template), pixels, _PATCH, _TEMPORAL, _MERGE, token)
        self._tokenizer, self._video_token = tokenizer, token
        self._known: dict[str, list[int]] = {}
        before, after = self.family.chat.render("PROMPT").split("PROMPT")
        head, middle = before.split(_VIDEO_TOKEN)
        self._head, self._middle, self._tail = self._ids(head), self._ids(middle), self._ids(after)
        self._end = self._ids("<|im_end|>")

    def pack(
        self,
        clips: Sequence[TrainingClip],
        rng: np.random.Generator,
        instructions: int,
        kind: InstructionKind | None = None,
        augment: bool = True,
    ) -> Batch:
        """Build a batch of clips with equal numbers of frames.

        Args:
            clips: what is shown.
            rng: source of instructions, wordings and changes of the pictures.
            instructions: number of instructions with answers behind each video.
            kind: kind of the instructions, or None for all kinds by their shares.
            augment: mirror, shift and tint the pictures.
        """
        pictures, places = _augmented(clips, rng) if augment else _as_they_are(clips)
        inputs = self.family.prepare(
            [torch.from_numpy(frames) for frames in pictures], [clip.seconds for clip in clips], torch.device("cpu")
        )
        grid, spans = inputs.vision["video_grid_thw"], inputs.language["second_per_grid_ts"]
        asked = [[ask(rng, clip.facts, kind) for _ in range(instructions)] for clip in clips]
        pairs = [[(self._ids(q) + self._tail, self._ids(a) + self._end) for q, a in row] for row in asked]
        words = torch.tensor([clip.facts.words() for clip in clips], dtype=torch.float32)
        where = torch.from_numpy(np.stack(places)).flatten(1, 3).float()
        return self._assembled(inputs.vision["pixel_values_videos"], grid, spans, pairs, words, where)

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = list(self._tokenizer(text)["input_ids"])
        return self._known[text]

    def _assembled(
        self,
        patches: Tensor,
        grid: Tensor,
        spans: Tensor,
        pairs: list[list[tuple[list[int], list[int]]]],
        words: Tensor,
        where: Tensor,
    ) -> Batch:
        """Lay out the video once for each clip, and behind it every question with its answer.

        A question with its answer attends to the video and to itself; the positions of each begin at the same number.
        """
        slices, rows, columns = (int(n) for n in grid[0])
        rows, columns = rows // _MERGE, columns // _MERGE
        prefix = self._head + [self._video_token] * (slices * rows * columns) + self._middle
        start, count = len(prefix), len(pairs)
        length = start + max(sum(len(q) + len(a) for q, a in row) for row in pairs)
        ids = torch.full((count, length), int(self._tokenizer.pad_token_id))
        part = torch.full((count, length), -1)
        positions = torch.zeros(3, count, length, dtype=torch.long)
        targets = torch.full((count, length), IGNORED)
        first = torch.zeros(count, length, dtype=torch.bool)
        ids[:, :start], part[:, :start] = torch.tensor(prefix), 0
        positions[:, :, :start] = self._prefix_positions(spans, slices, rows, columns)
        behind = int(positions[1, 0, start - 1]) + 1
        for index, row in enumerate(pairs):
            at = start
            for number, (question, answer) in enumerate(row):
                begin, end = at + len(question), at + len(question) + len(answer)
                ids[index, at:end] = torch.tensor(question + answer)
                part[index, at:end] = number + 1
                positions[:, index, at:end] = torch.arange(behind, behind + end - at)
                targets[index, begin - 1 : end - 1] = torch.tensor(answer)
                first[index, begin - 1] = True
                at = end
        sees = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
        mask = (torch.ones(length, length, dtype=torch.bool).tril() & sees)[:, None]
        video = slice(len(self._head), len(self._head) + slices * rows * columns)
        return Batch(patches, grid, ids, positions, mask, targets, first, video, words, where)

    def _prefix_positions(self, spans: Tensor, slices: int, rows: int, columns: int) -> Tensor:
        """Return positions (3, clips, tokens) up to the end of the video; those in time follow the seconds.

        Text after the video goes on behind the larger side of the picture, as in the model's own positions.
        """
        before, inside = len(self._head), slices * rows * columns
        after = before + max(rows, columns)
        result = torch.empty(3, len(spans), before + inside + len(self._middle), dtype=torch.long)
        result[:, :, :before] = torch.arange(before)
        result[:, :, before + inside :] = torch.arange(after, after + len(self._middle))
        times = (torch.arange(slices) * (_TOKENS_PER_SECOND * spans)[:, None]).long()
        video = result[:, :, before : before + inside]
        video[0] = before + times.repeat_interleave(rows * columns, 1)
        video[1] = before + torch.arange(rows).repeat_interleave(columns).repeat(slices)
        video[2] = before + torch.arange(columns).repeat(slices * rows)
        return result


def _as_they_are(clips: Sequence[TrainingClip]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [np.array(clip.frames) for clip in clips], [clip.places for clip in clips]


def _augmented(clips: Sequence[TrainingClip], rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return frames and places of clips, each mirrored or not, moved a little, with its own gain, tint and offset."""
    levels, height, width = np.arange(256.0), *FRAME_SIZE
    down, right = (int(rng.integers(-most, most + 1)) for most in _SHIFT)
    rows = np.clip(np.arange(height) + down, 0, height - 1)[:, np.newaxis]
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    result, places = [], []
    for clip in clips:
        mirrored = rng.random() < 0.5
        turned = columns[::-1] if mirrored else columns
        places.append(clip.places[:, :, ::-1] if mirrored else clip.places)
        frames = clip.frames[..., rows, turned]
        gain = rng.normal(1, 0.08) * rng.normal(1, 0.03, (3, 1))
        offset = rng.normal(0, 6) + rng.normal(0, 2, (3, 1))
        table = np.clip(levels * gain + offset, 0, 255).round().astype(np.uint8)
        for channel in range(3):
            frames[:, channel] = table[channel][frames[:, channel]]
        result.append(frames)
    return result, places
