"""File locks of the kernel: one holder at a time, on one machine or on a file server that keeps locks.

A lock is free again when its process ends, however it ends. A suspended process keeps its locks. A child process that
was forked and runs no other program shares the locks of its parent until they are released, or until both have ended.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote

PATIENCE = 600.0
"""Longest wait for another planner, in seconds; planning or committing a store takes a moment."""

_TRIES = 100


def lock(path: Path) -> IO[bytes] | None:
    """Lock a file; create it and its folder if they are missing.

    The holder of the lock may delete the file, and the folder when it is empty. So a lock counts only if the locked
    file is still the one at this path.

    Returns:
        The open file, to be given to `unlock`; None while another process holds the lock.

    Raises:
        OSError: if the file cannot be created.
        StoreError: if the file system keeps no locks.
    """
    for _ in range(_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("ab", buffering=0)
        except FileNotFoundError:  # another process removed the empty folder in between
            continue
        try:
            if not _flock(file, fcntl.LOCK_EX):
                file.close()
                return None
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()  # another process deleted it before the lock was ours
    raise StoreError(f"{path} is removed again and again; find the program that does it, and end it.")


def unlock(file: IO[bytes]) -> None:
    """Release a lock, also one that forked children share."""
    fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file. To find out, a free file is locked for a moment.

    A file of another user that may not be opened counts as locked.
    """
    try:
        with path.open("rb") as file:
            return not _flock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


@contextmanager
def exclusive(folder: Path, name: str, busy: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file `name` of a folder; create both if they are missing.

    Args:
        folder: the locked folder.
        name: name of the lock file.
        busy: the error's message when another process holds the lock.
        patience: seconds to wait for that process.

    Raises:
        StoreError: if another process holds the lock for longer, or the file system keeps no locks.
    """
    end = time.monotonic() + patience
    while (file := lock(folder / name)) is None:
        if time.monotonic() >= end:
            raise StoreError(busy)
        time.sleep(0.02)
    try:
        yield
    finally:
        unlock(file)


@contextmanager
def sole_planner(folder: StorePath) -> Iterator[None]:
    """Hold the lock under which stores of a folder are created or committed; wait for another holder.

    An object store has no locks: there, conditional writes decide between planners.

    Raises:
        StoreError: if another process has that right for `PATIENCE`, or the file system keeps no locks.
    """
    if is_remote(folder):
        yield
        return
    busy = (
        f"another process has been creating or committing a store in {folder} for {PATIENCE:.0f} s; it may be "
        "suspended. Let it go on, or end it."
    )
    with exclusive(folder, ".planning", busy, PATIENCE):
        yield


def _flock(file: IO[bytes], operation: int) -> bool:
    """Return whether the lock is ours now."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise StoreError(
            f"{Path(file.name).parent} does not support file locks ({error.strerror}); mount that file "
            "system with locks, or use a folder on another one."
        ) from error
    return True
