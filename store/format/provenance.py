"""Files of a store that more than one module names: partition records, shards, and the group's provenance."""

from typing import Any

import zarr

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.remote_path import zarr_store
from vadprobe.store.format.specification import FORMAT_VERSION, FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts

ATTRIBUTE = "vadprobe"
"""Name of the group attribute that holds the provenance."""

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, OSError)
"""What Zarr and its codecs raise on metadata or chunks that were damaged or edited."""


def open_array(store: StorePath, name: str) -> "zarr.Array[Any]":
    """An array of a store, for reading.

    Raises:
        StoreError: if it is missing, or its metadata cannot be understood.
    """
    try:
        return zarr.open_array(zarr_place(store / name), mode="r", zarr_format=3)
    except FileNotFoundError as error:
        raise StoreError(f"the array {name} of {store} is missing; restore the store from a copy.") from error
    except UNREADABLE as error:
        raise StoreError(f"the metadata of {name} of {store} cannot be understood: {error}") from error


def zarr_place(path: StorePath) -> Any:
    """A path as Zarr takes it, for reading."""
    return zarr_store(path) if is_remote(path) else path


def read_attributes(path: StorePath) -> dict[str, Any]:
    """The provenance of the store at ``path``.

    Raises:
        StoreError: if there is no store, it is not one of ours, or it was written by a later version.
    """
    try:
        attributes = read_json(path / "zarr.json")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"no feature store at {path}; run 'vadprobe extract' first, or check root, backbone and prompt keys."
        ) from error
    for name in ("attributes", ATTRIBUTE):
        attributes = attributes.get(name) if isinstance(attributes, dict) else None
    if not isinstance(attributes, dict):
        raise StoreError(f"{path} is a Zarr group, but not a feature store: it has no attribute {ATTRIBUTE!r}.")
    missing = {"format_version", "spec", "digest", "clips_digest", "state"} - set(attributes)
    if missing:
        raise StoreError(f"{path}: the attribute {ATTRIBUTE!r} lacks {', '.join(sorted(missing))}; it was edited.")
    version = attributes["format_version"]
    if not isinstance(version, int):
        raise StoreError(f"{path}: the format version {version!r} is no whole number; the attributes were edited.")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, this vadprobe reads up to {FORMAT_VERSION}; update vadprobe."
        )
    return attributes


def specification(path: StorePath, attributes: dict[str, Any]) -> FeatureSpec:
    """The specification among the provenance of the store at ``path``.

    Raises:
        StoreError: if it is none; whether it agrees with its digest is for the caller to check.
    """
    try:
        return FeatureSpec.from_json(attributes["spec"])
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error


def stored_contents(path: StorePath, attributes: dict[str, Any], spec: FeatureSpec) -> StoredParts:
    """What the store at ``path`` holds, by its provenance.

    Raises:
        StoreError: if the attribute is none that this version writes.
    """
    try:
        return StoredParts.from_json(attributes.get("contents"), spec)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error
