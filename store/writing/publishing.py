"""Staging a partition's files and moving them into place.

Every step goes through the claim's staging: a worker that takes a partition over removes what the former owner staged.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vadprobe.store.claims.claim import Staging
from vadprobe.store.files.atomic_files import json_bytes, sync
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.partition_records import record_path, shard_path
from vadprobe.store.format.schema import ArraySpec

Recorded = Mapping[str, str | int]
"""`sha256` and `bytes` of a shard."""

_RECORD = "json"


def stage_shards(
    store: StorePath, shards: Iterable[tuple[str, Sequence[bytes]]], staging: Staging
) -> dict[str, Recorded]:
    """Stage shards, given in pieces by array; return what their record says of them."""
    recorded: dict[str, Recorded] = {}
    with ThreadPoolExecutor(1) as digester:
        for name, pieces in shards:
            digest = digester.submit(_sha256, pieces)
            staging.stage(_staged(store, name), pieces)
            recorded[name] = {"sha256": digest.result(), "bytes": sum(map(len, pieces))}
    return recorded


def stage_record(store: StorePath, record: dict[str, Any], staging: Staging) -> None:
    """Stage the record of a partition."""
    staging.stage(_staged(store, _RECORD), [json_bytes(record)])


def publish(
    store: StorePath, arrays: Iterable[ArraySpec], partition: int, staged: Collection[str], staging: Staging
) -> None:
    """Move the staged shards of a partition into place, then its record; `staged` names the arrays with a shard."""
    record = record_path(store, partition)
    staging.withdraw(record)  # an old record must never lie beside shards that it does not name
    for array in arrays:
        shard = shard_path(store, array, partition)
        if array.name not in staged:
            staging.withdraw(shard)
            continue
        staging.publish(_staged(store, array.name), shard)
        for folder in shard.relative_to(store).parents:  # the folders above it may be new as well
            sync(store / folder)
    staging.publish(_staged(store, _RECORD), record)
    sync(record.parent)


def _staged(store: StorePath, name: str) -> str:
    """Return the name of a staged file; the stores of all prompts share a partition's folder."""
    return f"{store.stem}.{name}"


def _sha256(pieces: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
