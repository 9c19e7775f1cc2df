"""What concerns a store as a whole, read again: provenance, metadata, coordinates, the clip table, stray files."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from vadprobe.store.files.location import StorePath, can_list
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import read_record, record_matcher, record_name, shard_path
from vadprobe.store.format.provenance import ATTRIBUTE, UNREADABLE, open_array, zarr_place
from vadprobe.store.format.schema import ArraySpec, coordinates
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.verification.problems import Problem, Remedy
from vadprobe.store.writing.expected_files import clip_files, empty_store

_ATTRIBUTES = {"format_version", "spec", "digest", "clips_digest", "partition_rows", "state", "n_failed", "contents"}
_OPTIONAL = {"configuration", "consolidated_metadata", "must_understand"}
_LIBRARY = re.compile(rb"parquet-cpp-arrow version [0-9]+\.[0-9]+\.[0-9]+")
_MOST_DAMAGE = 16  # bytes; two libraries that write the same length differ in more places, or in their names alone


@dataclass(frozen=True)
class GroupCheck:
    """The whole of a store, as its files have it."""

    store: StorePath
    spec: FeatureSpec
    attributes: dict[str, Any]
    contents: StoredParts

    @cached_property
    def is_trusted(self) -> bool:
        """Whether a partition was written under the stored specification, or there is none that could tell.

        If it is not, the specification was damaged, and no partition may be judged by it.
        """
        found = False
        is_ours = record_matcher(self.spec, self.contents)
        for partition in self.contents.partition_numbers(self.spec.n_clips):
            try:
                record = read_record(self.store, partition)
            except UNREADABLE:
                continue
            if record is not None:
                found = True
                if is_ours(record):
                    return True
        return not found and self.spec.digest == self.attributes["digest"]

    @property
    def _remedy(self) -> Remedy:
        """What mends a file that the specification decides."""
        return "rebuild" if self.is_trusted else "restore"

    def attribute_problems(self) -> Iterator[Problem]:
        """The provenance against itself, and against the records if they vouch for the specification."""
        spec, found = self.spec, self.attributes
        messages = []
        if spec.digest != found["digest"]:
            messages.append(
                f"the specification has digest {spec.digest[:12]}, its record says {str(found['digest'])[:12]}"
            )
        if found["clips_digest"] != spec.clips_digest:
            messages.append("the attribute clips_digest is not that of the specification; the attributes were edited")
        if found.get("partition_rows") != self.contents.partition_rows:
            messages.append(
                f"the attribute partition_rows is {found.get('partition_rows')}, wanted {self.contents.partition_rows}"
            )
        if found["format_version"] != spec.format_version:
            messages.append(f"the attribute format_version is {found['format_version']}, wanted {spec.format_version}")
        if found["state"] not in ("open", "committed"):
            messages.append(f"the attribute state is {found['state']!r}, wanted 'open' or 'committed'")
        unknown = sorted(found.keys() - _ATTRIBUTES)
        if unknown:
            messages.append(f"the attributes hold {', '.join(unknown)}, which the format does not know")
        if found["state"] == "committed" and "n_failed" not in found:
            messages.append("the attribute n_failed is missing")
        file = self.store / "zarr.json"
        for message in messages:
            yield Problem(self.store, None, message, self._remedy, (file,))
        if found["state"] == "open":
            yield Problem(self.store, None, "not committed: the extraction has not finished", "extract")

    def file_problems(self, clips: ClipTable) -> Iterator[Problem]:
        """Metadata and coordinates against what the specification and the clip table make them."""
        expected = empty_store(self.spec, clips, self.contents)
        yield from self._group_metadata(expected["zarr.json"])
        for array in self.contents.arrays(self.spec):
            yield from self._metadata(array.name, expected)
        for name, (_, values) in coordinates(self.spec, clips).items():
            files = tuple(self.store / file for file in expected if file.startswith(f"{name}/"))
            broken = [replace(problem, files=files) for problem in self._metadata(name, expected)]
            yield from broken or self._coordinate(name, values, expected)

    def stray_problems(self) -> Iterator[Problem]:
        """Files outside the plan, where they can be listed."""
        if not can_list(self.store):
            return
        numbers = self.contents.partition_numbers(self.spec.n_clips)
        planned = {record_name(partition) for partition in numbers}
        extra = sorted(path for path in records_of(self.store).glob("*") if path.name not in planned)
        if extra:
            names = ", ".join(path.name for path in extra[:3])
            yield self._stray(f"the records hold files outside the plan: {names}", extra)
        for array in self.contents.arrays(self.spec):
            yield from self._stray_shards(array, numbers)

    def _stray_shards(self, array: ArraySpec, numbers: Iterable[int]) -> Iterator[Problem]:
        shards = {shard_path(self.store, array, partition) for partition in numbers}
        found = (self.store / array.name / "c").rglob("*")
        stray = sorted(path for path in found if path not in shards and path.is_file())
        if stray:
            names = ", ".join(path.relative_to(self.store).as_posix() for path in stray[:3])
            yield self._stray(f"the array {array.name} has files outside the plan: {names}", stray)

    def _stray(self, message: str, files: list[StorePath]) -> Problem:
        return Problem(self.store, None, message, "remove", tuple(files))

    def _group_metadata(self, expected: bytes) -> Iterator[Problem]:
        """The group's own metadata besides its attributes, where users may keep notes of their own."""
        path = self.store / "zarr.json"
        text = path.read_text(encoding="utf-8")
        found, wanted = ({**json.loads(form), "attributes": None} for form in (text, expected))
        message = ""
        if found != wanted:
            try:
                parsed = zarr.open_group(zarr_place(self.store), mode="r", zarr_format=3).metadata.to_dict()
            except UNREADABLE as error:
                message = f"the metadata of the group cannot be understood: {error}"
            else:
                if {**parsed, "attributes": None} != wanted or _unknown_names(found, wanted):
                    message = "the metadata of the group was changed: " + _differing(found, wanted)
        if not message and not is_plainly_written(text):
            message = f"white space or escapes of zarr.json were changed; {ATTRIBUTE} reads the same"
        if message:
            yield Problem(self.store, None, message, self._remedy, (path,))

    def _metadata(self, name: str, expected: dict[str, bytes]) -> Iterator[Problem]:
        """An array's metadata: equal bytes, or equal in all that Zarr understands of it, and plainly written."""
        path = self.store / name / "zarr.json"
        wanted = expected[f"{name}/zarr.json"]
        message = ""
        try:
            content = path.read_bytes()
            if content == wanted:
                return
            node = open_array(self.store, name)
            raw, form = json.loads(wanted), dict(node.metadata.to_dict())
            if _canonical(form) != _canonical(raw):
                message = f"the metadata of {name} differs from the format: {_differing(form, raw)}"
            elif not is_plainly_written(content.decode()) or _unknown_names(json.loads(content), raw):
                message = f"the metadata of {name} was changed in white space or names that Zarr does not read"
        except FileNotFoundError:
            message = f"the array {name} is missing"
        except UNREADABLE as error:
            message = f"the metadata of {name} cannot be understood: {error}"
        if message:
            yield Problem(self.store, None, message, self._remedy, (path,))

    def _coordinate(self, name: str, values: np.ndarray, expected: dict[str, bytes]) -> Iterator[Problem]:
        """Coordinates carry no record, so they are compared with what they must be."""
        message = ""
        try:
            if not np.array_equal(np.asarray(open_array(self.store, name)[:]), values):
                message = f"the coordinate {name} does not agree with the clip table"
        except UNREADABLE as error:
            message = f"the coordinate {name} cannot be read: {error}"
        if message:
            chunks = [self.store / file for file in expected if file.startswith(f"{name}/c/")]
            yield Problem(self.store, None, message, self._remedy, tuple(chunks))


def read_clips(store: StorePath, spec: FeatureSpec) -> tuple[ClipTable | None, list[Problem]]:
    """The clip table that a store's rows follow, None if it cannot be used; and what is wrong with its files."""
    path = clips_of(store)
    both = (path, path.with_name("clip_videos.parquet"))
    try:
        clips = ClipTable.read(path)
    except UNREADABLE as error:
        return None, [Problem(store, None, str(error), "restore", both)]
    if clips.digest != spec.clips_digest:
        message = f"the clip table has digest {clips.digest[:12]}, the store was written for {spec.clips_digest[:12]}"
        return None, [Problem(store, None, message, "restore", both)]
    problems = []
    for name, wanted in clip_files(clips).items():
        position = _damaged_byte(path.with_name(name).read_bytes(), wanted)
        if position is not None:
            message = (
                f"{path.with_name(name)} reads right, but its byte {position} is not what its content is written with"
            )
            problems.append(Problem(store, None, message, "rebuild", (path.with_name(name),)))
    return clips, problems


def _damaged_byte(found: bytes, wanted: bytes) -> int | None:
    """Where a file that reads right was damaged; None if it was not, or that cannot be told.

    Parquet keeps much that no reader looks at. A few other bytes in a file of the same length are damage; a file that
    differs throughout, or in length, was written by another version of Parquet. That version names itself in the file.
    """
    if len(found) != len(wanted):
        return None
    name = pq.read_metadata(pa.BufferReader(wanted)).created_by.encode()
    start = wanted.rfind(name)
    place = slice(start, start + len(name))
    names = place if _LIBRARY.fullmatch(found[place]) else slice(0, 0)
    differs = np.frombuffer(found, np.uint8) != np.frombuffer(wanted, np.uint8)
    differs[names] = False
    places = np.flatnonzero(differs)
    return int(places[0]) if 0 < len(places) <= _MOST_DAMAGE else None


def is_plainly_written(text: str) -> bool:
    """Whether JSON has the white space, order and escapes that one call of a serializer gives it."""
    content = json.loads(text)
    forms: Iterable[tuple[int | None, tuple[str, str] | None]] = [
        (2, None),
        (None, None),
        (None, (",", ":")),
        (1, None),
        (4, None),
    ]
    return any(
        text.rstrip("\n") == json.dumps(content, indent=indent, separators=separators, ensure_ascii=escaped)
        and text.count("\n", len(text.rstrip("\n"))) <= 1
        for indent, separators in forms
        for escaped in (True, False)
    )


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _differing(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first parts that differ, by name, with what was found and what is wanted."""
    names = [
        name
        for name in sorted(found.keys() | wanted.keys())
        if _canonical(found.get(name)) != _canonical(wanted.get(name))
    ]
    return "; ".join(
        f"{name} is {_canonical(found.get(name))}, wanted {_canonical(wanted.get(name))}" for name in names[:3]
    )


def _unknown_names(found: Any, wanted: Any) -> bool:
    """Whether something is named that the format does not name, apart from what versions of Zarr add or leave out."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        if found.keys() - wanted.keys() - _OPTIONAL:
            return True
        return any(_unknown_names(found[name], wanted[name]) for name in found.keys() & wanted.keys())
    if isinstance(found, list) and isinstance(wanted, list):
        return any(_unknown_names(*pair) for pair in zip(found, wanted, strict=False))
    return False
