"""Copying stores, or chosen parts of them, between places: chunk by chunk, without decoding.

A copy is a store like any other. Every chunk is checked on its way, and every record before it is used. An interrupted
transfer keeps what it has copied, and the next call continues there.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vadprobe.store.datasets.probed_videos import read_video_facts, write_video_facts
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.specification import Head
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.progress import Progress
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.disk_space import require_space, require_writable, stored_bytes
from vadprobe.store.writing.shard_writer import join_chunks
from vadprobe.store.writing.timings.run_timings import copy_timings
from vadprobe.store.writing.writer import StoreWriter, plan


@dataclass(frozen=True)
class Choice:
    """Parts of a store to copy.

    Attributes:
        layers: layers to copy. None means all stored ones or, if heads are given, none.
        heads: heads to copy as (block, head). None means all stored ones or, if layers are given, none.
        videos: names of videos; None for all.
        splits: splits of videos, as they were when stage 1 probed them; None for all.
    """

    layers: tuple[int, ...] | None = None
    heads: tuple[Head, ...] | None = None
    videos: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None

    def contents(self, source: FeatureStore) -> StoredParts:
        """Return the contents of a copy of these parts. Partitions are copied whole, with rows of other videos.

        Raises:
            StoreError: if the store does not hold a part, or nothing is chosen.
        """
        held, spec = source.contents, source.spec
        rows = self._rows(source)
        partitions = np.unique(rows // held.partition_rows).tolist()
        missing = [number for number in partitions if number not in source.partitions]
        if missing and (self.videos is not None or self.splits is not None):
            raise StoreError(f"{source.path}: partition {missing[0]} is not in it; {held.describe()}.")
        partitions = [number for number in partitions if number in source.partitions]
        if not partitions:
            raise StoreError(f"{source.path}: no clip of the chosen videos is in it; nothing to copy.")
        layers: Iterable[int] | None = held.layers
        heads: Iterable[Head] | None = held.heads
        full = held.full_partitions
        if self.layers is not None or self.heads is not None:
            layers, heads, full = self.layers or (), self.heads or (), ()
            try:
                held.check("hidden_states", layers, partitions)
                held.check("head_outputs", heads, partitions)
            except StoreError as error:
                raise StoreError(f"{source.path}: {error}") from error
        answers, rows_each = held.answers, held.partition_rows
        return StoredParts.of(spec.backbone, spec.n_clips, layers, heads, answers, full, partitions, rows_each)

    def _rows(self, source: FeatureStore) -> np.ndarray:
        """Return the rows of the chosen videos."""
        if self.videos is None and self.splits is None:
            return np.arange(len(source.clips))
        known = set(source.clips.video_ids)
        wanted = set(known if self.videos is None else self.videos)
        unknown = sorted(wanted - known)
        if unknown:
            raise StoreError(
                f"{source.path} has no video {unknown[0]!r}"
                + (f" (nor {len(unknown) - 1} others that were named)" if len(unknown) > 1 else "")
                + f"; it has {len(known)}, for example {min(known)!r}."
            )
        if self.splits is not None:
            wanted &= _of_splits(source, self.splits)
        return source.clips.rows_of(wanted)


def _of_splits(source: FeatureStore, splits: Collection[str]) -> set[str]:
    """Return the videos that were in one of the splits when they were probed."""
    probes = read_video_facts(layout_below(source, source.path.parents[3]).videos)
    if not probes:
        raise StoreError(
            f"{source.path}: there is no videos.parquet above it, which names the split of each video; name the videos."
        )
    return {probe.video_id for probe in probes if probe.split in splits}


@dataclass(frozen=True)
class Transfer:
    """Result of copying a store.

    Attributes:
        writer: of the copy.
        n_copied: partitions copied now.
        n_before: partitions that were there before.
        n_bytes: bytes copied now.
        unwritten: partitions that the source does not have yet.
    """

    writer: StoreWriter
    n_copied: int
    n_before: int
    n_bytes: int
    unwritten: tuple[int, ...]


def transfer(source: FeatureStore, root: StorePath, choice: Choice, report: Progress | None = None) -> Transfer:
    """Copy a store, or a part of it, below another root; a second call continues where the first one stopped.

    The copy lies at the same place below `root`: `<dataset>/<sampling>/<backbone>/<prompt>.zarr`.

    Raises:
        StoreError: if the choice names what the store lacks, the disk cannot hold it, another store is in the way,
            another process is copying the same partition, or something that is read is damaged. What was copied stays.
    """
    writer = plan_copy(source, root, choice.contents(source))
    left = writer.missing()
    done = n_before = writer.n_partitions - len(left)
    n_bytes, unwritten = 0, []
    if report:
        report(done, writer.n_partitions)
    for partition in left:
        if partition in source.records:
            n_bytes += _copy_partition(source, writer, partition)
        else:
            unwritten.append(partition)
        done += 1
        if report:
            report(done, writer.n_partitions)
    if not unwritten:
        writer.commit()
    return Transfer(writer, len(left) - len(unwritten), n_before, n_bytes, tuple(unwritten))


def plan_copy(source: FeatureStore, root: StorePath, contents: StoredParts) -> StoreWriter:
    """Plan a copy of a store at the same place below another root, and copy its rows of `videos.parquet`.

    Raises:
        StoreError: if the copy would be the store itself, the disk cannot hold it, or another store is in the way.
    """
    require_writable(root)
    spec = source.spec
    layout = layout_below(source, root)
    path = layout.store(spec.sampling, spec.backbone.key, spec.prompt.key)
    if path == source.path:
        raise StoreError(f"{path} is the store itself; name another root.")
    require_space(root, 0 if path.exists() else stored_bytes(spec, contents, contents.partition_numbers(spec.n_clips)))
    writer = plan(path, spec, source.clips, contents)
    _copy_probes(source, layout)
    copy_timings(source.path.parent, path.parent)
    return writer


def _copy_partition(source: FeatureStore, writer: StoreWriter, partition: int) -> int:
    """Copy one partition; return the number of its bytes."""
    record = source.records[partition]
    failures = {int(row): reason for row, reason in record["failures"].items()}
    shards = _shards(source, writer.contents, partition)
    return writer.write_shards(partition, shards, failures, batch_clips=record.get("batch_clips", ()))


def _shards(source: FeatureStore, contents: StoredParts, partition: int) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Yield shards of the chosen chunks of the source's shards; if all are chosen, the bytes are the same."""
    for array in contents.arrays(source.spec):
        held = contents.mask(array, partition)
        if held.any() and source.records[partition]["shards"][array.name]["bytes"]:
            yield array.name, join_chunks(source.encoded(array, partition, np.flatnonzero(held).tolist()), held)


def _copy_probes(source: FeatureStore, layout: DatasetLayout) -> None:
    """Add the facts of a store's videos to `videos.parquet` of another root."""
    probes = read_video_facts(layout_below(source, source.path.parents[3]).videos)
    known = {probe.video_id: probe for probe in read_video_facts(layout.videos)}
    added = [probe for probe in probes if probe.video_id not in known]
    if added:
        write_video_facts([*known.values(), *added], layout.videos)


def layout_below(source: FeatureStore, root: StorePath) -> DatasetLayout:
    """Return the layout of a store's data set below a root."""
    return DatasetLayout(root, source.spec.dataset)
