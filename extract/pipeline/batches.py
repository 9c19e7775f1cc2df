"""Batches of decoded clips through the model, in halves where memory runs out."""

from collections import deque
from collections.abc import Callable, Sequence

import torch

from vadprobe.extract.model.capture import Captured
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.batch_size import BatchSize
from vadprobe.extract.pipeline.host_copies import HostCopies
from vadprobe.extract.pipeline.open_partition import Clip, OpenPartition
from vadprobe.extract.pipeline.timings import Timings


class BatchRunner:
    """Runs the waiting clips of partitions and puts their features into the partitions' arrays.

    Args:
        load_forward: returns the passes of the model; called when the first batch is full.
        batch_size: clips per pass.
        timings: counts the clips, and the seconds in the model.
    """

    def __init__(self, load_forward: Callable[[], Forward], batch_size: BatchSize, timings: Timings) -> None:
        self._load_forward, self._batch_size, self._timings = load_forward, batch_size, timings
        self._copies = HostCopies()

    def run_full(self, partition: OpenPartition) -> None:
        """Run the waiting clips if they are a batch, or the last of their partition.

        No batch reaches over two partitions, so a partition that is redone has the same batches again.

        Raises:
            VadprobeError: if memory runs out and the batch may not, or cannot, be halved.
        """
        if partition.waiting and (partition.n_left == 0 or len(partition.waiting) >= self._size(partition)):
            self._run(partition)

    def finish(self, partition: OpenPartition) -> None:
        """Wait until all features have arrived in their partitions, the last of them in this one."""
        with self._timings.spend("model", partition.kind):
            self._copies.finish()

    def _size(self, partition: OpenPartition) -> int:
        size = self._batch_size.size
        if size is None:
            with self._timings.spend("loading"):
                size = self._batch_size.measure(lambda count: self._features(partition, partition.waiting[:1] * count))
        return size

    def _run(self, partition: OpenPartition) -> None:
        with self._timings.spend("loading"):
            self._load_forward()
        left = deque([tuple(partition.waiting)])
        partition.waiting.clear()
        while left and partition.lost is None:
            batch, half = left.popleft(), 0
            with self._timings.spend("model", partition.kind):
                try:
                    captured = self._features(partition, batch)
                    self._copies.put(captured, partition.data, partition.positions(batch))
                except torch.OutOfMemoryError as error:
                    half = self._batch_size.shrink(len(batch), error)
            if half:  # outside the handler, whose traceback holds on to the tensors of the failed pass
                torch.cuda.empty_cache()
                left.extendleft((batch[half:], batch[:half]))
                continue
            self._timings.count(sum(map(partition.seconds, batch)), len(batch), partition.kind)
            partition.computed(batch)

    def _features(self, partition: OpenPartition, batch: Sequence[Clip]) -> list[Captured]:
        frames, seconds = [clip.frames for clip in batch], [partition.seconds(clip) for clip in batch]
        specs = [writer.spec for writer in partition.writers]
        return list(self._load_forward()(frames, seconds, specs, partition.n_blocks))
