"""Interface of claims, by which workers agree through files or objects who computes which partition."""

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
"""Fate of a claim that an ended worker may have left; `wait`: only the end of its lease tells if the worker lives."""

UNNAMED = "a worker that has not said its name"


class ClaimLostError(StoreError):
    """Error of a claim that was lost: another worker has taken the partition over, so nothing may be written for it."""


class Staging(Protocol):
    """Files of a partition that are complete but not in their places yet."""

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Stage a file: store its content under a private name until it is published."""

    def publish(self, name: str, final: StorePath) -> None:
        """Move a staged file to its place in one step: readers see either the old file or the new one."""

    def withdraw(self, final: StorePath) -> None:
        """Delete a published file, if there is one."""


class Claim(ABC):
    """A partition held by this worker; leave the `with` block, or call `release`, to give it back."""

    staging: Staging

    @abstractmethod
    def check(self) -> None:
        """Raise an error if this worker no longer holds the partition.

        Raises:
            ClaimLostError: if another worker took the partition over.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the partition back and delete its staged files; further calls do nothing."""

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
        """Return the holder of a partition in words; None if nobody holds it."""

    @abstractmethod
    def judge(self, partition: int) -> tuple[Verdict, str]:
        """Return the verdict on the claim of a partition, with the reason; change nothing."""

    @abstractmethod
    def tidy(self) -> float:
        """Delete the claims and staged files of workers that are known to have ended.

        Returns:
            Seconds after which a second call can judge the claims that are left; 0 when no claim is undecided.
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
