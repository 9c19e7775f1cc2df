"""The extraction loop: clips of a partition through the backbone, once per prompt, into the stores."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.backbone import Backbone, Description, load
from vadprobe.extract.capture import Captured, capture
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.decoding import Decoder
from vadprobe.extract.planning import ExtractionPlan, SamplingPlan
from vadprobe.extract.shared_prefix import capture_prompts, shared_tokens
from vadprobe.store.claiming import claims_in
from vadprobe.store.claims import Claim, Claims
from vadprobe.store.datasets import Dataset
from vadprobe.store.errors import VideoError
from vadprobe.store.partition_data import PartitionData
from vadprobe.store.schema import partition_rows
from vadprobe.store.writer import StoreWriter

ClipDone = Callable[[bool], None]
"""Called after each clip with whether its features were computed."""


@dataclass(frozen=True)
class DecodedClip:
    """A clip's frames, (frames, height, width, 3) uint8, or the reason why there are none."""

    row: int
    frames: np.ndarray | None
    reason: str = ""


@dataclass
class Extractor:
    """Computes and writes partitions of a plan. The weights are loaded when the first partition needs them."""

    dataset: Dataset
    plan: ExtractionPlan
    description: Description
    config: ExtractionConfig
    _backbone: Backbone | None = field(default=None, repr=False)
    _ids: dict[tuple[str, int], Tensor] = field(default_factory=dict, repr=False)
    _claims: dict[int, Claims] = field(default_factory=dict, repr=False)

    def pending(self) -> list[tuple[int, int]]:
        """What is left to do, as (position of the sampling plan, partition)."""
        return [
            (position, partition)
            for position, sampling in enumerate(self.plan.samplings)
            for partition in sampling.pending()
        ]

    def is_pending(self, position: int, partition: int) -> bool:
        """Whether at least one prompt lacks the partition."""
        return any(not writer.is_written(partition) for writer in self.plan.samplings[position].writers)

    def claims(self, position: int) -> Claims:
        """The claims of all workers on the partitions of one sampling."""
        if position not in self._claims:
            self._claims[position] = claims_in(self.plan.samplings[position].writers[0].path.parent)
        return self._claims[position]

    def run(
        self, position: int, partition: int, done: ClipDone | None = None, claim: Claim | None = None
    ) -> dict[int, str]:
        """Compute one partition for every prompt that lacks it and write it.

        Args:
            position: of the sampling plan.
            partition: its number.
            done: called after each clip.
            claim: the claim on the partition that the caller holds; by default one is taken for this call.

        Returns:
            Failed rows with their reasons; their features are NaN.

        Raises:
            StoreError: if another worker holds the partition; a :class:`ClaimLostError` if it was taken over meanwhile.
        """
        if not self.is_pending(position, partition):
            return {}
        with nullcontext(claim) if claim else self.claims(position).hold(partition) as held:
            return self._compute(position, partition, done, held)

    def _compute(self, position: int, partition: int, done: ClipDone | None, claim: Claim) -> dict[int, str]:
        sampling = self.plan.samplings[position]
        writers = [writer for writer in sampling.writers if not writer.is_written(partition)]
        if not writers:  # the worker that held it before has finished
            return {}
        rows = partition_rows(partition, len(sampling.clips))
        data = [PartitionData.empty(writer.spec, rows.stop - rows.start) for writer in writers]
        failures: dict[int, str] = {}
        n_layers = self.description.spec.n_layers
        depth = max(writer.contents.depth(n_layers, partition) for writer in writers)
        with Decoder(self.config.decode_deadline) as decoder:
            for batch in self._batches(sampling, rows, decoder, failures, done):
                for position_in_list, captured in enumerate(self._forward(sampling, batch, writers, depth)):
                    _keep(data[position_in_list], captured, [clip.row - rows.start for clip in batch])
                claim.check()  # computing on for nothing helps nobody
                for _ in batch:
                    if done:
                        done(True)
        for writer, features in zip(writers, data, strict=True):
            whole = PartitionData(features.hidden_states, features.head_outputs, features.answer_logits, failures)
            writer.write_partition(partition, whole, claim)
        return failures

    def n_rows(self, position: int, partition: int) -> int:
        """Clips in a partition."""
        rows = partition_rows(partition, len(self.plan.samplings[position].clips))
        return int(rows.stop - rows.start)

    def commit(self) -> list[dict[int, str]]:
        """Commit every store; returns, per sampling plan, the rows that failed for any prompt with their reasons."""
        result = []
        for sampling in self.plan.samplings:
            failures: dict[int, str] = {}
            for writer in sampling.writers:
                failures.update(writer.commit())
            result.append(failures)
        return result

    @property
    def backbone(self) -> Backbone:
        """The loaded model."""
        if self._backbone is None:
            self._backbone = load(
                self.description, self.config.device, self.config.threads, compiled=self.config.compile
            )
        return self._backbone

    def _batches(
        self,
        sampling: SamplingPlan,
        rows: slice,
        decoder: Decoder,
        failures: dict[int, str],
        done: ClipDone | None,
    ) -> Iterator[list[DecodedClip]]:
        """Readable clips in row order, ``batch_clips`` at a time: the same batches whenever a partition is redone."""
        batch: list[DecodedClip] = []
        for clip in ahead(self._decode(sampling, rows, decoder), 2 * self.config.batch_clips):
            if clip.frames is None:
                failures[clip.row] = clip.reason
                if done:
                    done(False)
                continue
            batch.append(clip)
            if len(batch) == self.config.batch_clips:
                yield batch
                batch = []
        if batch:
            yield batch

    def _decode(self, sampling: SamplingPlan, rows: slice, decoder: Decoder) -> Iterator[DecodedClip]:
        for row in range(rows.start, rows.stop):
            clip = sampling.clips.clip(row)
            path = self.dataset.folder / self.dataset.by_id[clip.video_id].path
            try:
                frames = decoder.read_clip(path, clip.frame_indices)
            except VideoError as error:
                yield DecodedClip(row, None, str(error))
            else:
                yield DecodedClip(row, frames)

    @torch.inference_mode()
    def _forward(
        self, sampling: SamplingPlan, batch: Sequence[DecodedClip], writers: Sequence[StoreWriter], depth: int
    ) -> Iterator[Captured]:
        """The features of a batch, one result per writer's prompt; the vision tower runs once for all of them.

        The language model runs ``depth`` blocks, as far as some writer keeps anything.
        """
        backbone, family = self.backbone, self.description.family
        frames = [clip.frames for clip in batch if clip.frames is not None]
        inputs = family.prepare(frames, [self._seconds(sampling, clip.row) for clip in batch], backbone.device)
        encoded = family.encode(backbone.model, inputs)
        answers = self.description.answer_ids
        taken = [family.language_inputs(self._prompt_ids(writer, backbone.device), inputs) for writer in writers]
        shared = [arguments for arguments, writer in zip(taken, writers, strict=True) if _shares(writer)]
        together: Iterator[Captured] = iter(())
        if shared:
            prefix = shared_tokens(family, sampling.sampling.frames_per_clip)
            # A family may write a clip's own times between its video tokens: whatever is added there is shared.
            longer = shared[0]["input_ids"].shape[1] - self._prompt_ids(_first(writers), backbone.device).shape[1]
            n_shared = 0 if prefix is None else len(prefix) + longer
            together = capture_prompts(backbone.model, backbone.parts, shared, dict(encoded), answers, n_shared, depth)
        for arguments, writer in zip(taken, writers, strict=True):
            if _shares(writer):
                yield next(together)
            else:
                alone: dict[str, Any] = {**arguments, "mm_encoder_outputs": dict(encoded)}
                yield capture(backbone.model, backbone.parts, alone, answers, None, depth)

    def _prompt_ids(self, writer: StoreWriter, device: torch.device) -> Tensor:
        key = (writer.spec.prompt.key, writer.spec.sampling.frames_per_clip)
        if key not in self._ids:
            self._ids[key] = self.description.family.tokenize(writer.spec.prompt.text, key[1]).to(device)
        return self._ids[key]

    def _seconds(self, sampling: SamplingPlan, row: int) -> float:
        clips = sampling.clips
        frames = int(clips.stop_frames[row] - clips.start_frames[row])
        return frames / float(clips.fps[clips.video_codes[row]])


def _first(writers: Sequence[StoreWriter]) -> StoreWriter:
    """The first store whose prompt runs behind the shared tokens."""
    return next(writer for writer in writers if _shares(writer))


def _shares(writer: StoreWriter) -> bool:
    """Whether a store's prompt runs behind the tokens that all prompts share."""
    return bool(writer.spec.recipe.get("prefix") == "shared")


def _keep(data: PartitionData, captured: Captured, positions: list[int]) -> None:
    """Copy a batch's features into the partition; bfloat16 widens to float32 exactly."""
    for name in ("hidden_states", "head_outputs", "answer_logits"):
        target: np.ndarray = getattr(data, name)
        value: Tensor | None = getattr(captured, name)
        if value is not None:
            kept = value.cpu().to(torch.from_numpy(target).dtype).numpy()
            target[positions, : kept.shape[1]] = kept


def ahead(clips: Iterator[DecodedClip], count: int) -> Iterator[DecodedClip]:
    """Decode up to ``count`` clips ahead in a thread, so that the model does not wait for the decoder."""
    waiting: queue.Queue[DecodedClip | BaseException | None] = queue.Queue(maxsize=count)
    stopped = threading.Event()

    def put(item: DecodedClip | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for clip in clips:
                if not put(clip):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 -- handed to the consumer, which raises it
            put(error)

    thread = threading.Thread(target=work, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join(timeout=5)
