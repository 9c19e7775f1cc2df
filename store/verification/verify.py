"""Verification of feature stores: every byte is read again and compared with what the files say."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.object_store import ForbiddenError, NoListingError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.verification.check_pool import CheckPool
from vadprobe.store.verification.partition_check import PartitionCheck, PartitionFinding
from vadprobe.store.verification.problems import Problem, Verification
from vadprobe.store.verification.resume_log import UnkeptLog, VerificationLog
from vadprobe.store.verification.store_check import StoreCheck

__all__ = ["Checked", "Problem", "Verification", "is_store", "verify", "verify_stores"]


@dataclass(frozen=True)
class Checked:
    """Report about a partition that was checked.

    Attributes:
        store: the Zarr group.
        done: position of the partition in its store, from 1.
        total: partitions of the store.
        n_bytes: bytes of its shards that were read.
        n_skipped: bytes of its shards that an earlier verification had read.
        n_problems: problems of the store so far.
    """

    store: StorePath
    done: int
    total: int
    n_bytes: int
    n_skipped: int
    n_problems: int


Report = Callable[[Checked], None]
"""Callback after each partition, in the order of the partitions."""


def verify(
    store: StorePath,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 1,
    resume: bool = False,
    partitions: Collection[int] | None = None,
) -> Verification:
    """Read every byte of a store again and compare it with its records.

    Checked are: the specification against its digest, the clip table against the specification, metadata and
    coordinates against both, that every partition has an unchanged record of the right rows, every shard's size and
    SHA-256, every inner chunk's checksum (and that it decodes), that written rows are finite and exact in their dtype
    and failed rows are NaN, and that no file lies outside the plan.

    Args:
        store: the Zarr group, `.../<prompt>.zarr`.
        progress: called after each partition with (done, all).
        workers: threads that read shards.
        resume: skip partitions that an interrupted verification found sound and nobody has touched since.
        partitions: read the shards of these alone; None for all. Metadata, coordinates and stray files are checked in
            any case.

    Raises:
        StoreError: if there is no store to read. Anything else that is wrong becomes a `Problem`.
    """
    report: Report | None = (lambda checked: progress(checked.done, checked.total)) if progress else None
    (found,) = verify_stores([store], report, workers=workers, resume=resume, partitions=partitions)
    return found


def verify_stores(
    stores: Iterable[StorePath],
    report: Report | None = None,
    *,
    workers: int = 1,
    resume: bool = False,
    partitions: Collection[int] | None = None,
) -> Iterator[Verification]:
    """Verify stores one after another; the workers begin the next store before one is finished. See `verify`."""
    waiting: deque[_Step] = deque()
    n_waiting = 0
    with CheckPool(workers) as pool:
        for step in _steps(stores, pool, resume, partitions):
            waiting.append(step)
            n_waiting += _n_shards(step)
            while waiting and n_waiting > pool.ahead:
                n_waiting -= _n_shards(waiting[0])
                yield from _finish(waiting.popleft(), report)
        for step in waiting:
            yield from _finish(step, report)


def _steps(
    stores: Iterable[StorePath], pool: CheckPool, resume: bool, partitions: Collection[int] | None
) -> Iterator["_Step"]:
    """Yield (store, partition) for each partition, its check begun, and (store, None) behind the last of a store."""
    for path in stores:
        store = _Store(path, resume, partitions)
        for number in store.numbers:
            yield store, store.begin(number, pool)
        yield store, None


def _n_shards(step: "_Step") -> int:
    """Return how many shards are read for a step; at least 1, so that a store without shards counts too."""
    return max(1, len(step[1].futures)) if step[1] else 1


def _finish(step: "_Step", report: Report | None) -> Iterator[Verification]:
    store, partition = step
    if partition is None:
        yield store.result()
        return
    found = partition.finish()
    store.add(found)
    if report:
        done = store.numbers.index(partition.number) + 1
        report(Checked(store.path, done, len(store.numbers), found.n_bytes, found.n_skipped, len(store.problems)))


def is_store(path: StorePath) -> bool:
    """Return whether a folder is a store, also one whose metadata are lost, by its name."""
    return path.suffix == ".zarr" or (path / "zarr.json").exists()


class _Store:
    """One store in verification: the whole is checked when this is made; results of partitions are added later."""

    def __init__(self, path: StorePath, resume: bool, partitions: Collection[int] | None) -> None:
        self.path = path
        self.is_whole = partitions is None
        self.clips: ClipTable | None = None
        self.problems: list[Problem] = []
        self.notes: tuple[str, ...] = ()
        self.numbers: Sequence[int] = ()
        self.n_failed = self.n_bytes = self.n_resumed = 0
        try:
            self.header = StoreHeader.read(path)
        except ForbiddenError as error:
            self.problems.append(Problem(path, None, str(error), "permit", (path / "zarr.json",)))
            return
        except StoreError as error:
            if not records_of(path).is_dir() and not (path.is_dir() and is_store(path)):
                raise
            self.problems.append(Problem(path, None, str(error), "restore", (path / "zarr.json",)))
            return
        check = StoreCheck(self.header)
        self.is_trusted = check.is_trusted
        self.problems += check.header_problems()
        try:
            self.problems += check.stray_problems()
        except NoListingError as error:
            self.notes += (f"files outside the plan were not looked for: {error}",)
        self.clips, problems = check.clip_table()
        self.problems += problems
        if self.clips is not None:
            self.problems += check.file_problems(self.clips)
            self.numbers = [n for n in self.header.partitions if partitions is None or n in partitions]
            self.log = VerificationLog(path, self.header.spec.digest, resume) if self.is_whole else UnkeptLog()

    def begin(self, number: int, pool: CheckPool) -> PartitionCheck:
        """Begin the check of a partition."""
        assert self.clips is not None  # a store without a clip table has no partitions to read
        return PartitionCheck.begin(self.header, self.clips, number, self.log, self.is_trusted, pool)

    def add(self, found: PartitionFinding) -> None:
        """Add the result of a partition."""
        self.problems += found.problems
        self.n_failed += found.n_failed
        self.n_bytes += found.n_bytes
        self.n_resumed += found.is_known

    def result(self) -> Verification:
        """Return all that was found, the whole first, then the partitions in order."""
        if self.clips is None:
            return Verification(self.path, 0, 0, 0, tuple(self.problems), notes=self.notes)
        n_failed = self.header.attributes.get("n_failed")
        if self.is_whole and not self.problems and n_failed != self.n_failed:
            message = f"the attribute n_failed is {n_failed}, but the records name {self.n_failed} failed rows"
            self.problems.append(Problem(self.path, None, message, "rebuild", (self.path / "zarr.json",)))
        if not any(problem.remedy == "recompute" for problem in self.problems):
            self.log.remove()  # else kept: after the repair only recomputed partitions are read
        return Verification(
            self.path,
            len(self.clips),
            self.n_failed,
            self.n_bytes,
            tuple(self.problems),
            len(self.numbers),
            self.n_resumed,
            self.notes,
        )


_Step = tuple[_Store, PartitionCheck | None]
