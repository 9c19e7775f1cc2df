"""Private folders beside the stores, from which finished files are moved into place.

A file is moved through the descriptor of its folder, so whoever removes the folder takes from its owner the power to
publish anything, at whatever instruction that owner is suspended: a removed folder stays removed, even if another one
of the same name is created.
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from vadprobe.store.errors import StoreError

SUFFIX = ".staging"


class ClaimLostError(StoreError):
    """The partition was taken over by another worker; nothing may be written for it any more."""


class Staging:
    """One worker's folder for one partition, in the file system of the stores."""

    def __init__(self, folder: Path, partition: int, identifier: str) -> None:
        self.path = folder / f"{partition:06d}.{identifier}{SUFFIX}"
        self.path.mkdir()
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Write a file of this folder, force it to the disk, and read it again.

        Raises:
            StoreError: if the disk returns other bytes.
        """
        path = self.path / name
        with path.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        with path.open("rb", buffering=0) as file:
            for piece in pieces:
                if _read(file, len(piece)) != piece:
                    raise StoreError(f"{path} does not return what was written to it; check the disk.")

    def publish(self, name: str, final: Path) -> None:
        """Move a staged file to its place, replacing what is there; readers see the one or the other.

        Raises:
            ClaimLostError: if this folder was removed by another worker.
        """
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(name, final, src_dir_fd=self._descriptor)
        except OSError as error:
            if not _gone(error):
                raise
            raise self._lost(final) from error

    def withdraw(self, final: Path) -> None:
        """Move a published file away; nothing is done when there is none.

        Raises:
            ClaimLostError: if this folder was removed by another worker.
        """
        if not final.exists():
            return
        try:
            os.rename(final, f"withdrawn.{uuid.uuid4().hex}", dst_dir_fd=self._descriptor)
        except OSError as error:
            if not _gone(error):
                raise
            if final.exists():
                raise self._lost(final) from error

    def remove(self) -> None:
        """Delete the folder with all that was not published; may be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        shutil.rmtree(self.path, ignore_errors=True)

    def _lost(self, final: Path) -> ClaimLostError:
        return ClaimLostError(
            f"{final} was not written: another worker took its partition over, because this process was suspended or "
            "cut off from the file system. That worker computes it; nothing is lost."
        )


def staged_partition(name: str) -> int | None:
    """The partition that a folder of this name belongs to; None for other names."""
    number, _, rest = name.partition(".")
    return int(number) if number.isdigit() and rest.endswith(SUFFIX) else None


def revoke(path: Path) -> Path:
    """Remove a worker's staging folder: nothing in it can be published afterwards. It may be gone already.

    Returns:
        The name under which it was removed.

    Raises:
        StoreError: if something of it cannot be removed.
    """
    number = path.name.partition(".")[0]
    aside = path.with_name(f"{number}.{uuid.uuid4().hex}{SUFFIX}")  # its owner may go on writing by the old name
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
    for _ in range(3):
        shutil.rmtree(aside, ignore_errors=True)
        # NFS keeps a file that its owner has open under such a name; by that name nothing is published.
        if all(name.startswith(".nfs") for _, _, names in os.walk(aside) for name in names):
            return aside
    raise StoreError(f"{aside}, left by a worker that is gone, cannot be removed; check its permissions, or delete it.")


def _read(file: BinaryIO, count: int) -> bytes:
    """So many bytes, or fewer where the file ends."""
    found = file.read(count)
    while len(found) < count and (more := file.read(count - len(found))):
        found += more
    return found


def _gone(error: OSError) -> bool:
    return error.errno in (errno.ENOENT, errno.ESTALE)
