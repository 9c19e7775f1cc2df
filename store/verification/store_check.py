"""Checks of a store as a whole: header, metadata, coordinates, the clip table, stray files."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vadprobe.store.files.atomic_files import has_content
from vadprobe.store.files.location import StorePath, can_list
from vadprobe.store.files.names import is_litter
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.files.zarr_arrays import UNREADABLE, open_array
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import read_record, record_matcher, record_name, shard_path
from vadprobe.store.format.schema import ArraySpec, coordinates
from vadprobe.store.format.store_header import REQUIRED, StoreHeader
from vadprobe.store.verification.problems import Problem, Remedy
from vadprobe.store.writing.store_files import (
    CLIP_FILES,
    are_intact,
    covered_names,
    covered_path,
    planned_files,
    sha256,
)

_KEYS = REQUIRED | {"checksums", "contents", "n_failed", "partition_rows"}
_GROUP = {"zarr_format": 3, "node_type": "group"}
_INDENTS = (2, None, 1, 4)  # Zarr writes 2; who adds attributes of their own may write another form


@dataclass(frozen=True)
class StoreCheck:
    """The checks of one store, each an iterator over problems."""

    header: StoreHeader

    @property
    def store(self) -> StorePath:
        """The Zarr group."""
        return self.header.path

    @cached_property
    def is_trusted(self) -> bool:
        """True if a record names the stored specification, or if there is no readable record.

        If it is False, the specification was damaged, and no partition may be judged by it.
        """
        found = False
        is_ours = record_matcher(self.header.spec, self.header.contents)
        for partition in self.header.partitions:
            try:
                record = read_record(self.store, partition)
            except UNREADABLE:
                continue
            if record is not None:
                found = True
                if is_ours(record):
                    return True
        return not found and self.header.has_own_digest

    @cached_property
    def checksums(self) -> dict[str, str] | None:
        """SHA-256 of the small files by name; None if they are damaged, or if an earlier version stored none."""
        found = self.header.attributes.get("checksums")
        names = covered_names(self.header.spec, self.header.contents)  # never names from the file, which is not trusted
        return dict(found["files"]) if found is not None and are_intact(found, names) else None

    def header_problems(self) -> Iterator[Problem]:
        """Check that the header's parts agree with each other and with the records."""
        file = self.store / "zarr.json"
        for message in (*self._contradictions(), *self._damages(file.read_bytes())):
            yield self._problem(message, file)
        if self.header.attributes["state"] == "open":
            yield Problem(self.store, None, "not committed: the extraction has not finished", "extract")

    def _contradictions(self) -> Iterator[str]:
        spec, found = self.header.spec, self.header.attributes
        if not self.header.has_own_digest:
            yield f"the specification has digest {spec.digest[:12]}, its record says {str(found['digest'])[:12]}"
        if found["clips_digest"] != spec.clips_digest:
            yield "the attribute clips_digest is not that of the specification; the attributes were edited"
        for name, expected in (
            ("partition_rows", self.header.contents.partition_rows),
            ("format_version", spec.format_version),
        ):
            if found.get(name) != expected:
                yield f"the attribute {name} must be {expected}, got {found.get(name)}"
        if found["state"] not in ("open", "committed"):
            yield f"the attribute state must be 'open' or 'committed', got {found['state']!r}"
        if found["state"] == "committed" and "n_failed" not in found:
            yield "the attribute n_failed is missing"
        unknown = sorted(found.keys() - _KEYS)
        if unknown:
            yield f"the attributes hold {', '.join(unknown)}, which the format does not know"
        if "checksums" in found and self.checksums is None:
            yield "the attribute checksums was changed after it was written"

    @staticmethod
    def _damages(content: bytes) -> Iterator[str]:
        """Check the group's metadata file apart from its attributes, to which users may add their own."""
        document = json.loads(content)
        found = {name: value for name, value in document.items() if name != "attributes" and value is not None}
        if found != _GROUP:
            yield f"the metadata of the group were changed: {_differences(found, _GROUP)}"
        elif not any(content == json.dumps(document, indent=indent).encode() for indent in _INDENTS):
            yield "white space or escapes of zarr.json were changed; it reads the same"

    def clip_table(self) -> tuple[ClipTable | None, list[Problem]]:
        """Read the clip table that the rows follow.

        Returns:
            The table, None if it cannot be used; and the problems of its files.
        """
        try:
            clips = self.header.read_clips()
        except UNREADABLE as error:
            files = tuple(covered_path(self.store, name) for name in CLIP_FILES)
            remedy: Remedy = "permit" if isinstance(error, ForbiddenError) else "restore"
            return None, [Problem(self.store, None, str(error), remedy, files)]
        changed = list(self._changed(CLIP_FILES))
        # They may differ from the checksums: another store's repair wrote them anew, or clips were appended since.
        written = self.header.read_table().files() if changed else {}
        return clips, [one for one in changed if not has_content(one.files[0], written[one.files[0].name])]

    def file_problems(self, clips: ClipTable) -> Iterator[Problem]:
        """Check metadata and coordinates: by their checksums, or by their content where there are none."""
        if self.checksums is None:
            yield from self._unlike_planned(clips)
        else:
            yield from self._changed(self.checksums.keys() - set(CLIP_FILES))

    def _changed(self, names: Iterable[str]) -> Iterator[Problem]:
        """Compare files with their checksums, if there are any."""
        recorded = self.checksums or {}
        for name in sorted(recorded.keys() & set(names)):
            path = covered_path(self.store, name)
            try:
                if sha256(path.read_bytes()) != recorded[name]:
                    yield self._problem(f"{name} was changed after it was written", path)
            except ForbiddenError as error:
                yield self._forbidden(name, path, error)
            except OSError as error:
                reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
                yield self._problem(f"{name} {reason}", path)

    def _unlike_planned(self, clips: ClipTable) -> Iterator[Problem]:
        """Compare metadata and coordinates with those of the same store planned anew, as Zarr understands them."""
        files = planned_files(self.store, self.header.spec, clips, self.header.contents)
        values: dict[str, np.ndarray | None] = {
            **{array.name: None for array in self.header.contents.arrays(self.header.spec)},
            **{name: expected for name, (_, expected) in coordinates(self.header.spec, clips).items()},
        }
        for name, expected in values.items():
            yield from self._unlike(name, json.loads(files[f"{name}/zarr.json"]), expected)

    def _unlike(self, name: str, metadata: dict[str, Any], values: np.ndarray | None) -> Iterator[Problem]:
        """Compare an array's metadata, and its values if it is a coordinate."""
        path, chunk = self.store / name / "zarr.json", self.store / name / "c" / "0"
        try:
            if not path.exists():
                yield self._problem(f"{name}/zarr.json is missing", path)
                return
        except ForbiddenError as error:
            yield self._forbidden(name, path, error)
            return
        try:
            array = open_array(self.store, name)
            differences = _differences(dict(array.metadata.to_dict()), metadata)
        except UNREADABLE as error:
            yield self._problem(f"the metadata of {name} cannot be understood: {error}", path)
            return
        if differences:
            yield self._problem(f"the metadata of {name} are not those of the format: {differences}", path)
        elif values is not None:
            try:
                if not np.array_equal(np.asarray(array[:]), values):
                    yield self._problem(f"the coordinate {name} does not agree with the clip table", chunk)
            except UNREADABLE as error:
                yield self._problem(f"the coordinate {name} cannot be read: {error}", chunk)

    def stray_problems(self) -> Iterator[Problem]:
        """Find files that do not belong to the store, if files can be listed; files of file managers do not count.

        Raises:
            NoListingError: if the credentials do not allow listing.
        """
        if not can_list(self.store):
            return
        numbers = self.header.partitions
        planned = {record_name(partition) for partition in numbers}
        found = records_of(self.store).glob("*")
        extra = sorted(path for path in found if path.name not in planned and not is_litter(path.name))
        if extra:
            names = ", ".join(path.name for path in extra[:3])
            yield Problem(self.store, None, f"the records hold files outside the plan: {names}", "remove", tuple(extra))
        for array in self.header.contents.arrays(self.header.spec):
            yield from self._stray_shards(array, numbers)

    def _stray_shards(self, array: ArraySpec, numbers: Iterable[int]) -> Iterator[Problem]:
        shards = {shard_path(self.store, array, partition) for partition in numbers}
        found = (self.store / array.name / "c").rglob("*")
        stray = sorted(path for path in found if path not in shards and path.is_file() and not self._is_litter(path))
        if stray:
            names = ", ".join(path.relative_to(self.store).as_posix() for path in stray[:3])
            message = f"the array {array.name} has files outside the plan: {names}"
            yield Problem(self.store, None, message, "remove", tuple(stray))

    def _is_litter(self, path: StorePath) -> bool:
        return any(map(is_litter, path.relative_to(self.store).parts))

    def _forbidden(self, name: str, path: StorePath, error: ForbiddenError) -> Problem:
        text = f"{name} cannot be read with these credentials, or is missing: {error}"
        return Problem(self.store, None, text, "permit", (path,))

    def _problem(self, message: str, file: StorePath) -> Problem:
        """Return a problem of a file that follows from specification and clip table; "rebuild" if these are trusted."""
        remedy: Remedy = "rebuild" if self.is_trusted else "restore"
        return Problem(self.store, None, message, remedy, (file,))


def _differences(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Name the first three entries that differ as JSON; empty if none does."""
    pairs = [
        (name, *(json.dumps(one.get(name), sort_keys=True, default=str) for one in (found, expected)))
        for name in sorted(found.keys() | expected.keys())
    ]
    return "; ".join([f"{name} must be {wanted}, got {got}" for name, got, wanted in pairs if got != wanted][:3])
