"""The header of a store: the attribute `vadprobe` of its Zarr group, which says what the store is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.specification import FORMAT_VERSION, FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts

ATTRIBUTE = "vadprobe"
"""Name of the group attribute that holds the header."""

REQUIRED = frozenset({"format_version", "spec", "digest", "clips_digest", "state"})
"""Keys that every header has."""


@dataclass(frozen=True)
class StoreHeader:
    """The header of one store.

    Attributes:
        path: the Zarr group.
        attributes: the header as plain JSON values.
        spec: the specification in it.
        contents: the layers, heads and partitions that the store is to have.
    """

    path: StorePath
    attributes: dict[str, Any]
    spec: FeatureSpec
    contents: StoredParts

    @classmethod
    def read(cls, path: StorePath) -> "StoreHeader":
        """Read the header of the store at `path` (`.../<prompt>.zarr`).

        A specification that disagrees with its digest is not refused here: see `check_digest`.

        Raises:
            StoreError: if there is no store, it is not one of ours, it was written by a later version, or a part of
                the header is not what this version writes.
        """
        attributes = read_attributes(path)
        try:
            spec = FeatureSpec.from_json(attributes["spec"])
            return cls(path, attributes, spec, StoredParts.from_json(attributes.get("contents"), spec))
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from error

    @cached_property
    def partitions(self) -> Sequence[int]:
        """Partitions that the store is to have, ascending."""
        return self.contents.partition_numbers(self.spec.n_clips)

    @property
    def has_own_digest(self) -> bool:
        """True if the specification has the digest that the header names."""
        return bool(self.spec.digest == self.attributes["digest"])

    def check_digest(self) -> "StoreHeader":
        """Return this header if its specification has the digest that it names.

        Raises:
            StoreError: if not.
        """
        if not self.has_own_digest:
            raise StoreError(
                f"{self.path}: the stored specification has digest {self.spec.digest[:12]}, its own record says "
                f"{str(self.attributes['digest'])[:12]}; the attributes were edited. Restore zarr.json from a copy."
            )
        return self

    def read_table(self) -> ClipTable:
        """Read the clip table beside the store without comparing it with the header.

        Raises:
            StoreError: if it cannot be read.
        """
        return ClipTable.read(clips_of(self.path))

    def read_clips(self) -> ClipTable:
        """Read the clip table of this store's rows; rows that were appended to the file later are cut off.

        Raises:
            StoreError: if it cannot be read, or is not the table that the store was written for.
        """
        clips, path = self.read_table(), clips_of(self.path)
        if len(clips) > self.spec.n_clips:
            before = clips.first(self.spec.n_clips)
            clips = before if before.digest == self.spec.clips_digest else clips
        if clips.digest != self.spec.clips_digest:
            raise StoreError(
                f"{self.path} was written for the clip table {self.spec.clips_digest[:12]}, but {path} has digest "
                f"{clips.digest[:12]}: rows would not mean the same clips. Restore the clip table from a copy."
            )
        return clips


def read_attributes(path: StorePath) -> dict[str, Any]:
    """Read the attribute `vadprobe` of the store at `path`, with all keys that every store has.

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
    missing = REQUIRED - set(attributes)
    if missing:
        raise StoreError(f"{path}: the attribute {ATTRIBUTE!r} lacks {', '.join(sorted(missing))}; it was edited.")
    version = attributes["format_version"]
    if not isinstance(version, int):
        raise StoreError(f"{path}: the format version must be an integer, got {version!r}; the attributes were edited.")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, this vadprobe reads up to {FORMAT_VERSION}; update vadprobe."
        )
    return attributes
