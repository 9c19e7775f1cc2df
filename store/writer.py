"""Writing a feature store: plan, write partitions, commit.

Any step may be killed and repeated, and any number of workers may write at once. A partition is written into a private
folder first and then moved into place, its record last, by whoever holds its claim: a partition counts only when its
record exists, so a reader never sees half a partition.
"""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from vadprobe.store.claims import Claim, Claims
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
from vadprobe.store.locking import remove_leftovers_of, sole_planner
from vadprobe.store.partition_data import PartitionData
from vadprobe.store.records import FeatureSpec
from vadprobe.store.schema import (
    feature_arrays,
    n_partitions,
    partition_rows,
)


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
        with sole_planner(clips_of(path).parent):
            _check_clips(clips_of(path), clips)  # another worker may have written it in between
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

    def write_partition(self, partition: int, data: PartitionData, claim: Claim | None = None) -> None:
        """Write all shards of a partition aside, sync them, read them back, move them into place, then the record.

        Args:
            partition: its number.
            data: its features.
            claim: the claim on the partition that the caller holds; by default one is taken for this call.

        Raises:
            StoreError: if shapes, dtypes or values do not fit the specification, the disk is full or returns other
                bytes, or another worker holds the partition.
            ClaimLostError: if another worker took the partition over in between; what that one writes stays whole.
        """
        rows = partition_rows(partition, len(self.clips))
        data.check(self.spec, self.clips, rows)
        with nullcontext(claim) if claim else Claims(self.path.parent).hold(partition) as held:
            try:
                record = self._stage(partition, data, held.staging.path / self.path.stem)
                held.check()
                self._publish(partition, record, held)
            except (OSError, StoreError) as error:
                held.check()  # what was staged may be gone because the claim is
                if isinstance(error, StoreError):
                    raise
                raise StoreError(
                    f"partition {partition} of {self.path} cannot be written: {error.strerror or error} "
                    f"({shutil.disk_usage(self.path).free / 1e6:.1f} MB are free there). It is not recorded, all that "
                    "was recorded before stays; mend this and run 'vadprobe extract' again."
                ) from error

    def _stage(self, partition: int, data: PartitionData, staged: Path) -> Path:
        """Write shards and record below a private folder that is laid out like the store; returns the record."""
        rows = partition_rows(partition, len(self.clips))
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        shards: dict[str, dict[str, str | int | None]] = {}
        for array in feature_arrays(self.spec.backbone, self.spec.n_clips):
            if len(data.failures) == rows.stop - rows.start:
                # Zarr writes no shard that holds nothing but the fill value, NaN; reading it gives NaN all the same.
                shards[array.name] = {"sha256": None, "bytes": 0}
                continue
            (staged / array.name).mkdir()
            shutil.copyfile(self.path / array.name / "zarr.json", staged / array.name / "zarr.json")
            node = zarr.open_array(staged / array.name, mode="r+", zarr_format=3)
            values = getattr(data, array.name)
            node[rows] = values
            shard = shard_path(staged, array, partition)
            sync(shard)
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
        write_json(staged / record_name(partition), {**content, "digest": digest_json(content)})
        return staged / record_name(partition)

    def _publish(self, partition: int, staged_record: Path, claim: Claim) -> None:
        """Move staged files into place. Every step goes through the staging folder, which a taker removes first."""
        record = records_of(self.path) / record_name(partition)
        if record.exists():  # it must not stand beside shards that it does not name
            claim.staging.withdraw(record)
            sync(record.parent)
        for array in feature_arrays(self.spec.backbone, self.spec.n_clips):
            shard = shard_path(self.path, array, partition)
            staged = shard_path(staged_record.parent, array, partition)
            if not staged.parent.exists():  # every row failed
                claim.staging.withdraw(shard)
                continue
            claim.staging.publish(staged, shard)
            for folder in shard.relative_to(self.path).parents:  # the folders above it may be new as well
                sync(self.path / folder)
        claim.staging.publish(staged_record, record)
        sync(record.parent)

    def commit(self) -> dict[int, str]:
        """Declare the store finished and return the failed rows with their reasons.

        Any worker may do it, also several at once and again.

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
            if record is None:
                raise StoreError(f"partition {partition} of {self.path} is being written anew; commit again later.")
            failures.update({int(row): reason for row, reason in record["failures"].items()})
        with sole_planner(self.path.parent):
            before = read_attributes(self.path)
            after = {**before, "state": "committed", "n_failed": len(failures)}
            if before != after:
                group = zarr.open_group(self.path, mode="r+", zarr_format=3)
                group.attrs.update({ATTRIBUTE: after})
                sync(self.path / "zarr.json")
                sync(self.path)
            remove_leftovers_of(self.path)
        Claims(self.path.parent).tidy()
        return failures
