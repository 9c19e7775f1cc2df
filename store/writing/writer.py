"""Writing a feature store: plan, write partitions, commit.

Any step may be killed and repeated, and any number of workers may write at once. The holder of a partition's claim
writes its files into a private folder first and then moves them into place, the record last. A partition counts only
when its record exists, so a reader never sees half a partition.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

from vadprobe.store.claims.claim import Claim
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import ranges, size_text
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.partition_records import new_record, read_record, record_matcher, shard_bytes
from vadprobe.store.format.schema import compression
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.store_header import StoreHeader, read_attributes
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.writing.growth import grow, other_clips, other_specification, settle
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.publishing import publish, stage_record, stage_shards
from vadprobe.store.writing.store_changes import change_attributes, remove_leftovers_of
from vadprobe.store.writing.store_creation import create_group, create_remote_group


def plan(
    path: StorePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts = EVERYTHING, appends: bool = False
) -> "StoreWriter":
    """Create the store at `path`, or open it if it was planned with the same specification.

    The clip table is written beside the backbone's folder if it is not there yet.

    Args:
        path: the Zarr group, `.../<prompt>.zarr`.
        spec: the specification.
        clips: the clips that the rows stand for.
        contents: layers, heads and partitions that the store will hold.
        appends: extend a store and a clip table that have only the first of these clips.

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
    if appends:
        grow(path, spec, clips, contents)
    check_place(path, spec, clips, contents)
    if not clips_of(path).exists():
        with sole_planner(clips_of(path).parent):
            _check_clips(clips_of(path), clips)  # another worker may have written it in between
            if not clips_of(path).exists():
                clips.write(clips_of(path))
    if is_remote(path):
        create_remote_group(path, spec, clips, contents)
        _check_same(path, spec, contents)
    elif not path.exists():
        create_group(path, spec, clips, contents)
        _check_same(path, spec, contents)  # another worker may have planned it in between
    return StoreWriter(path, spec, clips, contents)


def check_place(path: StorePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> None:
    """Check that a place holds neither another store nor another clip table.

    Raises:
        StoreError: saying what differs.
    """
    _check_clips(clips_of(path), clips)
    if path.exists():
        _check_same(path, spec, contents)


def _check_same(path: StorePath, spec: FeatureSpec, contents: StoredParts) -> None:
    header = StoreHeader.read(path)
    differences = header.spec.differences(spec) or header.contents.differences(contents)
    if differences:
        raise other_specification(path, differences)


def _check_clips(path: StorePath, clips: ClipTable) -> None:
    if not path.exists():
        return
    stored = ClipTable.read(path)
    if stored.digest != clips.digest:
        raise other_clips(path, stored, clips)


@dataclass(frozen=True)
class StoreWriter:
    """A planned store, ready to take partitions."""

    path: StorePath
    spec: FeatureSpec
    clips: ClipTable
    contents: StoredParts = EVERYTHING

    @property
    def partitions(self) -> Sequence[int]:
        """Partitions that the store is to have, ascending."""
        return self.contents.partition_numbers(len(self.clips))

    @property
    def n_partitions(self) -> int:
        """Number of partitions of this store."""
        return len(self.partitions)

    def is_written(self, partition: int) -> bool:
        """Return whether a partition has a record of this specification, and shards of the recorded sizes.

        A record that was damaged or that outlived its store does not count, so the partition is written again.
        """
        try:
            record = read_record(self.path, partition)
        except StoreError:
            return False
        return (
            record is not None
            and record_matcher(self.spec, self.contents)(record)
            and all(
                shard_bytes(self.path, array, partition) == record["shards"][array.name]["bytes"]
                for array in self.contents.arrays(self.spec)
            )
        )

    def missing(self) -> list[int]:
        """Return the partitions that do not count yet, ascending."""
        return [partition for partition in self.partitions if not self.is_written(partition)]

    def write_partition(self, partition: int, data: PartitionData, claim: Claim | None = None) -> None:
        """Stage all shards of a partition, sync them, read them back, and move them into place, then the record.

        Args:
            partition: its number.
            data: its features.
            claim: the claim on the partition that the caller holds; by default one is taken for this call.

        Raises:
            StoreError: if shapes, dtypes or values do not fit the specification, the disk is full or returns other
                bytes, or another worker holds the partition.
            ClaimLostError: if another worker took the partition over meanwhile; the files of that worker are left
                alone.
        """
        rows = self.contents.rows(partition, len(self.clips))
        masks = {array.name: self.contents.mask(array, partition) for array in self.contents.arrays(self.spec)}
        data.check(self.spec, self.clips, rows, {name: mask for name, mask in masks.items() if mask.any()})
        with ThreadPoolExecutor(1) as pool:
            self.write_shards(partition, self._encoded(partition, data, pool), data.failures, claim, data.batch_clips)

    def write_shards(
        self,
        partition: int,
        shards: Iterable[tuple[str, Sequence[bytes]]],
        failures: Mapping[int, str],
        claim: Claim | None = None,
        batch_clips: Sequence[int] = (),
    ) -> int:
        """Write a partition whose shards are encoded already, as `write_partition` does; return their size in bytes.

        Args:
            partition: its number.
            shards: arrays by name with the bytes of their shard, in pieces; those that have no shard are left out.
            failures: rows that hold NaN, with the reason.
            claim: as for `write_partition`.
            batch_clips: as in `PartitionData`.
        """
        if partition not in self.partitions:
            raise StoreError(
                f"partition {partition} does not exist; {self.path} has partitions {ranges(self.partitions)}."
            )
        with nullcontext(claim) if claim else claims_in(self.path.parent).hold(partition) as held:
            try:
                staged = stage_shards(self.path, shards, held.staging)
                record = new_record(self.spec, self.clips, self.contents, partition, staged, failures, batch_clips)
                stage_record(self.path, record, held.staging)
                held.check()
                self._check_current()
                publish(self.path, self.contents.arrays(self.spec), partition, staged, held.staging)
                return sum(int(shard["bytes"]) for shard in staged.values())
            except (OSError, StoreError) as error:
                held.check()  # what was staged may be gone because the claim is
                if isinstance(error, StoreError):
                    raise
                left = 0 if is_remote(self.path) else shutil.disk_usage(self.path).free
                free = "" if is_remote(self.path) else f" ({size_text(left)} free there)"
                raise StoreError(
                    f"partition {partition} of {self.path} cannot be written: "
                    f"{error.strerror or error}{free}. The partition is not recorded; all earlier records "
                    "are kept. Correct this, then run the command again."
                ) from error

    def _encoded(
        self, partition: int, data: PartitionData, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[str, Sequence[bytes]]]:
        """Yield the shards of a partition; each is compressed while the one before it is written.

        For an array without a shard, every Zarr reader gives the fill value, NaN.
        """
        rows = self.contents.rows(partition, len(self.clips))
        if len(data.failures) == rows.stop - rows.start:
            return
        from vadprobe.store.writing.shard_writer import encode_shard  # noqa: PLC0415 - to plan needs no Blosc

        settings = compression(self.spec.backbone.dtype)
        encoded = {}
        for array in self.contents.arrays(self.spec):
            stored = self.contents.mask(array, partition)
            if stored.any():
                encoded[array.name] = pool.submit(encode_shard, array, getattr(data, array.name), stored, settings)
        for name in tuple(encoded):
            yield name, encoded.pop(name).result()

    def _check_current(self) -> None:
        """Refuse to write if clips were appended after this worker had planned; a store behind a URL never grows."""
        if not is_remote(self.path) and read_attributes(self.path)["digest"] != self.spec.digest:
            raise StoreError(
                f"clips were appended to {self.path} after this process had planned its work; run 'vadprobe extract' "
                "again, which continues with all of them."
            )

    def commit(self) -> dict[int, str]:
        """Declare the store finished and return the failed rows with their reasons.

        Any worker may do this, several at once, and repeatedly.

        Raises:
            StoreError: if partitions have no record; the message says how many and names the first.
        """
        missing = self.missing()
        if missing:
            raise StoreError(
                f"{self.path} cannot be committed: {len(missing)} of {self.n_partitions} partitions are not written, "
                f"first {missing[0]}. Run 'vadprobe extract' again; it continues where it stopped."
            )
        failures: dict[int, str] = {}
        for partition in self.partitions:
            record = read_record(self.path, partition)
            if record is None:
                raise StoreError(f"partition {partition} of {self.path} is being written again; commit later.")
            failures.update({int(row): reason for row, reason in record["failures"].items()})
        with sole_planner(self.path.parent):
            self._check_current()
            settle(self.path, self.partitions)
            change_attributes(self.path, {"state": "committed", "n_failed": len(failures)})
            remove_leftovers_of(self.path)
        claims_in(self.path.parent).tidy()
        return failures
