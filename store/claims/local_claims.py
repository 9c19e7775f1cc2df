"""Claims in a folder: one lock file per partition, locked by the kernel for the worker that computes it.

A claim ends with its process, however that ends. A suspended worker keeps its partition: the others leave it alone
until that worker goes on or is ended. The lock file names its holder and is deleted with the claim; what a killed
worker left is deleted by whoever claims the partition next.
"""

import contextlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from vadprobe.store.claims.claim import FOLDER, UNNAMED, Claim, ClaimLostError, Claims, Verdict
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.locks import is_locked, lock, unlock

LOCK = ".lock"
STAGING = ".staging"
"""Endings of a partition's lock file, and of the folder in which its files are staged."""

PATIENCE = 0.5
"""Seconds for which `hold` tries again: `tidy` locks the files of ended workers for a moment to delete them."""


class LocalStaging:
    """The folder of one partition, in the file system of the stores; created when the first file is staged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Write a file of this folder, force it to the disk, and read it again.

        Raises:
            StoreError: if the disk returns other bytes.
        """
        self.path.mkdir(exist_ok=True)
        path = self.path / name
        with path.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        again = bytearray(max(map(len, pieces), default=0))  # one memory for all pieces
        with path.open("rb") as file:
            for piece in pieces:
                if file.readinto(memoryview(again)[: len(piece)]) != len(piece) or not again.startswith(piece):
                    raise StoreError(f"{path} does not return what was written to it; check the disk.")

    def publish(self, name: str, final: StorePath) -> None:
        """Move a staged file to its place in one step: readers see either the old file or the new one."""
        final.parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).rename(final)

    def withdraw(self, final: StorePath) -> None:
        """Delete a published file, if there is one."""
        final.unlink(missing_ok=True)


class LocalClaim(Claim):
    """A partition whose lock file this process has locked."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        # A name of its own: if somebody deletes the lock file, another worker may stage the same partition.
        self.staging: LocalStaging = LocalStaging(path.with_suffix(f".{uuid.uuid4().hex}{STAGING}"))
        self._path, self._file = path, file

    def check(self) -> None:
        """Raise an error if the lock file was deleted or replaced: another worker may then hold the partition.

        Raises:
            ClaimLostError: if the file is gone, or is another one.
        """
        if not self._is_ours():
            raise ClaimLostError(
                f"{self._path}, the lock of a partition that this worker computes, was deleted; another "
                "worker may now have the partition. Leave the files in .claims alone while workers run."
            )

    def release(self) -> None:
        """Give the partition back and delete its staged files; further calls do nothing."""
        if self._file.closed:
            return
        shutil.rmtree(self.staging.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._path.unlink()
        unlock(self._file)
        with contextlib.suppress(OSError):  # it is not empty, or not there
            self._path.parent.rmdir()

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False


class LocalClaims(Claims):
    """The claims in one backbone's folder.

    Args:
        folder: the backbone's folder, `<sampling>/<backbone>`.
    """

    folder: Path

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def _take(self, partition: int) -> Claim | None:
        path = self._lock_file(partition)
        file = lock(path)
        if file is None:
            return None
        claim = LocalClaim(path, file)
        try:
            for left in self.entries().get(partition, []):
                if left.is_dir():
                    shutil.rmtree(left)
                elif left != path:
                    left.unlink()
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BaseException:
            claim.release()
            raise
        return claim

    def hold(self, partition: int) -> Claim:
        """Claim a partition that this worker must have now.

        Raises:
            StoreError: if another worker holds it, naming that worker.
        """
        end = time.monotonic() + PATIENCE
        while (claim := self.take(partition)) is None:
            if time.monotonic() >= end:
                raise self._held_elsewhere(partition)
            time.sleep(0.02)
        return claim

    def holder(self, partition: int) -> str | None:
        """Return the process and host of the worker that holds a partition; None when nobody does."""
        path = self._lock_file(partition)
        if not is_locked(path):
            return None
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip() or UNNAMED
        except OSError:
            return None

    def judge(self, partition: int) -> tuple[Verdict, str]:
        """Return the verdict on the files of a claim, with the reason; change nothing."""
        holder = self.holder(partition)
        return ("keep", f"claimed by {holder}, which is running") if holder else ("delete", "its worker has ended")

    def tidy(self) -> float:
        """Delete the files of ended workers; returns 0, since a lock shows at once whether its worker lives."""
        for partition in self.entries():
            with contextlib.suppress(StoreError):  # files of another user do no harm
                if claim := self.take(partition):
                    claim.release()
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        return 0.0

    def _lock_file(self, partition: int) -> Path:
        return self.folder / f"{partition:06d}{LOCK}"
