"""Repairing a store: damaged partitions are reset, so that extraction computes them again and nothing else.

Files that the rest of the store decides (metadata, coordinates, white space) are written again. Files that nothing else
decides (the clip table's content, the specification) are left alone and named, with what to do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json, sync, write_json
from vadprobe.store.files.location import StorePath, is_there
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import counted, ranges, size_text
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.partition_records import is_intact, record_path, shard_path
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.verification.problems import Problem, Verification
from vadprobe.store.writing.store_changes import change_attributes, write_group
from vadprobe.store.writing.store_files import CLIP_FILES, covered_path, planned_files
from vadprobe.store.writing.writer import StoreWriter


@dataclass(frozen=True)
class RepairPlan:
    """Plan of a repair.

    Attributes:
        store: the Zarr group.
        partitions: partitions that are reset, to be computed again.
        removes: their files.
        rebuilds: files that are wrong and are written again. The store's other metadata are written as well where
            another version of Zarr words them differently.
        by_hand: problems that the repair leaves alone.
        n_bytes: bytes of the files that are removed.
    """

    store: StorePath
    partitions: tuple[int, ...]
    removes: tuple[StorePath, ...]
    rebuilds: tuple[StorePath, ...]
    by_hand: tuple[Problem, ...]
    n_bytes: int

    @property
    def is_empty(self) -> bool:
        """True if there is nothing that a repair could do."""
        return not self.partitions and not self.rebuilds

    def lines(self) -> Iterator[str]:
        """Yield the plan as sentences."""
        if self.partitions:
            partitions = counted(len(self.partitions), "partition is", "partitions are")
            yield (
                f"{self.store}: {partitions} reset and computed again by 'vadprobe extract' "
                f"({ranges(self.partitions)}); {counted(len(self.removes), 'file is', 'files are')} removed "
                f"({size_text(self.n_bytes)})."
            )
        for path in self.rebuilds:
            yield f"{self.store}: {path} is written again from what the rest of the store says."
        for problem in self.by_hand:
            yield f"{problem.store}: {_advice(problem)}"


def plan_repair(found: Verification) -> RepairPlan:
    """Return the plan that repairs the problems of a verification; nothing is changed."""
    partitions = found.partitions_to("recompute")
    rebuilds = {
        path: None
        for problem in found.problems
        if problem.remedy == "rebuild" and problem.partition not in partitions
        for path in problem.files
    }
    by_hand = tuple(problem for problem in found.problems if problem.remedy in ("restore", "remove", "permit"))
    header = StoreHeader.read(found.store) if partitions else None
    removes = tuple(path for partition in partitions if header for path in _files_of(header, partition))
    n_bytes = sum(path.stat().st_size for path in removes)
    return RepairPlan(found.store, partitions, removes, tuple(rebuilds), by_hand, n_bytes)


def apply(plan: RepairPlan) -> None:
    """Do what a plan says. It may be killed and repeated at any time.

    Raises:
        StoreError: if another worker writes a partition of the plan; nothing was changed then.
    """
    _check_free(plan.store, plan.partitions)
    rebuild(plan.store, plan.rebuilds)
    reset(plan.store, plan.partitions)


def reset(store: StorePath, partitions: Iterable[int]) -> None:
    """Mark some partitions as not written: 'vadprobe extract' computes these again, and no other.

    The record goes first, so that at no moment a record stands beside shards that it does not name; then all shards of
    the partition, because it is computed as a whole. The store is open again until the next commit.

    Raises:
        StoreError: if a partition does not exist, or another worker holds one: nothing was changed then.
    """
    numbers = sorted(set(partitions))
    if not numbers:
        return
    header = StoreHeader.read(store)
    outside = [partition for partition in numbers if partition not in header.partitions]
    if outside:
        raise StoreError(f"{store} has partitions {ranges(header.partitions)}; partition {outside[0]} does not exist.")
    _check_free(store, numbers)
    with sole_planner(store.parent):
        change_attributes(store, {"state": "open"})
    for partition in numbers:
        with claims_in(store.parent).hold(partition) as claim:
            for path in _files_of(header, partition):
                claim.check()
                path.unlink(missing_ok=True)
                sync(path.parent)


def rebuild(store: StorePath, files: Iterable[StorePath]) -> None:
    """Write files again that the rest of the store decides: metadata, coordinates, records and clip tables as written.

    Raises:
        StoreError: if something that decides them is damaged itself, or a file is none of these.
    """
    wanted = sorted(files)
    if not wanted:
        return
    header = StoreHeader.read(store)
    clips = header.read_clips()
    records = [path for path in wanted if path.parent == records_of(store)]
    _check_rebuildable(header, clips, set(wanted) - set(records))
    for path in records:
        _rewrite_record(store, path)
    if len(records) == len(wanted):
        return
    if any(covered_path(store, name) in wanted for name in CLIP_FILES):
        with sole_planner(clips_of(store).parent):
            header.read_table().write(clips_of(store))  # with the clips that other stores have appended
    _rewrite_group(header, clips)


def _check_rebuildable(header: StoreHeader, clips: ClipTable, files: Iterable[StorePath]) -> None:
    names = (*planned_files(header.path, header.spec, clips, header.contents), *CLIP_FILES)
    for path in set(files) - {covered_path(header.path, name) for name in names}:
        if path.is_relative_to(header.path):
            raise StoreError(
                f"{path} holds features, which cannot be written again; its partition must be computed again."
            )
        raise StoreError(f"{path} is no file of {header.path} that can be written again.")


def _rewrite_group(header: StoreHeader, clips: ClipTable) -> None:
    """Write metadata and coordinates as planning does, with new checksums; attributes of users stay."""
    with sole_planner(header.path.parent):
        write_group(header.path, header.spec, clips, header.contents)
    writer = StoreWriter(header.path, header.spec, clips, header.contents)
    if not writer.missing():  # it is open again, and nothing is missing
        writer.commit()


def _rewrite_record(store: StorePath, path: StorePath) -> None:
    record = read_json(path)
    if not is_intact(record):
        raise StoreError(f"{path} was changed in more than its white space; its partition must be computed again.")
    with claims_in(store.parent).hold(record["partition"]) as claim:
        claim.check()
        write_json(path, record)


def _check_free(store: StorePath, partitions: Iterable[int]) -> None:
    """Refuse before anything is changed if another worker is at one of the partitions."""
    for partition in partitions:
        claims_in(store.parent).hold(partition).release()


def _files_of(header: StoreHeader, partition: int) -> list[StorePath]:
    """Return the files of a partition that exist, its record first."""
    shards = [shard_path(header.path, array, partition) for array in header.contents.arrays(header.spec)]
    return [path for path in (record_path(header.path, partition), *shards) if is_there(path)]


def _advice(problem: Problem) -> str:
    """Return the instruction shown for a problem that no repair fixes."""
    files = ", ".join(str(path) for path in problem.files[:3])
    if problem.remedy == "permit":
        where = "" if problem.partition is None else f"partition {problem.partition}: "
        return f"{where}nothing says that it is damaged; verify again with credentials that may read {files}"
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
