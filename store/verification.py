"""An independent second reading of a feature store, from the files alone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.clips import ClipTable
from vadprobe.store.digests import digest_file
from vadprobe.store.durable import read_json
from vadprobe.store.errors import StoreError
from vadprobe.store.group_files import (
    UNREADABLE,
    is_whole_record,
    open_array,
    read_attributes,
    record_name,
    shard_path,
    specification,
)
from vadprobe.store.layout import clips_of, records_of
from vadprobe.store.records import FeatureSpec
from vadprobe.store.schema import (
    PARTITION_ROWS,
    ArraySpec,
    check_values,
    codecs,
    coordinates,
    feature_arrays,
    n_partitions,
    partition_rows,
    storage_dtype,
)


@dataclass(frozen=True)
class Problem:
    """Something wrong with a store. ``partition`` is None where it concerns the whole store."""

    store: Path
    partition: int | None
    message: str

    def __str__(self) -> str:
        where = f"partition {self.partition}" if self.partition is not None else "store"
        return f"{self.store}: {where}: {self.message}"


@dataclass(frozen=True)
class Verification:
    """What a second reading found."""

    store: Path
    n_rows: int
    n_failed: int
    n_bytes: int
    problems: tuple[Problem, ...]


def verify(store: Path, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Read every byte of a store again and compare it with its records.

    Checked are: the specification against its digest, the clip table against the specification, the coordinates
    against both, the arrays' layout and codecs against the schema, that every partition has an unchanged record of the
    right rows, every shard's size and SHA-256, every inner chunk's checksum (by decoding it), that written rows are
    finite and exact in their dtype and failed rows are NaN, and that no file lies outside the plan.

    Args:
        store: the Zarr group, ``.../<prompt>.zarr``.
        progress: called after each partition with (done, all).

    Raises:
        StoreError: if there is no store to read. Everything else is a :class:`Problem`.
    """
    attributes = read_attributes(store)
    spec = specification(store, attributes)
    problems = [Problem(store, None, message) for message in _check_whole(store, spec, attributes)]
    try:
        clips = ClipTable.read(clips_of(store))
    except StoreError as error:
        return Verification(store, 0, 0, 0, (*problems, Problem(store, None, str(error))))
    if clips.digest != spec.clips_digest:
        message = f"the clip table has digest {clips.digest[:12]}, the store was written for {spec.clips_digest[:12]}"
        return Verification(store, 0, 0, 0, (*problems, Problem(store, None, message)))
    problems += [Problem(store, None, message) for message in _check_coordinates(store, spec, clips)]
    total = n_partitions(len(clips))
    n_failed = n_bytes = 0
    for partition in range(total):
        found = _Partition(store, spec, clips, partition)
        problems += [Problem(store, partition, message) for message in found.check()]
        n_failed += len(found.failed)
        n_bytes += found.n_bytes
        if progress:
            progress(partition + 1, total)
    if not problems and attributes.get("n_failed") != n_failed:
        message = f"the attribute n_failed is {attributes.get('n_failed')}, but the records name {n_failed} failed rows"
        problems.append(Problem(store, None, message))
    return Verification(store, len(clips), n_failed, n_bytes, tuple(problems))


def _check_whole(store: Path, spec: FeatureSpec, attributes: dict[str, Any]) -> Iterator[str]:
    if spec.digest != attributes["digest"]:
        yield f"the specification has digest {spec.digest[:12]}, its record says {str(attributes['digest'])[:12]}"
    if attributes["clips_digest"] != spec.clips_digest:
        yield "the attribute clips_digest is not that of the specification; the attributes were edited"
    if attributes.get("partition_rows") != PARTITION_ROWS:
        yield f"the attribute partition_rows is {attributes.get('partition_rows')}, wanted {PARTITION_ROWS}"
    if attributes["state"] != "committed":
        yield "not committed: the extraction has not finished"
    total = n_partitions(spec.n_clips)
    planned = {record_name(partition) for partition in range(total)}
    extra = sorted({path.name for path in records_of(store).glob("*")} - planned)
    if extra:
        yield f"the records hold files outside the plan: {', '.join(extra[:3])}"
    for array in feature_arrays(spec.backbone, spec.n_clips):
        yield from _check_array(store, spec, array)


def _check_array(store: Path, spec: FeatureSpec, array: ArraySpec) -> Iterator[str]:
    """Metadata of an array against the schema, and files below it against the plan."""
    if not (store / array.name / "zarr.json").exists():
        yield f"the array {array.name} is missing"
        return
    try:
        node = open_array(store, array.name)
        found = node.shape, node.metadata.dimension_names  # type: ignore[union-attr]
        layout = node.shards, node.chunks, node.dtype, str(node.fill_value), _codec_names(node.compressors)
    except UNREADABLE as error:
        yield f"the metadata of {array.name} cannot be understood: {error}"
        return
    if found != (array.shape, array.dims):
        yield f"the array {array.name} has shape and dimensions {found}, wanted {(array.shape, array.dims)}"
    dtype = spec.backbone.dtype
    wanted = array.shard, array.chunk, storage_dtype(dtype), "nan", _codec_names(codecs(dtype))
    if layout != wanted:
        yield f"the array {array.name} is stored with shards, chunks, dtype, fill and codecs {layout}, wanted {wanted}"
    planned = {shard_path(store, array, partition) for partition in range(n_partitions(spec.n_clips))}
    stray = sorted(path for path in (store / array.name / "c").rglob("*") if path.is_file() and path not in planned)
    if stray:
        names = ", ".join(path.relative_to(store).as_posix() for path in stray[:3])
        yield f"the array {array.name} has files outside the plan: {names}"


def _codec_names(found: Iterable[Any]) -> list[tuple[str, ...]]:
    """What decides how chunks are compressed; other settings depend on the values' size, or the version of Zarr."""
    forms = [codec.to_dict() for codec in found]
    settings = [(form["name"], form.get("configuration", {})) for form in forms]
    return [
        (name, *(str(given[key]) for key in ("cname", "clevel", "shuffle") if key in given)) for name, given in settings
    ]


def _check_coordinates(store: Path, spec: FeatureSpec, clips: ClipTable) -> Iterator[str]:
    """Coordinates carry no record, so they are compared with what they must be."""
    for name, (dimension, values) in coordinates(spec, clips).items():
        try:
            node = open_array(store, name)
            dimensions, found = node.metadata.dimension_names, np.asarray(node[:])  # type: ignore[union-attr]
        except UNREADABLE as error:
            yield f"the coordinate {name} cannot be read: {error}"
            continue
        if dimensions != (dimension,) or not np.array_equal(found, values):
            yield f"the coordinate {name} does not agree with the clip table"


class _Partition:
    """One partition as its files have it."""

    def __init__(self, store: Path, spec: FeatureSpec, clips: ClipTable, partition: int) -> None:
        self.store, self.spec, self.clips, self.partition = store, spec, clips, partition
        self.rows = partition_rows(partition, len(clips))
        self.failed: list[int] = []
        self.n_bytes = 0

    def check(self) -> list[str]:
        """What is wrong, as messages."""
        try:
            record = read_json(records_of(self.store) / record_name(self.partition))
        except FileNotFoundError:
            return ["it has no record: it was never finished"]
        except (StoreError, OSError) as error:
            return [str(error)]
        messages = []
        try:
            for message in self._check(record):
                messages.append(message)  # one by one: what was found before an error is told as well
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            messages.append(
                f"its record cannot be understood ({type(error).__name__}: {error}); it was edited or damaged"
            )
        if not messages and not (is_whole_record(record) and record["partition"] == self.partition):
            messages.append("its record was changed after it was written")
        return messages

    def _check(self, record: Any) -> Iterator[str]:
        if record["rows"] != [self.rows.start, self.rows.stop]:
            yield f"its record is for rows {record['rows']}, wanted [{self.rows.start}, {self.rows.stop}]"
        if record["rows_digest"] != self.clips.row_digest(self.rows):
            yield "its record was made for other clips than the clip table names"
        if record["spec_digest"] != self.spec.digest:
            yield "its record was made under another specification"
        self.failed = [int(row) for row in record["failures"]]
        stray = [row for row in self.failed if not self.rows.start <= row < self.rows.stop]
        if stray:
            yield f"its record names failed rows outside the partition, first {stray[0]}"
            self.failed = [row for row in self.failed if row not in stray]
        for array in feature_arrays(self.spec.backbone, self.spec.n_clips):
            yield from self._check_shard(array, record["shards"].get(array.name, {}))

    def _check_shard(self, array: ArraySpec, recorded: dict[str, Any]) -> Iterator[str]:
        path = shard_path(self.store, array, self.partition)
        if recorded.get("sha256") is None and len(self.failed) == self.rows.stop - self.rows.start:
            if path.exists():
                yield f"the shard of {array.name} is there, though every row is recorded as failed"
            return
        if not path.is_file():
            yield f"the shard of {array.name} is missing"
            return
        self.n_bytes += path.stat().st_size
        if path.stat().st_size != recorded.get("bytes"):
            yield f"the shard of {array.name} has {path.stat().st_size} bytes, its record says {recorded.get('bytes')}"
            return
        if digest_file(path) != recorded.get("sha256"):
            yield f"the shard of {array.name} was changed: its SHA-256 is not the recorded one"
            return
        try:
            values = np.asarray(open_array(self.store, array.name)[self.rows])
            check_values(array.name, values, self.spec.backbone.dtype)
        except UNREADABLE as error:
            yield f"the shard of {array.name} cannot be decoded: {error}"
            return
        if values.shape != array.rows(self.rows.stop - self.rows.start):
            yield f"the shard of {array.name} has values of shape {values.shape}, not those of its partition"
            return
        rows = values.reshape(len(values), -1)
        good = np.ones(len(rows), dtype=bool)
        good[[row - self.rows.start for row in self.failed]] = False
        if not np.isfinite(rows[good]).all():
            yield f"{array.name} holds values that are not finite in rows that did not fail"
        if not np.isnan(rows[~good]).all():
            yield f"{array.name} holds values in rows that are recorded as failed"
