"""A stream of partitions: one is decoded, one computed and one written at the same time."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from vadprobe.extract.families.pixels import Frames
from vadprobe.extract.pipeline.batches import BatchRunner
from vadprobe.extract.pipeline.open_partition import ClipDone, OpenPartition, PartitionKey
from vadprobe.extract.pipeline.planning import ExtractionPlan
from vadprobe.extract.pipeline.timings import Timings
from vadprobe.extract.video.decode_pool import DecodePool, Run
from vadprobe.store.claims.claim import Claim, ClaimLostError
from vadprobe.store.datasets.dataset import Dataset


@dataclass(frozen=True)
class PartitionOutcome:
    """End of a partition: its failed rows with their reasons, or the error if another worker took it over."""

    key: PartitionKey
    failures: dict[int, str]
    lost: ClaimLostError | None = None


class PartitionStream:
    """Decoders, the model in the caller's thread, and a thread that writes, for one run over partitions."""

    # The way of a clip: claimed partitions -> _runs -> decoders -> OpenPartition -> BatchRunner -> _write -> outcome.

    def __init__(
        self, dataset: Dataset, plan: ExtractionPlan, batches: BatchRunner, timings: Timings, clip_done: ClipDone
    ) -> None:
        self._dataset, self._plan, self._batches = dataset, plan, batches
        self._timings, self._clip_done = timings, clip_done
        self._claims: dict[PartitionKey, Claim] = {}
        self._outcomes: list[PartitionOutcome] = []
        self._writing: tuple[OpenPartition, Future[None]] | None = None

    def run(
        self, claimed: Iterable[tuple[PartitionKey, Claim]], decoders: DecodePool[OpenPartition, Frames]
    ) -> Iterator[PartitionOutcome]:
        """Compute and write claimed partitions; see `Extractor.stream`. Close `decoders` at the end."""
        with ExitStack() as stack:  # left from the last to the first, each also if one before has failed
            stack.callback(self._release_claims)
            writer = stack.enter_context(ThreadPoolExecutor(1, "write"))  # what is being written is finished
            stack.enter_context(decoders)
            clips = decoders.clips(self._runs(claimed))
            while True:
                with self._timings.spend("decoding") as spending:
                    clip = next(clips, None)
                    spending.kind = None if clip is None else clip.owner.kind
                if clip is None:
                    break
                partition = clip.owner
                partition.add(clip)
                self._batches.run_full(partition)
                if partition.n_left == 0:
                    self._write(partition, writer)
                yield from self._ended()
            self._finish_writing()
            yield from self._ended()

    def _runs(self, claimed: Iterable[tuple[PartitionKey, Claim]]) -> Iterator[Run[OpenPartition]]:
        """Yield the clips of claimed partitions, video by video."""
        for key, claim in claimed:
            self._claims[key] = claim
            sampling = self._plan.samplings[key.position]
            writers = [writer for writer in sampling.writers if not writer.is_written(key.partition)]
            if not writers:  # the worker that held it before has finished
                self._end(PartitionOutcome(key, {}))
                continue
            partition = OpenPartition(key, sampling, claim, writers, self._clip_done)
            for video_id, clips in partition.videos():
                path = self._dataset.folder / self._dataset.by_id[video_id].path
                yield Run(partition, path, clips, partition.is_wanted)

    def _write(self, partition: OpenPartition, writer: ThreadPoolExecutor) -> None:
        """Give a computed partition to the writer thread, which holds at most one: features take much memory."""
        self._batches.finish(partition)
        self._finish_writing()
        self._writing = partition, writer.submit(partition.write)

    def _finish_writing(self) -> None:
        if self._writing is None:
            return
        partition, written = self._writing
        with self._timings.spend("writing", partition.kind):
            written.result()
        self._writing = None
        self._end(PartitionOutcome(partition.key, partition.failures, partition.lost))

    def _end(self, outcome: PartitionOutcome) -> None:
        self._claims.pop(outcome.key).release()
        self._outcomes.append(outcome)

    def _ended(self) -> Iterator[PartitionOutcome]:
        """Yield the outcomes of partitions that have ended since the last call."""
        if self._writing is not None and self._writing[1].done():
            self._finish_writing()
        outcomes, self._outcomes = self._outcomes, []
        yield from outcomes

    def _release_claims(self) -> None:
        for claim in self._claims.values():
            claim.release()
