"""Writing a feature store: plan, write partitions, commit.

Any step may be killed and repeated, and any number of workers may write at once. A partition is written into a private
folder first and then moved into place, its record last, by whoever holds its claim: a partition counts only when its
record exists, so a reader never sees half a partition.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

from vadprobe.store.claims.claim import Claim, Staging
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import json_bytes, sync
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import ranges
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import read_record, record_matcher, record_name, shard_bytes, shard_path
from vadprobe.store.format.provenance import read_attributes, specification, stored_contents
from vadprobe.store.format.schema import compression
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.shard_writer import encode_shard
from vadprobe.store.writing.store_changes import change_attributes, create_remote_group
from vadprobe.store.writing.store_creation import create_group


def remove_leftovers_of(store: StorePath) -> None:
    """Delete what killed processes left half-written in a store; for the sole planner of its folder.

    Only planners write there: partitions are staged in a folder of their own, and moved into the store when they are
    whole. An object store has no half-written files.
    """
    if is_remote(store):
        return
    _remove(store.rglob("*.partial"))
    _remove(records_of(store).glob("*.partial"))
    _remove(store.parent.glob(f"{store.name}.*.partial"))


def _remove(partials: Iterable[StorePath]) -> None:
    for path in list(partials):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


RECORD = "json"
"""Ending of a staged record."""


def plan(path: StorePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts = EVERYTHING) -> "StoreWriter":
    """Create the store at ``path`` (``.../<prompt>.zarr``), or open it when it was planned with the same specification.

    ``contents`` says which layers, heads and partitions it is to hold. The clip table is written beside the backbone's
    folder when it is not there yet.

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
        _check_same(path, spec, contents)
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


def _check_same(path: StorePath, spec: FeatureSpec, contents: StoredParts) -> None:
    attributes = read_attributes(path)
    stored = specification(path, attributes)
    differences = stored.differences(spec) or stored_contents(path, attributes, stored).differences(contents)
    if differences:
        raise StoreError(
            f"{path} already holds a store of another specification: "
            + "; ".join(differences)
            + ". Nothing was changed. Give the backbone another key, use another root, or remove that store."
        )


def _check_clips(path: StorePath, clips: ClipTable) -> None:
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


def _sha256(pieces: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


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
        """Whether the partition counts: it has a record of this specification, and shards of the recorded sizes.

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
        """Partitions that do not count yet, ascending."""
        return [partition for partition in self.partitions if not self.is_written(partition)]

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
        rows = self.contents.rows(partition, len(self.clips))
        held = {array.name: self.contents.mask(array, partition) for array in self.contents.arrays(self.spec)}
        data.check(self.spec, self.clips, rows, {name: mask for name, mask in held.items() if mask.any()})
        with ThreadPoolExecutor(1) as pool:
            self.write_shards(partition, self._encoded(partition, data, pool), data.failures, claim, data.batch_clips)

    def write_shards(
        self,
        partition: int,
        shards: Iterable[tuple[str, Sequence[bytes]]],
        failures: Mapping[int, str],
        claim: Claim | None = None,
        batch_clips: Sequence[int] = (),
    ) -> None:
        """Write a partition whose shards are encoded already, as ``write_partition`` does.

        Args:
            partition: its number.
            shards: arrays by name with the bytes of their shard, in pieces; those that have no shard are left out.
            failures: rows that hold NaN, with the reason.
            claim: as for ``write_partition``.
            batch_clips: as in ``PartitionData``.
        """
        if partition not in self.partitions:
            raise StoreError(f"{self.path} is to have partitions {ranges(self.partitions)}, not {partition}.")
        with nullcontext(claim) if claim else claims_in(self.path.parent).hold(partition) as held:
            try:
                staged = self._stage(partition, shards, failures, held.staging, batch_clips)
                held.check()
                self._publish(partition, staged, held.staging)
            except (OSError, StoreError) as error:
                held.check()  # what was staged may be gone because the claim is
                if isinstance(error, StoreError):
                    raise
                free = (
                    ""
                    if is_remote(self.path)
                    else f" ({shutil.disk_usage(self.path).free / 1e6:.1f} MB are free there)"
                )
                raise StoreError(
                    f"partition {partition} of {self.path} cannot be written: {error.strerror or error}{free}. It is "
                    "not recorded, all that was recorded before stays; mend this and run the command again."
                ) from error

    def _encoded(
        self, partition: int, data: PartitionData, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[str, Sequence[bytes]]]:
        """The shards of a partition, each compressed while the one before is written.

        An array without a shard is given by every Zarr reader as the fill value, NaN.
        """
        rows = self.contents.rows(partition, len(self.clips))
        if len(data.failures) == rows.stop - rows.start:
            return
        settings = compression(self.spec.backbone.dtype)
        encoded = {}
        for array in self.contents.arrays(self.spec):
            held = self.contents.mask(array, partition)
            if held.any():
                encoded[array.name] = pool.submit(encode_shard, array, getattr(data, array.name), held, settings)
        for name in tuple(encoded):
            yield name, encoded.pop(name).result()

    def _stage(
        self,
        partition: int,
        shards: Iterable[tuple[str, Sequence[bytes]]],
        failures: Mapping[int, str],
        staging: Staging,
        batch_clips: Sequence[int],
    ) -> list[str]:
        """Stage shards and record; returns the names of the arrays that have a shard."""
        rows = self.contents.rows(partition, len(self.clips))
        recorded: dict[str, dict[str, str | int | None]] = {
            array.name: {"sha256": None, "bytes": 0} for array in self.contents.arrays(self.spec)
        }
        staged = []
        with ThreadPoolExecutor(1) as digester:
            for name, pieces in shards:
                digest = digester.submit(_sha256, pieces)
                staging.stage(self._staged(name), pieces)
                recorded[name] = {"sha256": digest.result(), "bytes": sum(map(len, pieces))}
                staged.append(name)
        content = {
            "partition": partition,
            "rows": [rows.start, rows.stop],
            "rows_digest": self.clips.row_digest(rows),
            "spec_digest": self.spec.digest,
            "shards": recorded,
            "failures": {str(row): reason for row, reason in sorted(failures.items())},
        }
        if not self.contents.is_complete:
            content["contents_digest"] = self.contents.digest
        if batch_clips:
            content["batch_clips"] = sorted(set(batch_clips))
        staging.stage(self._staged(RECORD), [json_bytes({**content, "digest": digest_json(content)})])
        return staged

    def _staged(self, name: str) -> str:
        """Name of a staged file; the stores of all prompts share a partition's folder."""
        return f"{self.path.stem}.{name}"

    def _publish(self, partition: int, staged: Sequence[str], staging: Staging) -> None:
        """Move staged files into place. Every step goes through the staging folder, which a taker removes first."""
        record = records_of(self.path) / record_name(partition)
        staging.withdraw(record)  # it must not stand beside shards that it does not name
        for array in self.contents.arrays(self.spec):
            shard = shard_path(self.path, array, partition)
            if array.name not in staged:
                staging.withdraw(shard)
                continue
            staging.publish(self._staged(array.name), shard)
            for folder in shard.relative_to(self.path).parents:  # the folders above it may be new as well
                sync(self.path / folder)
        staging.publish(self._staged(RECORD), record)
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
        for partition in self.partitions:
            record = read_record(self.path, partition)
            if record is None:
                raise StoreError(f"partition {partition} of {self.path} is being written anew; commit again later.")
            failures.update({int(row): reason for row, reason in record["failures"].items()})
        with sole_planner(self.path.parent):
            change_attributes(self.path, {"state": "committed", "n_failed": len(failures)})
            remove_leftovers_of(self.path)
        claims_in(self.path.parent).tidy()
        return failures
