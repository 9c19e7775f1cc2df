"""Mending a store: damaged partitions are taken back, so that extraction computes them again and nothing else.

What the rest of the store decides (metadata, coordinates, white space) is written again. What nothing else decides (the
clip table's content, the specification) is left alone and named, with what to do.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json, sync, write_bytes, write_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import ranges
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import is_intact, record_name, shard_path
from vadprobe.store.format.provenance import ATTRIBUTE, read_attributes, specification, stored_contents
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.verification.problems import Problem, Verification
from vadprobe.store.writing.expected_files import clip_files, empty_store
from vadprobe.store.writing.store_changes import as_zarr_writes, change_attributes
from vadprobe.store.writing.writer import StoreWriter


@dataclass(frozen=True)
class RepairPlan:
    """What a repair would do. ``removes`` and ``rebuilds`` are files; ``by_hand`` are problems that it leaves alone."""

    store: StorePath
    partitions: tuple[int, ...]
    removes: tuple[StorePath, ...]
    rebuilds: tuple[StorePath, ...]
    by_hand: tuple[Problem, ...]
    n_bytes: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that a repair could do."""
        return not self.partitions and not self.rebuilds

    def lines(self) -> Iterator[str]:
        """The plan as sentences."""
        if self.partitions:
            yield (
                f"{self.store}: {len(self.partitions)} partitions are taken back and computed again by 'vadprobe "
                f"extract' ({ranges(self.partitions)}); {len(self.removes)} files, {self.n_bytes / 1e6:.1f} MB, are "
                "removed."
            )
        for path in self.rebuilds:
            yield f"{self.store}: {path} is written again from what the rest of the store says."
        for problem in self.by_hand:
            yield f"{problem.store}: {_advice(problem)}"


def plan_repair(found: Verification) -> RepairPlan:
    """What would mend the problems of a verification; nothing is changed."""
    partitions = tuple(
        sorted({p.partition for p in found.problems if p.partition is not None and p.remedy == "recompute"})
    )
    removes = tuple(path for partition in partitions for path in _files_of(found.store, partition))
    rebuilds = {
        path: None
        for problem in found.problems
        if problem.remedy == "rebuild" and problem.partition not in partitions
        for path in problem.files
    }
    by_hand = tuple(problem for problem in found.problems if problem.remedy in ("restore", "remove"))
    n_bytes = sum(path.stat().st_size for path in removes)
    return RepairPlan(found.store, partitions, removes, tuple(rebuilds), by_hand, n_bytes)


def carry_out(plan: RepairPlan) -> None:
    """Do what a plan says. It may be killed and repeated at any time.

    Raises:
        StoreError: if another worker writes a partition of the plan; nothing was changed then.
    """
    _check_free(plan.store, plan.partitions)
    rebuild(plan.store, plan.rebuilds)
    if plan.partitions:
        repair(plan.store, plan.partitions)


def repair(store: StorePath, partitions: Iterable[int]) -> None:
    """Mark some partitions as not written: 'vadprobe extract' computes these again, and no other.

    The record goes first, so that at no moment a record stands beside shards that it does not name; then all shards of
    the partition, because it is computed as a whole. The store is open again until the next commit.

    Raises:
        StoreError: if a partition does not exist, or another worker holds one: nothing was changed then.
    """
    wanted = sorted(set(partitions))
    spec = _specification(store)
    numbers = _contents(store, spec).partition_numbers(spec.n_clips)
    outside = [partition for partition in wanted if partition not in numbers]
    if outside:
        raise StoreError(f"{store} has partitions {ranges(numbers)}; partition {outside[0]} does not exist.")
    _check_free(store, wanted)
    if not wanted:
        return
    with sole_planner(store.parent):
        _reopen(store)
    for partition in wanted:
        with _sole_writer(store, partition) as check:
            for path in _files_of(store, partition):
                check()
                path.unlink(missing_ok=True)
                sync(path.parent)


def rebuild(store: StorePath, files: Iterable[StorePath]) -> None:
    """Write files again that the rest of the store decides: metadata, coordinates, records and clip tables as written.

    Raises:
        StoreError: if something that decides them is damaged itself, or a file is none of these.
    """
    wanted = list(files)
    if not wanted:
        return
    spec = _specification(store)
    clips = ClipTable.read(clips_of(store))
    if clips.digest != spec.clips_digest:
        raise StoreError(f"{clips_of(store)} is another clip table than {store} was written for; restore it first.")
    for path in sorted(wanted):
        if path.parent == records_of(store):
            _rewrite_record(store, path)
        elif path.parent == clips_of(store).parent:
            with sole_planner(path.parent):
                write_bytes(path, clip_files(clips)[path.name])
        elif path.is_relative_to(store):
            _rebuild_in_group(store, path, spec, clips)
        else:
            raise StoreError(f"{path} is no file of {store} that can be written again.")


def _rebuild_in_group(store: StorePath, path: StorePath, spec: FeatureSpec, clips: ClipTable) -> None:
    name = path.relative_to(store).as_posix()
    expected = empty_store(spec, clips, _contents(store, spec))
    if name not in expected:
        raise StoreError(f"{path} holds features, which cannot be written again; its partition must be computed again.")
    content = expected[name]
    if name == "zarr.json":
        wanted = json.loads(content)
        wanted["attributes"] = {**_attributes(path), ATTRIBUTE: wanted["attributes"][ATTRIBUTE]}
        content = as_zarr_writes(wanted)
    with sole_planner(store.parent):
        write_bytes(path, content)
        for folder in path.relative_to(store).parents:  # the folders above it may be new as well
            sync(store / folder)
    writer = StoreWriter(store, spec, clips, _contents(store, spec))
    if name == "zarr.json" and not writer.missing():  # it is open again, and nothing is missing
        writer.commit()


def _rewrite_record(store: StorePath, path: StorePath) -> None:
    record = read_json(path)
    if not is_intact(record):
        raise StoreError(f"{path} was changed in more than its white space; its partition must be computed again.")
    with _sole_writer(store, record["partition"]) as check:
        check()
        write_json(path, record)


def _reopen(store: StorePath) -> None:
    """Let the attributes say that the store is not finished, everything else in the file as it is."""
    change_attributes(store, {"state": "open"})


def _attributes(path: StorePath) -> dict[str, Any]:
    """All attributes of a group, those of users as well."""
    return dict(read_json(path)["attributes"])


def _check_free(store: StorePath, partitions: Iterable[int]) -> None:
    """Refuse before anything is changed if another worker is at one of the partitions."""
    for partition in partitions:
        with _sole_writer(store, partition):
            pass


@contextmanager
def _sole_writer(store: StorePath, partition: int) -> Iterator[Callable[[], None]]:
    """Hold a partition against all other workers; what is given asks whether that still is so."""
    with claims_in(store.parent).hold(partition) as claim:
        yield claim.check


def _files_of(store: StorePath, partition: int) -> list[StorePath]:
    """The files of a partition that exist, its record first."""
    spec = _specification(store)
    shards = [shard_path(store, array, partition) for array in _contents(store, spec).arrays(spec)]
    return [path for path in (records_of(store) / record_name(partition), *shards) if path.is_file()]


def _specification(store: StorePath) -> FeatureSpec:
    return specification(store, read_attributes(store))


def _contents(store: StorePath, spec: FeatureSpec) -> StoredParts:
    return stored_contents(store, read_attributes(store), spec)


def _advice(problem: Problem) -> str:
    """What a person has to do."""
    files = ", ".join(str(path) for path in problem.files[:3])
    if problem.remedy == "remove":
        return f"{problem.message}. Look at them, and delete them if nobody needs them: {files}"
    if problem.partition is not None:
        return (
            f"partition {problem.partition}: {problem.message}; judge it once zarr.json is restored, then verify again"
        )
    if problem.files and problem.files[0].suffix == ".parquet":
        return (
            f"{problem.message}. The clip table is restored from a copy ({files}); without one, 'vadprobe plan' of the "
            "same job into an empty root writes the same table, as long as the videos have not changed."
        )
    return (
        f"{problem.message}. The specification is restored from a copy of {files}; without one, 'vadprobe plan' of the "
        "same job into an empty root writes the same zarr.json, as long as the libraries and the videos have not "
        "changed; then 'vadprobe extract' commits the store again."
    )
