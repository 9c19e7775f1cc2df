"""The extraction: partitions of a plan through decoders, backbone and writer, all at work at the same time."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import TracebackType

import torch

from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.backbone import Backbone, Description, load
from vadprobe.extract.model.capture import Captured
from vadprobe.extract.model.devices import choose_device
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.batch_size import DEFAULT_CLIPS, BatchSize
from vadprobe.extract.pipeline.host_copies import Outgoing
from vadprobe.extract.pipeline.open_partition import ClipDone, OpenPartition
from vadprobe.extract.pipeline.planning import ExtractionPlan
from vadprobe.extract.pipeline.timings import Timings
from vadprobe.extract.video.decode_pool import DecodedClip, DecodePool, Run
from vadprobe.store.claims.claim import Claim, ClaimLostError, Claims
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.format.schema import partition_rows

PartitionKey = tuple[int, int]
"""Position of a sampling plan and a partition of it."""

MOST_DECODERS = 4


@dataclass(frozen=True)
class PartitionOutcome:
    """What became of a partition: its failed rows with their reasons, or that another worker took it over."""

    unit: PartitionKey
    failures: dict[int, str]
    lost: ClaimLostError | None = None


@dataclass
class Extractor:
    """Computes and writes partitions of a plan. The weights are loaded when the first clip needs them."""

    dataset: Dataset
    plan: ExtractionPlan
    description: Description
    config: ExtractionConfig
    timings: Timings = field(default_factory=Timings, repr=False)
    _forward: Forward | None = field(default=None, repr=False)
    _batch_size: BatchSize | None = field(default=None, repr=False)
    _claims: dict[int, Claims] = field(default_factory=dict, repr=False)

    def pending(self) -> list[PartitionKey]:
        """What is left to do."""
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

    def n_rows(self, position: int, partition: int) -> int:
        """Clips in a partition."""
        rows = partition_rows(partition, len(self.plan.samplings[position].clips))
        return int(rows.stop - rows.start)

    @property
    def backbone(self) -> Backbone:
        """The loaded model."""
        return self.forward.backbone

    @property
    def forward(self) -> Forward:
        """The passes of the loaded model."""
        if self._forward is None:
            config = self.config
            self._forward = Forward(load(self.description, config.device, config.threads, compiled=config.compile))
        return self._forward

    def use(self, backbone: Backbone) -> None:
        """Take a model that is loaded already; it must be of this description."""
        self._forward = Forward(backbone)

    @property
    def batch_size(self) -> BatchSize:
        """Clips per pass."""
        if self._batch_size is None:
            self._batch_size = BatchSize(self.config.batch_clips, choose_device(self.config.device))
        return self._batch_size

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
            StoreError: if another worker holds the partition; a ``ClaimLostError`` if it was taken over meanwhile.
        """
        if not self.is_pending(position, partition):
            return {}
        with nullcontext(claim) if claim else self.claims(position).hold(partition) as held:
            (outcome,) = self.stream([((position, partition), held)], done)
        if outcome.lost:
            raise outcome.lost
        return outcome.failures

    def stream(
        self, claimed: Iterable[tuple[PartitionKey, Claim]], done: ClipDone | None = None
    ) -> Iterator[PartitionOutcome]:
        """Compute partitions one after another; while one is computed, the next is decoded and the last one written.

        Args:
            claimed: partitions with the claims on them, asked for only when a decoder has nothing to do. A claim is
                released when its partition is done with.
            done: called after each clip with whether its features were computed.

        Yields:
            Each partition once it is written, or lost to another worker.

        Raises:
            Exception: whatever stops the work. A partition that is being written is finished first, the others are
                given back; what was written stays.
        """
        self.timings.start(self.batch_size.device)
        with _Pipeline(self, done or (lambda computed: None)) as pipeline:
            yield from pipeline.run(claimed)

    def commit(self) -> list[dict[int, str]]:
        """Commit every store; returns, per sampling plan, the rows that failed for any prompt with their reasons."""
        result = []
        for sampling in self.plan.samplings:
            failures: dict[int, str] = {}
            for writer in sampling.writers:
                failures.update(writer.commit())
            result.append(failures)
        return result


class _Pipeline:
    """One stream of partitions: decoders, the model in the caller's thread, and a thread that writes."""

    def __init__(self, extractor: Extractor, done: ClipDone) -> None:
        self._extractor, self._done = extractor, done
        self._claims: dict[PartitionKey, Claim] = {}
        self._outcomes: deque[PartitionOutcome] = deque()
        self._writing: tuple[OpenPartition, Future[None]] | None = None
        self._outgoing = Outgoing()

    def __enter__(self) -> "_Pipeline":
        config, batch_size = self._extractor.config, self._extractor.batch_size
        count = config.decoders or (1 if batch_size.device.type == "cpu" else min(MOST_DECODERS, _spare_cores()))
        least = 2 * (batch_size.size or DEFAULT_CLIPS)
        self._writer = ThreadPoolExecutor(1, "write")
        self._pool = DecodePool(count, config.decode_deadline, self._extractor.description.family.resize, least)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._pool.close()
            self._writer.shutdown()  # what is being written is finished: it is a matter of seconds
        finally:
            for claim in self._claims.values():
                claim.release()

    def run(self, claimed: Iterable[tuple[PartitionKey, Claim]]) -> Iterator[PartitionOutcome]:
        """As ``Extractor.stream``."""
        clips = self._pool.clips(self._runs(claimed))
        while (clip := self._next(clips)) is not None:
            partition: OpenPartition = clip.owner
            partition.add(clip)
            if partition.batch and self._is_full(partition):
                self._compute(partition)
            if partition.n_left == 0:
                self._hand_over(partition)
            yield from self._finished()
        self._wait_for_writer()
        yield from self._finished()

    def _runs(self, claimed: Iterable[tuple[PartitionKey, Claim]]) -> Iterator[Run]:
        """The clips of claimed partitions, video by video."""
        dataset = self._extractor.dataset
        for (position, partition), claim in claimed:
            self._claims[position, partition] = claim
            sampling = self._extractor.plan.samplings[position]
            writers = [writer for writer in sampling.writers if not writer.is_written(partition)]
            if not writers:  # the worker that held it before has finished
                self._close(PartitionOutcome((position, partition), {}))
                continue
            rows = partition_rows(partition, len(sampling.clips))
            found = OpenPartition(
                position, partition, sampling, claim, writers, rows, rows.stop - rows.start, self._done
            )
            for video_id, clips in found.videos():
                yield Run(dataset.folder / dataset.by_id[video_id].path, clips, found, found.is_wanted)

    def _next(self, clips: Iterator[DecodedClip]) -> DecodedClip | None:
        with self._extractor.timings.spend("decoding"):
            return next(clips, None)

    def _is_full(self, partition: OpenPartition) -> bool:
        """Whether the waiting clips are a batch. So the batches of a partition are the same whenever it is redone."""
        batch_size = self._extractor.batch_size
        size = batch_size.size
        if size is None:
            size = batch_size.measure(lambda count: self._pass(partition, partition.batch[:1] * count))
        return partition.n_left == 0 or len(partition.batch) >= size

    def _compute(self, partition: OpenPartition) -> None:
        timings, left = self._extractor.timings, deque([tuple(partition.batch)])
        partition.batch.clear()
        while left and partition.lost is None:
            batch, smaller = left.popleft(), 0
            with timings.spend("model"):
                try:
                    captured = self._pass(partition, batch)
                    self._outgoing.put(captured, partition.data, partition.positions(batch))
                except torch.OutOfMemoryError as error:
                    smaller = self._extractor.batch_size.shrink(len(batch), error)
            if smaller:
                torch.cuda.empty_cache()
                left.extendleft((batch[smaller:], batch[:smaller]))
                continue
            timings.count(sum(map(partition.seconds, batch)), len(batch))
            partition.computed(batch)

    def _pass(self, partition: OpenPartition, batch: Sequence[DecodedClip]) -> list[Captured]:
        frames, seconds = [clip.frames for clip in batch], [partition.seconds(clip) for clip in batch]
        specs = [writer.spec for writer in partition.writers]
        return list(self._extractor.forward(frames, seconds, specs, partition.depth))

    def _hand_over(self, partition: OpenPartition) -> None:
        """Give a computed partition to the writer, which has one at most: features take much memory."""
        with self._extractor.timings.spend("model"):
            self._outgoing.finish()
        self._wait_for_writer()
        self._writing = partition, self._writer.submit(partition.write)

    def _wait_for_writer(self) -> None:
        if self._writing is None:
            return
        partition, written = self._writing
        with self._extractor.timings.spend("writing"):
            written.result()
        self._writing = None
        self._close(PartitionOutcome((partition.position, partition.partition), partition.failures, partition.lost))

    def _close(self, outcome: PartitionOutcome) -> None:
        self._claims.pop(outcome.unit).release()
        self._outcomes.append(outcome)

    def _finished(self) -> Iterator[PartitionOutcome]:
        if self._writing is not None and self._writing[1].done():
            self._wait_for_writer()
        while self._outcomes:
            yield self._outcomes.popleft()


def _spare_cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) - 1)
