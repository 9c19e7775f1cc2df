"""Records of written partitions: their files, their content, and the check that one belongs to a store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.schema import ArraySpec
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts


def record_name(partition: int) -> str:
    """Return the file name of a partition's record."""
    return f"{partition:06d}.json"


def record_path(store: StorePath, partition: int) -> StorePath:
    """Return the path of a partition's record."""
    return records_of(store) / record_name(partition)


def shard_path(store: StorePath, array: ArraySpec, partition: int) -> StorePath:
    """Return the path of the one file that holds a partition of an array."""
    return store.joinpath(array.name, "c", str(partition), *["0"] * (len(array.shape) - 1))


def shard_bytes(store: StorePath, array: ArraySpec, partition: int) -> int:
    """Return the size of a partition's shard in bytes; 0 when there is none."""
    try:
        return shard_path(store, array, partition).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def new_record(
    spec: FeatureSpec,
    clips: ClipTable,
    contents: StoredParts,
    partition: int,
    shards: Mapping[str, Mapping[str, str | int]],
    failures: Mapping[int, str],
    batch_clips: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the record of a partition.

    Args:
        spec, clips, contents: of the store.
        partition: its number.
        shards: `sha256` and `bytes` of each shard by array; arrays without a shard are left out.
        failures: rows that hold NaN, with the reason.
        batch_clips: how many clips went through the model at once, where the specification leaves that open.
    """
    rows = contents.rows(partition, len(clips))
    no_shard = {"sha256": None, "bytes": 0}
    record: dict[str, Any] = {
        "partition": partition,
        "rows": [rows.start, rows.stop],
        "rows_digest": clips.row_digest(rows),
        "shards": {array.name: shards.get(array.name, no_shard) for array in contents.arrays(spec)},
        "failures": {str(row): reason for row, reason in sorted(failures.items())},
        **_names(spec, contents),
    }
    if batch_clips:
        record["batch_clips"] = sorted(set(batch_clips))
    return {**record, "digest": digest_json(record)}


def read_record(store: StorePath, partition: int) -> dict[str, Any] | None:
    """Read the record of a partition; None when there is none.

    Raises:
        StoreError: if it is not what was written: damaged, edited, or the record of another partition.
    """
    path = record_path(store, partition)
    try:
        record = read_json(path)
    except FileNotFoundError:
        return None
    if not is_intact(record) or record.get("partition") != partition:
        raise StoreError(
            f"{path} was changed after it was written. Run 'vadprobe extract' again, which writes the partition again."
        )
    return dict(record)


def record_matcher(spec: FeatureSpec, contents: StoredParts) -> Callable[[dict[str, Any]], bool]:
    """Return a function that is True for records written for a store of this specification and contents."""
    expected = _names(spec, contents)  # computed once: it takes a while

    def is_ours(record: dict[str, Any]) -> bool:
        names = names_in(record, spec.digest)
        return (names["spec_digest"], names.get("contents_digest")) == (spec.digest, expected.get("contents_digest"))

    return is_ours


def names_in(record: Mapping[str, Any], spec_digest: str) -> Mapping[str, Any]:
    """Return the part of a record that names its store: `grown` if it names this digest, else the whole record."""
    grown = record.get("grown")
    return grown if isinstance(grown, Mapping) and grown.get("spec_digest") == spec_digest else record


def grown_record(record: dict[str, Any], spec: FeatureSpec, contents: StoredParts) -> dict[str, Any]:
    """Return a record that is valid for its store both before and after clips are appended to it.

    Args:
        record: of a partition whose rows stay the same.
        spec, contents: of the store after it has grown.
    """
    content = {name: value for name, value in record.items() if name != "digest"}
    content["grown"] = _names(spec, contents)
    return {**content, "digest": digest_json(content)}


def settled_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of `grown_record` as one that is valid only for the store after it has grown."""
    content = {name: value for name, value in record.items() if name not in ("digest", "contents_digest", "grown")}
    content |= record["grown"]
    return {**content, "digest": digest_json(content)}


def _names(spec: FeatureSpec, contents: StoredParts) -> dict[str, str]:
    """Return the digests by which a record names its store."""
    return {"spec_digest": spec.digest, **({} if contents.is_complete else {"contents_digest": contents.digest})}


def is_intact(record: Any) -> bool:
    """Return whether a record's content has the digest that the record itself names."""
    if not isinstance(record, dict):
        return False
    content = {key: value for key, value in record.items() if key != "digest"}
    try:
        return bool(record.get("digest") == digest_json(content))
    except ValueError:  # a number that JSON does not have, such as NaN
        return False
