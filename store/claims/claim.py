"""Claims of workers on partitions, agreed through files or objects alone."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Protocol

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath

FOLDER = ".claims"
"""Folder of the claims of one backbone, beside its stores."""

Verdict = Literal["delete", "wait", "keep"]
"""Fate of something that a worker may have left; `wait` means that only its lease can tell."""

UNNAMED = "a worker that has not said its name"


class ClaimLostError(StoreError):
    """The partition was taken over by another worker; nothing may be written for it any more."""


class Staging(Protocol):
    """Files of a partition that are complete but not in their places yet."""

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Keep the content of a file under a name of its own."""

    def publish(self, name: str, final: StorePath) -> None:
        """Put a staged file in its place, replacing what is there; readers see the one or the other."""

    def withdraw(self, final: StorePath) -> None:
        """Take a published file away; nothing is done when there is none."""


class Claim(ABC):
    """A partition held by this worker; leave the `with` block, or call `release`, to give it back."""

    staging: Staging

    @abstractmethod
    def check(self) -> None:
        """Stop the work if the partition is not ours any more.

        Raises:
            ClaimLostError: if another worker took the partition over.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the partition back and forget what was staged; may be repeated."""

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Claims(ABC):
    """The claims in one backbone's folder, as one worker sees them over time. `folder` is that of the claims."""

    folder: StorePath

    def take(self, partition: int) -> Claim | None:
        """Claim a partition; None while another worker holds it.

        Raises:
            StoreError: if the file system refuses to keep a claim.
        """
        try:
            return self._take(partition)
        except OSError as error:
            raise StoreError(
                f"a claim on partition {partition} cannot be kept in {self.folder}: {error.strerror or error}. Check "
                "free space and permissions."
            ) from error

    @abstractmethod
    def _take(self, partition: int) -> Claim | None: ...

    @abstractmethod
    def hold(self, partition: int) -> Claim:
        """Claim a partition that this worker must have now.

        Raises:
            StoreError: if another worker holds it, naming that worker.
        """

    @abstractmethod
    def holder(self, partition: int) -> str | None:
        """Return who holds a partition, in words; None when nobody does."""

    @abstractmethod
    def judge(self, partition: int) -> tuple[Verdict, str]:
        """Return what may become of the claim on a partition, and why; nothing is changed."""

    @abstractmethod
    def tidy(self) -> float:
        """Delete what workers left that are known to be gone.

        Returns:
            Seconds after which a second call can tell of the others whether they are gone; 0 when there are none.
        """

    def entries(self) -> dict[int, list[StorePath]]:
        """Return all files, folders or objects of claims by partition, sorted."""
        found: dict[int, list[StorePath]] = {}
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(path.name for path in self.folder.iterdir()):
                number = name.partition(".")[0]
                if number.isdigit():
                    found.setdefault(int(number), []).append(self.folder / name)
        return found

    def _held_elsewhere(self, partition: int) -> StoreError:
        return StoreError(
            f"partition {partition} below {self.folder.parent} is being written by another worker "
            f"({self.holder(partition) or 'just now'}); wait for it to finish, or stop it."
        )
