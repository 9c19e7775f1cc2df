"""A store and the records of its partitions: which rows are written, which failed, and which are not there yet."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vadprobe.store.errors import StoreError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.files.text import counted
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.partition_records import read_record, record_matcher
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.reading.byte_sources import source_of
from vadprobe.store.reading.requests import check_recorded


@dataclass(frozen=True, eq=False)
class RecordedStore:
    """Store with its clip table and its records; no values are read."""

    path: StorePath
    spec: FeatureSpec
    clips: ClipTable
    contents: StoredParts = EVERYTHING

    @cached_property
    def records(self) -> dict[int, dict[str, Any]]:
        """Partition records by partition number, for the partitions that are written.

        A record with another specification, left by a store that was removed, is ignored.

        Raises:
            StoreError: if a record was damaged or edited.
        """
        is_ours = record_matcher(self.spec, self.contents)
        return {number: found for number, found in self._records.items() if isinstance(found, dict) and is_ours(found)}

    @property
    def refused(self) -> dict[int, ForbiddenError]:
        """Partitions whose record does not exist or may not be read; some buckets do not tell the two apart."""
        return {number: found for number, found in self._records.items() if isinstance(found, ForbiddenError)}

    @cached_property
    def _records(self) -> dict[int, dict[str, Any] | ForbiddenError | None]:
        def read(number: int) -> dict[str, Any] | ForbiddenError | None:
            try:
                return read_record(self.path, number)
            except ForbiddenError as error:
                return error

        with ThreadPoolExecutor(source_of(self.path).threads) as threads:
            return dict(zip(self.partitions, threads.map(read, self.partitions), strict=True))

    @property
    def partitions(self) -> Sequence[int]:
        """Partitions that the store is to have, ascending."""
        return self.contents.partition_numbers(len(self.clips))

    @property
    def stored(self) -> np.ndarray:
        """(n_clips,) bool, True for rows that the store is to have: all, unless it is a partial copy."""
        stored = np.zeros(len(self.clips), dtype=bool)
        for number in self.partitions:
            stored[self.contents.rows(number, len(self.clips))] = True
        return stored

    @cached_property
    def failures(self) -> dict[int, str]:
        """Reason by row, for the rows that could not be computed."""
        return {int(row): reason for record in self.records.values() for row, reason in record["failures"].items()}

    @cached_property
    def written(self) -> np.ndarray:
        """(n_clips,) bool: rows whose partition is recorded and which did not fail."""
        written = np.zeros(len(self.clips), dtype=bool)
        for number in self.records:
            written[self.contents.rows(number, len(self.clips))] = True
        written[list(self.failures)] = False
        return written

    def digest_of(self, rows: np.ndarray) -> str:
        """Return a SHA-256 of the specification and of the recorded digests of the shards with some rows.

        Two stores with the same digest give the same values for these rows. Only records are read, no shards.

        Raises:
            StoreError: if a row was never written.
        """
        numbers = np.unique(np.asarray(rows) // self.contents.partition_rows).tolist()
        check_recorded(self.path, len(self.clips), self.contents, self.records, numbers, self.refused)
        shards = {str(number): self.records[number]["shards"] for number in numbers}
        return digest_json({"specification": self.spec.digest, "shards": shards})

    def check_finished(self) -> None:
        """Raise an error if a partition of the store is not written.

        Raises:
            StoreError: saying how many partitions are there.
        """
        total = len(self.partitions)
        if self.refused:
            count, error = counted(len(self.refused), "record"), next(iter(self.refused.values()))
            raise StoreError(
                f"{self.path}: {count} of {total} cannot be read with these credentials, or "
                f"are not written yet: {error}."
            )
        if len(self.records) < total:
            raise StoreError(
                f"{self.path} is not finished: {len(self.records)} of {total} partitions are written. Run 'vadprobe "
                "extract' again; it continues where it stopped."
            )
