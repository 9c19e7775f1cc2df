"""Writing a feature store: plan, write partitions, commit.

Any step may be killed and repeated. A partition counts only when its record exists, and the record is written after
the partition's shards are on the disk, so a reader never sees half a partition.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from vadprobe.store.clips import ClipTable
from vadprobe.store.digests import digest_file, digest_json
from vadprobe.store.durable import sync, write_json
from vadprobe.store.errors import StoreError
from vadprobe.store.group_creation import create_group
from vadprobe.store.group_files import (
    ATTRIBUTE,
    UNREADABLE,
    read_attributes,
    read_record,
    record_name,
    shard_bytes,
    shard_path,
    specification,
)
from vadprobe.store.layout import clips_of, records_of
from vadprobe.store.locking import remove_leftovers_of
from vadprobe.store.records import FeatureSpec
from vadprobe.store.schema import (
    ArraySpec,
    check_values,
    feature_arrays,
    n_partitions,
    partition_rows,
    storage_dtype,
)


@dataclass(frozen=True)
class PartitionData:
    """The features of one partition, rows in table order; a failed row is NaN throughout and named in ``failures``.

    ``hidden_states`` (n, layers + 1, hidden), ``head_outputs`` (n, layers, heads, head_dim) and ``answer_logits``
    (n, 2) have the storage dtype of the backbone's dtype. ``failures`` maps a row of the table to its reason.
    """

    hidden_states: np.ndarray
    head_outputs: np.ndarray
    answer_logits: np.ndarray
    failures: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def empty(spec: FeatureSpec, count: int) -> "PartitionData":
        """A partition of ``count`` rows that are all NaN, to be filled."""
        dtype = storage_dtype(spec.backbone.dtype)
        hidden, heads, answers = (
            np.full(array.rows(count), np.nan, dtype) for array in feature_arrays(spec.backbone, spec.n_clips)
        )
        return PartitionData(hidden, heads, answers)


def plan(path: Path, spec: FeatureSpec, clips: ClipTable) -> "StoreWriter":
    """Create the store at ``path`` (``.../<prompt>.zarr``), or open it when it was planned with the same specification.

    The clip table is written beside the backbone's folder when it is not there yet.

    Raises:
        StoreError: if something else is stored there; the message says which part of the specification differs.
    """
    if len(clips) == 0:
        raise StoreError(f"nothing to store at {path}: the clip table is empty, no video could be cut into clips.")
    if spec.clips_digest != clips.digest or spec.n_clips != len(clips):
        raise StoreError(
            f"the specification of {path} was made for another clip table "
            f"({spec.clips_digest[:12]}, {spec.n_clips} clips; the table has {clips.digest[:12]}, {len(clips)} clips)."
        )
    _check_clips(clips_of(path), clips)
    if path.exists():
        _check_same(path, spec)
    if not clips_of(path).exists():
        clips.write(clips_of(path))
    if not path.exists():
        create_group(path, spec, clips)
        _check_same(path, spec)  # another worker may have planned it in between
    return StoreWriter(path, spec, clips)


def _check_same(path: Path, spec: FeatureSpec) -> None:
    stored = specification(path, read_attributes(path))
    if stored.digest != spec.digest:
        raise StoreError(
            f"{path} already holds a store of another specification: "
            + "; ".join(stored.differences(spec))
            + ". Nothing was changed. Give the backbone another key, use another root, or remove that store."
        )


def _check_clips(path: Path, clips: ClipTable) -> None:
    if not path.exists():
        return
    stored = ClipTable.read(path)
    if stored.digest != clips.digest:
        raise StoreError(
            f"{path} holds another clip table ({len(stored)} clips of {len(stored.video_ids)} videos, "
            f"digest {stored.digest[:12]}; now {len(clips)} clips of {len(clips.video_ids)} videos, "
            f"digest {clips.digest[:12]}): videos were added, removed or re-encoded since. Nothing was changed. "
            "Use another dataset name or root, or restore the videos."
        )


def _check_read_back(shard: Path, node: zarr.Array[Any], rows: slice, values: np.ndarray) -> None:
    message = f"{shard} does not return what was written to it; check the disk."
    try:
        stored = np.asarray(node[rows])
    except UNREADABLE as error:
        raise StoreError(message) from error
    if stored.tobytes() != values.tobytes():
        raise StoreError(message)


@dataclass(frozen=True)
class StoreWriter:
    """A planned store, ready to take partitions."""

    path: Path
    spec: FeatureSpec
    clips: ClipTable

    @property
    def n_partitions(self) -> int:
        """Number of partitions of this store."""
        return n_partitions(len(self.clips))

    def is_written(self, partition: int) -> bool:
        """Whether the partition counts: it has a record of this specification, and shards of the recorded sizes.

        A record that was damaged or that outlived its store does not count, so the partition is written again.
        """
        try:
            record = read_record(self.path, partition)
        except StoreError:
            return False
        return (
            record is not None
            and record["spec_digest"] == self.spec.digest
            and all(
                shard_bytes(self.path, array, partition) == record["shards"][array.name]["bytes"]
                for array in feature_arrays(self.spec.backbone, self.spec.n_clips)
            )
        )

    def missing(self) -> list[int]:
        """Partitions that do not count yet, ascending."""
        return [partition for partition in range(self.n_partitions) if not self.is_written(partition)]

    def write_partition(self, partition: int, data: PartitionData) -> None:
        """Write all shards of a partition, sync them, read them back, then write the record.

        Raises:
            StoreError: if shapes, dtypes or values do not fit the specification, or the disk returns other bytes.
        """
        rows = partition_rows(partition, len(self.clips))
        arrays = feature_arrays(self.spec.backbone, self.spec.n_clips)
        self._check(rows, data, arrays)
        record = records_of(self.path) / record_name(partition)
        record.unlink(missing_ok=True)
        group = zarr.open_group(self.path, mode="r+", zarr_format=3)
        shards: dict[str, dict[str, str | int | None]] = {}
        for array in arrays:
            shard = shard_path(self.path, array, partition)
            shard.unlink(missing_ok=True)  # a damaged shard would be read before it is replaced
            if len(data.failures) == rows.stop - rows.start:
                # Zarr writes no shard that holds nothing but the fill value, NaN; reading it gives NaN all the same.
                shards[array.name] = {"sha256": None, "bytes": 0}
                continue
            node = group[array.name]
            assert isinstance(node, zarr.Array)
            values = getattr(data, array.name)
            node[rows] = values
            sync(shard)
            for folder in shard.relative_to(self.path).parents:  # the folders above it are new as well
                sync(self.path / folder)
            _check_read_back(shard, node, rows, values)
            shards[array.name] = {"sha256": digest_file(shard), "bytes": shard.stat().st_size}
        content = {
            "partition": partition,
            "rows": [rows.start, rows.stop],
            "rows_digest": self.clips.row_digest(rows),
            "spec_digest": self.spec.digest,
            "shards": shards,
            "failures": {str(row): reason for row, reason in sorted(data.failures.items())},
        }
        write_json(record, {**content, "digest": digest_json(content)})

    def _check(self, rows: slice, data: PartitionData, arrays: tuple[ArraySpec, ...]) -> None:
        count = rows.stop - rows.start
        stray = [row for row in data.failures if not rows.start <= row < rows.stop]
        if stray:
            raise StoreError(f"failures name rows {stray[:5]}, outside this partition's [{rows.start}, {rows.stop}).")
        good = np.ones(count, dtype=bool)
        good[[row - rows.start for row in data.failures]] = False
        for array in arrays:
            values = getattr(data, array.name)
            if values.shape != array.rows(count):
                raise StoreError(f"{array.name} has shape {values.shape}; the specification wants {array.rows(count)}.")
            check_values(array.name, values, self.spec.backbone.dtype)
            finite = np.isfinite(values.reshape(count, -1)).all(axis=1)
            if not finite[good].all():
                row = int(np.flatnonzero(good & ~finite)[0]) + rows.start
                raise StoreError(
                    f"{array.name} of row {row} ({self.clips.clip(row).video_id!r}) is not finite, and the row is not "
                    "named as failed. A float16 backbone may have overflowed: use bfloat16."
                )
            if not np.isnan(values[~good].reshape(-1)).all():
                raise StoreError(f"{array.name}: a row named as failed holds values; it must be NaN.")

    def commit(self) -> dict[int, str]:
        """Declare the store finished and return the failed rows with their reasons.

        Raises:
            StoreError: if a partition has no record; the message names how many and the first.
        """
        missing = self.missing()
        if missing:
            raise StoreError(
                f"{self.path} cannot be committed: {len(missing)} of {self.n_partitions} partitions are not written, "
                f"first {missing[0]}. Run 'vadprobe extract' again; it continues where it stopped."
            )
        failures: dict[int, str] = {}
        for partition in range(self.n_partitions):
            record = read_record(self.path, partition)
            assert record is not None
            failures.update({int(row): reason for row, reason in record["failures"].items()})
        before = read_attributes(self.path)
        after = {**before, "state": "committed", "n_failed": len(failures)}
        if before != after:
            group = zarr.open_group(self.path, mode="r+", zarr_format=3)
            group.attrs.update({ATTRIBUTE: after})
            sync(self.path / "zarr.json")
            sync(self.path)
        remove_leftovers_of(self.path)
        return failures
