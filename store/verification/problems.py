"""Problems of a store, and their remedies."""

from dataclasses import dataclass
from typing import Literal

from vadprobe.store.files.location import StorePath

Remedy = Literal["extract", "recompute", "rebuild", "restore", "remove", "permit"]
"""The remedy of a problem.

`extract`: compute a partition that was never written. `recompute`: reset the partition and compute it again. `rebuild`:
write the file again from the rest of the store. `restore`: take it from a copy, because nothing else in the store holds
it. `remove`: delete files that do not belong there, which only a person can judge. `permit`: use credentials that may
read the file; nothing says that it is damaged.
"""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a store. `partition` is None for a problem of the whole store.

    `files` are the files that are wrong, as far as this is known.
    """

    store: StorePath
    partition: int | None
    message: str
    remedy: Remedy = "recompute"
    files: tuple[StorePath, ...] = ()

    def __str__(self) -> str:
        where = f"partition {self.partition}" if self.partition is not None else "store"
        return f"{self.store}: {where}: {self.message}"


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    `n_bytes` counts the bytes of shards that were read. `n_resumed` counts the partitions that an earlier, interrupted
    verification found sound and whose files nobody has touched since. `notes` say what could not be checked.
    """

    store: StorePath
    n_rows: int
    n_failed: int
    n_bytes: int
    problems: tuple[Problem, ...]
    n_partitions: int = 0
    n_resumed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def redo(self) -> tuple[int, ...]:
        """Partitions to be computed for the first time or again, ascending."""
        return self.partitions_to("extract", "recompute")

    def partitions_to(self, *remedies: Remedy) -> tuple[int, ...]:
        """Return the partitions with a problem of one of these remedies, ascending."""
        return tuple(sorted({p.partition for p in self.problems if p.partition is not None and p.remedy in remedies}))
