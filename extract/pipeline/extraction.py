"""The extraction of a plan: its partitions through decoders, backbone and writer."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.families.pixels import Frames
from vadprobe.extract.model.backbone import Description, load
from vadprobe.extract.model.devices import choose_device
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.batch_size import DEFAULT_CLIPS, BatchSize
from vadprobe.extract.pipeline.batches import BatchRunner
from vadprobe.extract.pipeline.kept_timings import KeptTimings
from vadprobe.extract.pipeline.open_partition import ClipDone, OpenPartition, PartitionKey
from vadprobe.extract.pipeline.planning import ExtractionPlan
from vadprobe.extract.pipeline.stream import PartitionOutcome, PartitionStream
from vadprobe.extract.pipeline.timings import Timings
from vadprobe.extract.video.decode_pool import DecodePool
from vadprobe.store.claims.claim import Claim, Claims
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.format.schema import partition_rows

MOST_DECODERS = 4
"""Decoder processes beside a GPU; more than one only where cores are spare."""


@dataclass
class Extractor:
    """Computes and writes partitions of a plan. The weights are loaded when the first clip needs them."""

    dataset: Dataset
    plan: ExtractionPlan
    description: Description
    config: ExtractionConfig
    timings: Timings = field(default_factory=Timings, repr=False)
    _claims: dict[int, Claims] = field(default_factory=dict, repr=False)

    def pending(self) -> list[PartitionKey]:
        """Return the partitions that are left to do, ascending."""
        return [
            PartitionKey(position, partition)
            for position, sampling in enumerate(self.plan.samplings)
            for partition in sampling.pending()
        ]

    def is_pending(self, position: int, partition: int) -> bool:
        """Return True if at least one prompt lacks the partition."""
        return any(not writer.is_written(partition) for writer in self.plan.samplings[position].writers)

    def claims(self, position: int) -> Claims:
        """Return the claims of all workers on the partitions of one sampling."""
        if position not in self._claims:
            self._claims[position] = claims_in(self.plan.samplings[position].writers[0].path.parent)
        return self._claims[position]

    def n_rows(self, position: int, partition: int) -> int:
        """Count the clips in a partition."""
        rows = partition_rows(partition, len(self.plan.samplings[position].clips))
        return int(rows.stop - rows.start)

    @cached_property
    def forward(self) -> Forward:
        """Passes of the model, which is loaded by the first use."""
        config = self.config
        return Forward(load(self.description, config.device, config.threads, compiled=config.compile))

    @cached_property
    def _kept_timings(self) -> KeptTimings:
        return KeptTimings(self.timings)

    @cached_property
    def batch_size(self) -> BatchSize:
        """Clips per pass."""
        return BatchSize(self.config.batch_clips, choose_device(self.config.device))

    def stream(self, claimed: Iterable[tuple[PartitionKey, Claim]], clip_done: ClipDone) -> Iterator[PartitionOutcome]:
        """Compute partitions one after another; while one is computed, the next is decoded and the last one written.

        Args:
            claimed: partitions with the claims on them, asked for only when a decoder has nothing to do. A claim is
                released when its partition is done with.
            clip_done: called after each clip with whether its features were computed.

        Yields:
            Each partition once it is written, or lost to another worker.

        Raises:
            Exception: whatever stops the work. A partition that is being written is finished first, the others are
                given back; what was written stays.
        """
        batch_size = self.batch_size
        self.timings.start(batch_size.device)
        batches = BatchRunner(lambda: self.forward, batch_size, self.timings)
        stream = PartitionStream(self.dataset, self.plan, batches, self.timings, clip_done)
        for outcome in stream.run(claimed, self._start_decoders(batch_size)):
            self._keep_timings(outcome.key.position)
            yield outcome

    def _keep_timings(self, position: int) -> None:
        """Write the timings of a sampling beside its stores, if any of its clips has gone through the model."""
        if self.timings.passes_of(position):  # else the model may not even be loaded
            self._kept_timings.keep(position, self.plan.samplings[position], self.forward.backbone)

    def _start_decoders(self, batch_size: BatchSize) -> DecodePool[OpenPartition, Frames]:
        spare_cores = max(1, len(os.sched_getaffinity(0)) - 1)
        count = self.config.decoders or (1 if batch_size.device.type == "cpu" else min(MOST_DECODERS, spare_cores))
        return DecodePool(
            count,
            self.config.decode_deadline,
            self.description.family.resize,
            least=2 * (batch_size.size or DEFAULT_CLIPS),
            reader=self.config.reader,
        )

    def commit(self) -> list[dict[int, str]]:
        """Commit every store, as `ExtractionPlan.commit`."""
        return self.plan.commit()
