"""One writer at a time on one machine: two processes on the same shard would silently lose rows."""

import fcntl
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vadprobe.store.errors import StoreError
from vadprobe.store.layout import records_of


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is released when the process ends, however it ends.

    Whoever gets it first deletes what earlier writers left half-written.

    Raises:
        StoreError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise StoreError(
                f"another process is writing features below {folder}; wait for it to finish, or stop it."
            ) from error
        remove_leftovers(folder)
        yield


@contextmanager
def sole_planner(folder: Path) -> Iterator[None]:
    """Wait for the right to create stores in a folder; creating one takes a moment, so nobody waits long."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".planning").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-written below a backbone's folder; for the holder of its lock only."""
    with sole_planner(folder):
        _remove(folder.rglob("*.partial"))


def remove_leftovers_of(store: Path) -> None:
    """The same for one store; nobody writes to a store whose partitions are all there."""
    with sole_planner(store.parent):
        _remove(store.rglob("*.partial"))
        _remove(records_of(store).glob("*.partial"))
        _remove(store.parent.glob(f"{store.name}.*.partial"))


def _remove(partials: Iterable[Path]) -> None:
    for path in list(partials):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
