"""Files of a store that more than one module names: partition records, shards, and the group's provenance."""

from pathlib import Path
from typing import Any

from vadprobe.store.durable import read_json
from vadprobe.store.errors import StoreError
from vadprobe.store.records import FORMAT_VERSION
from vadprobe.store.schema import ArraySpec

ATTRIBUTE = "vadprobe"
"""Name of the group attribute that holds the provenance."""


def record_name(partition: int) -> str:
    """File name of a partition's record."""
    return f"{partition:06d}.json"


def shard_path(store: Path, array: ArraySpec, partition: int) -> Path:
    """The one file that holds a partition of an array."""
    return store.joinpath(array.name, "c", str(partition), *["0"] * (len(array.shape) - 1))


def shard_bytes(store: Path, array: ArraySpec, partition: int) -> int:
    """Size of a partition's shard; 0 when there is none."""
    path = shard_path(store, array, partition)
    return path.stat().st_size if path.exists() else 0


def read_attributes(path: Path) -> dict[str, Any]:
    """The provenance of the store at ``path``.

    Raises:
        StoreError: if there is no store, it is not one of ours, or it was written by a later version.
    """
    metadata = path / "zarr.json"
    try:
        attributes = read_json(metadata).get("attributes", {}).get(ATTRIBUTE)
    except FileNotFoundError as error:
        raise StoreError(
            f"no feature store at {path}; run 'vadprobe extract' first, or check root, backbone and prompt keys."
        ) from error
    if attributes is None:
        raise StoreError(f"{path} is a Zarr group, but not a feature store: it has no attribute {ATTRIBUTE!r}.")
    missing = {"format_version", "spec", "digest", "clips_digest", "state"} - set(attributes)
    if missing:
        raise StoreError(f"{path}: the attribute {ATTRIBUTE!r} lacks {', '.join(sorted(missing))}; it was edited.")
    if attributes["format_version"] > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {attributes['format_version']}, this vadprobe reads up to {FORMAT_VERSION}; "
            "update vadprobe."
        )
    return dict(attributes)
