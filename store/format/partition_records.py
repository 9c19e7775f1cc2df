"""The record of a written partition: its file, its shards, and whether it belongs to a store."""

from collections.abc import Callable
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.schema import ArraySpec
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts


def record_name(partition: int) -> str:
    """File name of a partition's record."""
    return f"{partition:06d}.json"


def shard_path(store: StorePath, array: ArraySpec, partition: int) -> StorePath:
    """The one file that holds a partition of an array."""
    return store.joinpath(array.name, "c", str(partition), *["0"] * (len(array.shape) - 1))


def shard_bytes(store: StorePath, array: ArraySpec, partition: int) -> int:
    """Size of a partition's shard; 0 when there is none."""
    try:
        return shard_path(store, array, partition).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def read_record(store: StorePath, partition: int) -> dict[str, Any] | None:
    """The record of a partition as it was written; None when there is none.

    Raises:
        StoreError: if it is not what was written: damaged, edited, or the record of another partition.
    """
    path = records_of(store) / record_name(partition)
    try:
        record = read_json(path)
    except FileNotFoundError:
        return None
    if not is_intact(record) or record["partition"] != partition:
        raise StoreError(
            f"{path} was changed after it was written. Run 'vadprobe extract' again, which writes the partition anew."
        )
    return dict(record)


def record_matcher(spec: FeatureSpec, contents: StoredParts) -> Callable[[dict[str, Any]], bool]:
    """What says whether a record was written for a store of this specification and these contents."""
    wanted = spec.digest, None if contents.is_complete else contents.digest  # computed once: it takes a while
    return lambda record: (record["spec_digest"], record.get("contents_digest")) == wanted


def is_intact(record: Any) -> bool:
    """Whether a record's content has the digest that the record itself names."""
    if not isinstance(record, dict):
        return False
    content = {key: value for key, value in record.items() if key != "digest"}
    try:
        return bool(record.get("digest") == digest_json(content))
    except ValueError:  # a number that JSON does not have, such as NaN
        return False
