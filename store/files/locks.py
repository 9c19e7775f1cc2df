"""Locks of one machine, or of a file server that keeps locks: released when their process ends, however it ends."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import is_remote

PATIENCE = 600.0
"""Seconds after which waiting for another planner ends; planning or committing a store takes a moment."""


@contextmanager
def sole_planner(folder: Path) -> Iterator[None]:
    """Wait for the right to create or commit stores in a folder, each of which takes a moment.

    Raises:
        StoreError: if another process has that right for ``PATIENCE``, or the file system keeps no locks.

    An object store has no locks: what planners write there is decided by what exists (see the writers).
    """
    if is_remote(folder):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".planning").open("a") as file:
        end = time.monotonic() + PATIENCE
        while not _lock(file, folder):
            if time.monotonic() > end:
                raise StoreError(
                    f"another process has been creating or committing a store in {folder} for {PATIENCE:.0f} s; it may "
                    "be suspended. Let it go on, or end it."
                )
            time.sleep(0.02)
        yield


def _lock(file: IO[str], folder: Path) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise StoreError(
            f"{folder} keeps no file locks ({error.strerror}); mount that file system with locks."
        ) from error
    return True
