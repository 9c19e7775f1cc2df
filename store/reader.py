"""Reading a feature store: whole partitions or single layers and heads, never a row that was not written."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.clips import ClipTable
from vadprobe.store.errors import StoreError
from vadprobe.store.group_files import (
    UNREADABLE,
    open_array,
    read_attributes,
    read_record,
    shard_bytes,
    shard_path,
    specification,
)
from vadprobe.store.layout import clips_of
from vadprobe.store.records import FeatureSpec
from vadprobe.store.schema import PARTITION_ROWS, feature_arrays, n_partitions, partition_rows


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """One prompt's features of every clip of a dataset and sampling. Open it with :meth:`open`."""

    path: Path
    spec: FeatureSpec
    clips: ClipTable

    @classmethod
    def open(cls, path: Path) -> "FeatureStore":
        """Open the store at ``path`` (``.../<prompt>.zarr``) with its clip table.

        Raises:
            StoreError: if there is no store, or its clip table is another than the one it was written for.
        """
        attributes = read_attributes(path)
        spec = specification(path, attributes)
        if spec.digest != attributes["digest"]:
            raise StoreError(
                f"{path}: the stored specification has digest {spec.digest[:12]}, its own record says "
                f"{str(attributes['digest'])[:12]}; the attributes were edited. Restore zarr.json from a copy."
            )
        clips = ClipTable.read(clips_of(path))
        if clips.digest != spec.clips_digest:
            raise StoreError(
                f"{path} was written for the clip table {spec.clips_digest[:12]}, but {clips_of(path)} is "
                f"{clips.digest[:12]}: rows would not mean the same clips. Restore the clip table."
            )
        return cls(path, spec, clips)

    @cached_property
    def records(self) -> dict[int, dict[str, Any]]:
        """Partition records by partition number, for the partitions that are written.

        A record of another specification, left by a store that was removed, does not count.

        Raises:
            StoreError: if a record was damaged or edited.
        """
        found = ((number, read_record(self.path, number)) for number in range(n_partitions(len(self.clips))))
        return {number: record for number, record in found if record and record["spec_digest"] == self.spec.digest}

    @cached_property
    def failures(self) -> dict[int, str]:
        """Rows that could not be computed, with the reason."""
        return {int(row): reason for record in self.records.values() for row, reason in record["failures"].items()}

    @cached_property
    def written(self) -> np.ndarray:
        """(n_clips,) bool: rows whose partition is recorded and which did not fail."""
        written = np.zeros(len(self.clips), dtype=bool)
        for number in self.records:
            written[partition_rows(number, len(self.clips))] = True
        written[list(self.failures)] = False
        return written

    def check_finished(self) -> None:
        """Refuse a store that lacks a partition.

        Raises:
            StoreError: saying how many partitions are there.
        """
        total = n_partitions(len(self.clips))
        if len(self.records) < total:
            raise StoreError(
                f"{self.path} is not finished: {len(self.records)} of {total} partitions are written. Run 'vadprobe "
                "extract' again; it continues where it stopped."
            )

    def hidden_states(self, rows: np.ndarray, layers: Sequence[int]) -> np.ndarray:
        """Hidden states of some rows and layers.

        Args:
            rows: (n,) row numbers, any order, repeats allowed.
            layers: k layer numbers; 0 is the embedding, l the output of block l.

        Returns:
            (n, k, hidden) of the storage dtype; a failed row is NaN.

        Raises:
            StoreError: if a row was never written, a layer does not exist, or a shard is missing.
        """
        self._check_range("layer", layers, self.spec.backbone.n_layers + 1)
        return self._read("hidden_states", rows, [(layer,) for layer in layers])

    def head_outputs(self, rows: np.ndarray, heads: Sequence[tuple[int, int]]) -> np.ndarray:
        """Outputs of some heads, each given as (block, head) from 0, before the output projection.

        Returns:
            (n, k, head_dim) of the storage dtype; a failed row is NaN.
        """
        self._check_range("block", [block for block, _ in heads], self.spec.backbone.n_layers)
        self._check_range("head", [head for _, head in heads], self.spec.backbone.n_heads)
        return self._read("head_outputs", rows, list(heads), 2)

    def blocks(self, rows: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
        """All heads of some blocks: (n, k, heads, head_dim)."""
        self._check_range("block", blocks, self.spec.backbone.n_layers)
        return self._read("head_outputs", rows, [(block,) for block in blocks])

    def answer_logits(self, rows: np.ndarray) -> np.ndarray:
        """First-token logits of yes and no: (n, 2)."""
        return self._read("answer_logits", rows, [()])[:, 0]

    def _check_range(self, what: str, wanted: Sequence[int], count: int) -> None:
        outside = [number for number in wanted if not 0 <= number < count]
        if outside:
            raise StoreError(f"{self.path} has {what}s 0 to {count - 1}; {what} {outside[0]} does not exist.")

    def _read(self, name: str, rows: np.ndarray, parts: list[tuple[int, ...]], n_parts: int = 1) -> np.ndarray:
        """Read part by part and partition by partition, then take the wanted rows of each block.

        Taking rows in memory is faster than Zarr's own row indexing of shards, which reads inner chunks one by one.
        """
        rows = np.asarray(rows)
        if rows.size and not np.issubdtype(rows.dtype, np.integer):
            raise StoreError(f"rows have dtype {rows.dtype}; row numbers are wanted (of a mask: np.flatnonzero(mask)).")
        rows = rows.astype(np.int64)
        outside = rows[(rows < 0) | (rows >= len(self.clips))]
        if len(outside):
            raise StoreError(f"{self.path} has rows 0 to {len(self.clips) - 1}; row {outside[0]} was asked for.")
        array = open_array(self.path, name)
        wanted = next(a.shape for a in feature_arrays(self.spec.backbone, self.spec.n_clips) if a.name == name)
        if array.shape != wanted:
            raise StoreError(f"{self.path}: {name} has shape {array.shape}, wanted {wanted}. Run 'vadprobe verify'.")
        tail = array.shape[1 + (len(parts[0]) if parts else n_parts) :]
        result = np.empty((len(rows), len(parts), *tail), dtype=array.dtype)
        numbers = rows // PARTITION_ROWS
        for number in np.unique(numbers).tolist():
            self._check_shard(name, number)
            here = np.flatnonzero(numbers == number)
            block = partition_rows(number, len(self.clips))
            for position, part in enumerate(parts):
                index: tuple[int | slice, ...] = (block, *part)
                try:
                    result[here, position] = np.asarray(array[index])[rows[here] - block.start]
                except UNREADABLE as error:
                    raise StoreError(
                        f"{self.path}: {name} of partition {number} cannot be read ({error}). Run 'vadprobe verify'."
                    ) from error
        return result

    def _check_shard(self, name: str, number: int) -> None:
        """A missing or cut shard would read as NaN without a word, so its size is compared with the record first."""
        if number not in self.records:
            rows = partition_rows(number, len(self.clips))
            raise StoreError(
                f"{self.path}: rows {rows.start} to {rows.stop - 1} (partition {number}) are not written yet; "
                f"{len(self.records)} of {n_partitions(len(self.clips))} partitions are. Run 'vadprobe extract' to the "
                "end first."
            )
        array = next(a for a in feature_arrays(self.spec.backbone, self.spec.n_clips) if a.name == name)
        size, recorded = shard_bytes(self.path, array, number), self.records[number]["shards"][name]["bytes"]
        if size != recorded:
            shard = shard_path(self.path, array, number)
            raise StoreError(
                f"{shard} is {'damaged' if shard.exists() else 'missing'}: {size} bytes, its record says {recorded}. "
                "Run 'vadprobe verify', then extract again."
            )
