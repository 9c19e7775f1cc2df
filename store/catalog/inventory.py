"""Inventory of a store from its small files, header and records; shards are not read."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vadprobe.store.catalog.finding import names_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.files.text import counted
from vadprobe.store.files.zarr_arrays import UNREADABLE
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import is_intact, record_matcher, record_name, record_path
from vadprobe.store.format.schema import PARTITION_ROWS, ArraySpec, feature_arrays, n_partitions
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.format.stored_parts import StoredParts

_COORDINATES = ("clip", "layer", "block", "video_code", "answer_code")
_REQUESTS = 8  # small files read at once: on an object store each one is a round trip


@dataclass(frozen=True)
class Inventory(StoreHeader):
    """One store as its header and records describe it. Made by `read`.

    `damaged` has, by partition, the reason why a record does not count. `small_bytes` is the size of metadata,
    coordinates and records. `refused` has, by partition, a bucket's refusal for a record that does not exist or may not
    be read.
    """

    records: dict[int, dict[str, Any]]
    damaged: dict[int, str]
    small_bytes: int
    refused: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: StorePath) -> "Inventory":
        """Read the small files of the store at `path` (`.../<prompt>.zarr`).

        A damaged record is noted, not raised.

        Raises:
            StoreError: if there is no store, or its provenance is damaged, edited, or of a later version.
        """
        try:
            header = StoreHeader.read(path)
        except OSError as error:
            raise StoreError(f"{path / 'zarr.json'} cannot be read: {error.strerror or error}") from error
        header.check_digest()
        attributes, spec, contents = header.attributes, header.spec, header.contents
        if attributes["state"] not in ("open", "committed"):
            said = f"must be 'open' or 'committed', got {attributes['state']!r}"
            raise StoreError(f"{path}: the attribute state {said}; it was edited.")
        is_ours = record_matcher(spec, contents)
        numbers = _recorded(path, n_partitions(spec.n_clips, contents.partition_rows))
        records: dict[int, dict[str, Any]] = {}
        damaged: dict[int, str] = {}
        refused: dict[int, str] = {}
        n_bytes = _metadata_bytes(path, spec)
        with ThreadPoolExecutor(_REQUESTS) as threads:
            for number, found in zip(numbers, threads.map(lambda n: _read_one(path, n), numbers), strict=True):
                record, size = found
                n_bytes += size
                if isinstance(record, ForbiddenError):
                    refused[number] = str(record)
                elif isinstance(record, str):
                    damaged[number] = record
                elif record is not None and is_ours(record):
                    records[number] = record
                elif record is not None:
                    damaged[number] = f"the record of partition {number} is that of another store"
        return cls(path, attributes, spec, contents, records, damaged, n_bytes, refused)

    @property
    def is_committed(self) -> bool:
        """True if the store is declared finished."""
        return bool(self.attributes["state"] == "committed")

    @property
    def refusal(self) -> str | None:
        """A sentence about records that do not exist or may not be read; None where there are none."""
        if not self.refused:
            return None
        first = next(iter(self.refused.values()))
        return f"{counted(len(self.refused), 'record')} cannot be read with these credentials, or do not exist: {first}"

    @property
    def contents_text(self) -> str:
        """The layers, heads and partitions that the store will hold, in a few words."""
        return contents_text(self.contents, n_partitions(self.spec.n_clips, self.contents.partition_rows))

    @property
    def n_planned(self) -> int:
        """Number of rows that the store will hold when it is finished."""
        return self._rows(self.partitions)

    @property
    def n_done(self) -> int:
        """Number of rows that are recorded, failed ones included."""
        return self._rows(self.records)

    @cached_property
    def failures(self) -> dict[int, str]:
        """Reason by row, rows ascending, for the rows that could not be computed."""
        found = {int(row): reason for record in self.records.values() for row, reason in record["failures"].items()}
        return dict(sorted(found.items()))

    @cached_property
    def failures_by_reason(self) -> dict[str, list[int]]:
        """Rows that could not be computed, by reason, the most frequent reason first."""
        found: dict[str, list[int]] = defaultdict(list)
        for row, reason in self.failures.items():
            found[reason].append(row)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[1][0])))

    @property
    def arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays that hold features."""
        return self.contents.arrays(self.spec)

    def shard(self, partition: int, array: str) -> tuple[str | None, int]:
        """Return SHA-256 and bytes of a recorded shard; None and 0 where there is none, because every row failed."""
        found = self.records[partition]["shards"].get(array) or {}
        return found.get("sha256"), int(found.get("bytes", 0))

    def shard_bytes(self, array: str) -> int:
        """Return the bytes of all recorded shards of an array."""
        return sum(self.shard(partition, array)[1] for partition in self.records)

    def n_values(self, array: ArraySpec) -> int:
        """Count the stored values of an array, including the NaN of failed rows in stored shards."""
        return sum(
            self._rows([partition]) * self._row_values(array, partition)
            for partition in self.records
            if self.shard(partition, array.name)[1]
        )

    @property
    def n_bytes(self) -> int:
        """Bytes of all files of the store and its records."""
        return self.small_bytes + sum(self.shard_bytes(array.name) for array in self.arrays)

    def _row_values(self, array: ArraySpec, partition: int) -> int:
        """Count the values that a row of a partition has in an array."""
        return int(self.contents.mask(array, partition).sum()) * math.prod(array.chunk[1:])

    def _rows(self, partitions: Iterable[int]) -> int:
        rows = [self.contents.rows(partition, self.spec.n_clips) for partition in partitions]
        return sum(part.stop - part.start for part in rows)


def contents_text(contents: StoredParts, n_all_partitions: int) -> str:
    """Return stored parts in a few words: `all`, or `3 layers, no heads, 2 of 9 partitions`."""
    words = []
    for chosen, noun in ((contents.layers, "layer"), (contents.heads, "head")):
        if chosen is not None:
            words.append(counted(len(chosen), noun) if chosen else f"no {noun}s")
    if words and len(words) < 2:
        words.append("all heads" if contents.heads is None else "all layers")
    if not contents.answers:
        words.append("no answers")
    if contents.full_partitions:
        words.append(f"{counted(len(contents.full_partitions), 'partition')} whole")
    if contents.partition_rows != PARTITION_ROWS:
        words.append(f"partitions of {contents.partition_rows:,} rows")
    if contents.partitions is not None:
        words.append(f"{len(contents.partitions)} of {counted(n_all_partitions, 'partition')}")
    return ", ".join(words) or "all"


def _recorded(path: StorePath, total: int) -> list[int]:
    """Return the partitions that have a record; if the folder cannot be listed, all `total` partitions."""
    names = names_in(records_of(path))
    found = None if names is None else set(names)
    return [number for number in range(total) if found is None or record_name(number) in found]


def _read_one(path: StorePath, partition: int) -> tuple[dict[str, Any] | str | ForbiddenError | None, int]:
    """Read one record by one request.

    Returns:
        The record, a reason why it does not count, the bucket's refusal, or None if there is none; and its size in
        bytes.
    """
    file = record_path(path, partition)
    content = b""
    try:
        content = file.read_bytes()
        record = json.loads(content)
        if not is_intact(record) or record["partition"] != partition:
            said = f"{file} was changed after it was written; 'vadprobe extract' writes the partition again."
            return said, len(content)
        # These keys are needed here; a record of a later version may lack them.
        _ = record["spec_digest"], record["shards"].items(), record["failures"].items()
    except FileNotFoundError:
        return None, 0
    except ForbiddenError as error:
        return error, 0
    except UNREADABLE as error:
        return f"{file} cannot be read: {error}", len(content)
    return record, len(content)


def _metadata_bytes(path: StorePath, spec: FeatureSpec) -> int:
    features = [array.name for array in feature_arrays(spec.backbone, spec.n_clips)]
    files = [path / "zarr.json", *(path / name / "zarr.json" for name in (*features, *_COORDINATES))]
    return sum(map(_size, [*files, *(path / name / "c" / "0" for name in _COORDINATES)]))


def _size(file: StorePath) -> int:
    """Return the bytes of a file; 0 where there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def state_text(store: Inventory) -> str:
    """Return the state and the numbers of rows in a few words."""
    state = "committed" if store.is_committed else "open"
    return f"{state} with {store.n_done:,} of {counted(store.n_planned, 'row')}"
